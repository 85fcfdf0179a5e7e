"""What the server accepts as an upload, decided while the bytes arrive.

Streamlit's own limit is for one file; it has none for a visit, and looks at no content. This middleware stands before
Streamlit's upload route: it counts what a session holds, stops a body as soon as it is too much, and turns away what
none of the readers knows by its first bytes.
"""

import re
import time
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unet.scans.formats.signatures import FORMATS, START, sniff
from unet.scans.sandbox import MAX_FILE_BYTES, MAX_UPLOAD_BYTES

MAX_FILES = 5_000  # a session; a long DICOM series has some hundred
SPARE_SECONDS = 60  # on top of what Streamlit gives a visitor whose connection dropped to come back
MULTIPART_BYTES = 64 << 10  # that may come around the files
_ROUTE = re.compile(r".*/_stcore/upload_file/([^/]+)/([^/]+)$")


class _TooMuch(Exception):
    """The body went past a limit; carries the answer."""

    def __init__(self, status: int, words: str):
        self.response = PlainTextResponse(words, status)


class UploadLimits:
    """ASGI middleware; knows sessions only by their number of bytes, by file."""

    def __init__(self, app: ASGIApp, now: Callable[[], float] = time.monotonic):
        self._app, self._now = app, now
        self._held: dict[str, dict[str, int]] = {}
        self._gone: dict[str, float] = {}  # when a session was first seen without its browser

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = _ROUTE.match(scope["path"]) if scope["type"] == "http" else None
        if match is None or scope["method"] not in ("PUT", "POST", "DELETE"):
            await self._app(scope, receive, send)
            return
        session, file = match.groups()
        self._forget_closed_sessions()
        held = self._held.setdefault(session, {})
        held.pop(file, None)
        if scope["method"] == "DELETE":
            await self._app(scope, receive, send)
            return
        if len(held) >= MAX_FILES:
            await _TooMuch(413, f"At most {MAX_FILES:,} files a visit.").response(scope, receive, send)
            return
        held[file] = 0
        started: bytes | None = b""
        answered = False

        async def counted() -> Message:
            nonlocal started
            message = await receive()
            if message["type"] == "http.request":
                body = message.get("body", b"")
                held[file] += len(body)
                # the sum anew each time, as a browser sends several files at once
                if (
                    held[file] > MAX_FILE_BYTES + MULTIPART_BYTES
                    or sum(held.values()) > MAX_UPLOAD_BYTES + MULTIPART_BYTES
                ):
                    raise _TooMuch(
                        413, f"At most {MAX_FILE_BYTES >> 20} MB a file, {MAX_UPLOAD_BYTES >> 20} MB a visit."
                    )
                if started is not None:
                    started += body
                    started = _judge(started, final=not message.get("more_body", False))
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = answered or message["type"] == "http.response.start"
            if message["type"] == "http.response.start" and message["status"] >= 400:
                held.pop(file, None)
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooMuch as refusal:
            held.pop(file, None)
            if not answered:
                await refusal.response(scope, receive, send)

    def _forget_closed_sessions(self) -> None:
        """Forget who holds nothing, or has been gone for too long to come back to what Streamlit keeps for them."""
        from streamlit import config, runtime

        if not runtime.exists():
            return
        active, now = runtime.get_instance().is_active_session, self._now()
        self._held = {session: files for session, files in self._held.items() if files}
        self._gone = {session: self._gone.get(session, now) for session in self._held if not active(session)}
        too_long = config.get_option("server.disconnectedSessionTTL") + SPARE_SECONDS
        for session, since in self._gone.items():
            if now - since > too_long:
                del self._held[session]


def _judge(started: bytes, final: bool) -> bytes | None:
    """Return the bytes to wait with, or None once the file is known.

    Raises:
        _TooMuch: the file begins like none that the app reads.
    """
    _, found, content = started.partition(b"\r\n\r\n")
    if not final and (not found or len(content) < START):
        if len(started) > MULTIPART_BYTES:
            raise _TooMuch(400, "A file was expected.")
        return started
    # the `.img` half of a NIfTI pair begins with pixels, so its name has to do
    named_img = b".img" in started[: len(started) - len(content)].lower()
    if found and sniff(content) is None and not named_img:
        raise _TooMuch(415, f"Begins with none of the marks of {FORMATS}.")
    return None
