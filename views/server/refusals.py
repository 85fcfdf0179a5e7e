"""One place that answers what any middleware refuses."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RefusedError(Exception):
    """A request that the server does not serve.

    Args:
        status: HTTP status of the answer.
        words: one sentence, which the browser may show.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Refusals:
    """ASGI middleware: turns a `RefusedError` from further in into its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer a refusal unless an answer has begun."""
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except RefusedError as refused:
            if answered:
                return
            if scope["type"] == "websocket":
                await receive()  # the connect event, which comes before any answer
                await send({"type": "websocket.close", "code": 1008, "reason": refused.words})
            else:
                await PlainTextResponse(refused.words, refused.status)(scope, receive, send)
