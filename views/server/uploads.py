"""What the server holds of uploads, decided while the bytes arrive.

Streamlit has a limit for one file, and none for a visit or for the server. The bytes that count are those that the file
manager holds on the disk, which is asked each time, and those of bodies that are still on their way.
"""

import asyncio
import re
from collections.abc import Callable
from weakref import WeakValueDictionary

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unet.language import t
from unet.scans.limits import MAX_FILE_BYTES, MAX_UPLOAD_BYTES
from views.server.refusals import RefusedError
from views.server.stored_files import StoredFiles, free_bytes, streamlit_files

MAX_FILES = 5_000  # a visit; a long DICOM series has some hundred
AT_ONCE = 6  # bodies a visit, as many as a browser sends; the others wait
KEPT_FREE = 1 << 30  # bytes that uploads leave on the disk
MULTIPART_BYTES = 64 << 10  # that may come around a file
_ROUTE = re.compile(r".*/_stcore/upload_file/([^/]+)/([^/]+)/?$")


def upload_ids(scope: Scope) -> tuple[str, str] | None:
    """Return the ids of the session and the file where a request is for Streamlit's upload route, else None."""
    match = _ROUTE.match(scope["path"]) if scope["type"] == "http" else None
    return None if match is None else (match[1], match[2])


class UploadLimits:
    """ASGI middleware: limits for a file, a visit and the whole server.

    Args:
        files: gives Streamlit's file manager.
        server_bytes: limit for all visits together.
    """

    def __init__(
        self,
        app: ASGIApp,
        files: Callable[[], StoredFiles] = streamlit_files,
        server_bytes: int = 8 << 30,
    ) -> None:
        self._app, self._files, self._server_bytes = app, files, server_bytes
        self._arriving: dict[tuple[str, str], int] = {}  # bytes so far, by session and file
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count the bytes of an upload while they arrive."""
        key = upload_ids(scope)
        if key is None or scope["method"] not in ("PUT", "POST"):
            await self._app(scope, receive, send)
            return
        if key in self._arriving:
            raise RefusedError(409, t("This file is being uploaded already."))
        self._arriving[key] = 0
        turn = self._turns.setdefault(key[0], asyncio.Semaphore(AT_ONCE))
        try:
            async with turn:
                length = Headers(scope=scope).get("content-length", "")
                self._check(key, int(length) if length.isdecimal() else 0)

                async def counted() -> Message:
                    message = await receive()
                    self._arriving[key] += len(message.get("body", b""))
                    self._check(key, 0)
                    return message

                async def watched(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        self._arriving[key] = 0  # an accepted file is in the manager now
                    await send(message)

                await self._app(scope, counted, watched)
        finally:
            del self._arriving[key]

    def _check(self, key: tuple[str, str], coming: int) -> None:
        """Raise RefusedError where a limit is passed, with `coming` more bytes than have arrived."""
        session, manager = key[0], self._files()
        files, stored = manager.held(session)
        arriving = [size for (one, _), size in self._arriving.items() if one == session]
        if files + len(arriving) > MAX_FILES:
            raise RefusedError(413, t("A visit may upload at most {max_files:,} files.", max_files=MAX_FILES))
        visit_bytes = stored + sum(arriving) + coming
        if self._arriving[key] + coming > MAX_FILE_BYTES + MULTIPART_BYTES or (
            visit_bytes > MAX_UPLOAD_BYTES + MULTIPART_BYTES
        ):
            raise RefusedError(
                413,
                t(
                    "At most {max_file_bytes} MB for a file and {max_upload_bytes} MB for a visit are allowed.",
                    max_file_bytes=MAX_FILE_BYTES >> 20,
                    max_upload_bytes=MAX_UPLOAD_BYTES >> 20,
                ),
            )
        arriving_bytes = sum(self._arriving.values()) + coming
        # what arrives is on the disk twice for a moment
        if held_bytes(manager) + arriving_bytes > self._server_bytes or free_bytes() < KEPT_FREE + 2 * coming:
            raise RefusedError(503, t("The server has no room for more uploads. Try again in a minute."))


def held_bytes(manager: StoredFiles) -> int:
    """Return the bytes of the files of all visits."""
    return sum(stat.byte_length for stats in manager.get_stats().values() for stat in stats)
