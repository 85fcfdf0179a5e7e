"""Which names the server answers to, and which pages may open its web socket.

A page of another site can make a browser connect to a server on the visitor's own computer, also under a name of its
own that it points to 127.0.0.1 (DNS rebinding). The names in `Host` and `Origin` tell such requests apart.
"""

from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from unet.language import t
from views.server.refusals import RefusedError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_HEALTH = "/_stcore/health"  # load balancers ask for it by address


class HostCheck:
    """ASGI middleware: serves `LOCAL_HOSTS` and the given hosts only.

    Args:
        allowed_hosts: names without port; `*.example.org` stands for every name below. `*` stands for every name in
            `Host`; a page of another origin has to be named all the same.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: tuple[str, ...] = ()) -> None:
        self._app = app
        self._allowed = tuple(host.lower().rstrip(".") for host in (*LOCAL_HOSTS, *allowed_hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check `Host` and `Origin` of a request; the health check of a load balancer passes."""
        if scope["type"] in ("http", "websocket") and not scope["path"].endswith(_HEALTH):
            scope = self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> Scope:
        """Return the scope for Streamlit.

        Raises:
            RefusedError: the request came under a foreign name, or from a foreign page.
        """
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = _split(f"//{hosts[0]}") if len(hosts) == 1 else None
        if host is None or not ("*" in self._allowed or self._names(host.hostname)):
            raise RefusedError(
                400, t("This server does not accept that host name. The host can add it to UNET_ALLOWED_HOSTS.")
            )
        if not origins:
            return scope
        origin = _split(origins[0]) if len(origins) == 1 else None
        if origin is not None and origin.netloc.lower() == host.netloc.lower():
            return scope
        if origin is None or origin.hostname in LOCAL_HOSTS or not self._names(origin.hostname):
            raise RefusedError(
                403, t("This server does not accept pages from that origin. The host can add it to UNET_ALLOWED_HOSTS.")
            )
        # Behind a proxy that rewrites Host. Streamlit would compare Origin with this computer's public address, and
        # ask an outside server for that, twice, in its event loop: the check is done, so it does not see the header.
        return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"origin"]}

    def _names(self, name: str | None) -> bool:
        name = (name or "").lower().rstrip(".")
        return any(
            name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:])) for pattern in self._allowed
        )


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL that is a host alone, or None."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    extra = parts.username or parts.password or parts.path or parts.query or parts.fragment
    return parts if parts.hostname and not extra else None
