"""The middleware in its order, and what runs beside it."""

from starlette.middleware import Middleware
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from views.server.connections import ConnectionGuard, guard_connections
from views.server.file_types import FileTypes
from views.server.headers import ClosedMetrics, SecurityHeaders
from views.server.hosts import HostCheck
from views.server.owners import UploadOwner
from views.server.refusals import Refusals
from views.server.settings import ServerSettings
from views.server.slow_bodies import BodyTimeout
from views.server.storing import StoreUploads
from views.server.uploads import UploadLimits


def middleware(settings: ServerSettings) -> list[Middleware]:
    """Return what stands before Streamlit, outermost first."""
    return [
        Middleware(SecurityHeaders, frame_ancestors=settings.frame_ancestors),
        Middleware(Refusals),
        Middleware(HostCheck, allowed_hosts=settings.allowed_hosts),
        Middleware(ClosedMetrics, is_open=settings.metrics),
        Middleware(BodyTimeout),
        Middleware(UploadOwner),
        Middleware(UploadLimits, server_bytes=settings.upload_bytes),
        Middleware(FileTypes),
        Middleware(StoreUploads),
    ]


def limit_connections(settings: ServerSettings) -> None:
    """Guard the connections of this process's Uvicorn; to be called once."""
    guard_connections(AutoHTTPProtocol, ConnectionGuard(settings.connections_per_address, settings.proxies))
