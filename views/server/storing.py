"""Takes uploads in Streamlit's place, which would read each file into the server's memory whole."""

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.web.server.server_util import is_xsrf_enabled
from streamlit.web.server.starlette.starlette_app_utils import validate_xsrf_token
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

from unet.language import t
from views.server.refusals import RefusedError
from views.server.stored_files import streamlit_files
from views.server.uploads import upload_ids


class StoreUploads:
    """ASGI middleware: writes the file of an upload to the disk.

    As Streamlit's own route it checks that the browser knows its token and that the visit lives.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store the file of an upload; pass every other request on."""
        ids = upload_ids(scope)
        if ids is None or scope["method"] not in ("PUT", "POST"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        token = request.headers.get("X-Xsrftoken"), request.cookies.get(XSRF_COOKIE_NAME)
        if is_xsrf_enabled() and not validate_xsrf_token(*token):
            raise RefusedError(403, t("This visit has ended, or another browser opened it. Reload the page."))
        if not _is_open(ids[0]):
            raise RefusedError(400, t("This visit has ended, or another browser opened it. Reload the page."))
        try:
            async with request.form(max_files=1, max_fields=0) as form:
                await _store(form, *ids)
        except (HTTPException, MultiPartException):
            raise RefusedError(400, t("A file was expected.")) from None
        await Response(status_code=204)(scope, receive, send)


async def _store(form: FormData, session: str, file_id: str) -> None:
    files = [one for one in form.values() if isinstance(one, UploadFile)]
    if len(files) != 1:
        raise RefusedError(400, t("A file was expected."))
    record = UploadedFileRec(file_id, files[0].filename or "", files[0].content_type or "application/octet-stream", b"")
    try:
        await run_in_threadpool(streamlit_files().store, session, record, files[0].file)
    except OSError:
        raise RefusedError(503, t("The server has no room for more uploads. Try again in a minute.")) from None


def _is_open(session: str) -> bool:
    """Tell whether a visit lives."""
    from streamlit import runtime

    return runtime.get_instance().is_active_session(session)
