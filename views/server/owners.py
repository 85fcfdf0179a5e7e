"""Uploads belong to the browser that opened the visit."""

import hmac
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

from unet.language import t
from views.server.refusals import RefusedError
from views.server.uploads import upload_ids


def visit_cookies(session: str) -> Mapping[str, str]:
    """Return the cookies with which a browser opened the web socket of a visit; none where it is not connected."""
    from streamlit import runtime

    client = runtime.get_instance().get_client(session)
    context = None if client is None else client.client_context
    return {} if context is None else context.cookies


class UploadOwner:
    """ASGI middleware: refuses to add or delete a file of a visit that another browser opened.

    Streamlit gives every browser a random token in a cookie, checks that a request repeats it, and does not compare
    it with the visit. Its mask changes, so the decoded tokens are compared.
    """

    def __init__(self, app: ASGIApp, cookies: Callable[[str], Mapping[str, str]] = visit_cookies) -> None:
        self._app, self._cookies = app, cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Compare the browser of an upload request with the one that opened the visit, then pass the request on."""
        ids = upload_ids(scope)
        if ids is not None and scope["method"] != "OPTIONS":
            owner = _token(self._cookies(ids[0]))
            asker = _token(Request(scope).cookies)
            if owner is None or asker is None or not hmac.compare_digest(owner, asker):
                raise RefusedError(403, t("This visit has ended, or another browser opened it. Reload the page."))
        await self._app(scope, receive, send)


def _token(cookies: Mapping[str, str]) -> bytes | None:
    return decode_xsrf_token_string(cookies.get(XSRF_COOKIE_NAME, ""))[0]
