"""What the browser is told not to do with the pages, and the paths that are closed."""

import base64
import hashlib
import re
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.file_util import get_static_dir

from views.server.refusals import RefusedError

_POLICY = (
    ("default-src", "'self'"),
    ("style-src", "'self' 'unsafe-inline'"),
    ("img-src", "'self' data: blob:"),
    ("font-src", "'self' data:"),
    ("connect-src", "'self'"),
    ("worker-src", "'self' blob:"),
    ("object-src", "'none'"),
    ("base-uri", "'self'"),
    ("form-action", "'self'"),
)


class SecurityHeaders:
    """ASGI middleware: adds the security headers to every answer.

    Args:
        frame_ancestors: sites that may show the app in a frame, as in the header Content-Security-Policy.
    """

    def __init__(self, app: ASGIApp, frame_ancestors: str = "'self'") -> None:
        self._app = app
        inline = script_hashes((Path(get_static_dir()) / "index.html").read_text(encoding="utf-8"))
        # blob: because Streamlit makes a module of the viewer's script in the page
        scripts = " ".join(["'self'", "blob:", *inline])
        policy = (*_POLICY, ("script-src", scripts), ("frame-ancestors", frame_ancestors))
        self._headers = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to an HTTP answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def script_hashes(html: str) -> list[str]:
    """Return the sources of a content security policy that allow a page's inline scripts, and no other."""
    inline = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in inline]
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


class ClosedMetrics:
    """ASGI middleware: hides Streamlit's metrics, which count sessions and bytes, unless the host opens them."""

    def __init__(self, app: ASGIApp, is_open: bool = False) -> None:
        self._app, self._open = app, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer 404 for the metrics while they are closed."""
        if not self._open and scope["type"] == "http" and scope["path"].rstrip("/").endswith("/_stcore/metrics"):
            raise RefusedError(404, "Not found.")
        await self._app(scope, receive, send)
