"""An end to requests whose body stops coming, or is cut off."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unet.language import t
from views.server.refusals import RefusedError

IDLE_SECONDS = 30.0  # without a byte; a phone that changes its network is back sooner


class BodyTimeout:
    """ASGI middleware: refuses a request that sends no byte of its body for a while."""

    def __init__(self, app: ASGIApp, seconds: float = IDLE_SECONDS) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a time limit for each wait until its body is complete."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        complete = False

        async def timed() -> Message:
            nonlocal complete
            if complete:  # now only the end of the connection is waited for
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._seconds)
            except TimeoutError:
                raise RefusedError(408, t("The upload stopped. Send the file again.")) from None
            if message["type"] == "http.disconnect":  # Streamlit would write a traceback into the log
                raise RefusedError(400, t("The upload was interrupted."))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, timed, send)
