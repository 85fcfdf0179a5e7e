"""What kind of file is accepted, decided by its first bytes."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unet.language import t
from unet.scans.formats.archives import is_companion, is_data_half, is_junk
from unet.scans.formats.signatures import FORMATS, START, UNREADABLE, sniff
from views.server.refusals import RefusedError
from views.server.uploads import MULTIPART_BYTES, upload_ids


class FileTypes:
    """ASGI middleware: refuses an upload that begins like no file that the app reads."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and check the first bytes of an upload while they arrive."""
        if upload_ids(scope) is None or scope["method"] not in ("PUT", "POST"):
            await self._app(scope, receive, send)
            return
        started: bytes | None = b""

        async def checked() -> Message:
            nonlocal started
            message = await receive()
            if started is not None and message["type"] == "http.request":
                started = _judge(started + message.get("body", b""), final=not message.get("more_body", False))
            return message

        await self._app(scope, checked, send)


def _judge(started: bytes, final: bool) -> bytes | None:
    """Return the bytes to wait with, or None once the file is known.

    Raises:
        RefusedError: the body holds something else before the file, or the file begins like none that the app reads.
    """
    head, found, content = started.partition(b"\r\n\r\n")
    if (found and b"filename=" not in head.lower()) or (not found and len(started) > MULTIPART_BYTES):
        raise RefusedError(400, t("A file was expected."))
    if not final and (not found or len(content) < START):
        return started
    if not found or _may_be_anything(head):
        return None
    kind = sniff(content[:START])
    if kind is None:
        raise RefusedError(415, t("Unknown file type; supported: {formats}.", formats=t(FORMATS)))
    if kind in UNREADABLE:
        raise RefusedError(415, t(UNREADABLE[kind]))
    return None


def _may_be_anything(head: bytes) -> bool:
    """Tell by its name a file whose first bytes say nothing.

    That is the half of a scan that begins with pixels, and what lies beside pictures in a folder.
    """
    named = re.search(rb'filename="([^"\r\n]*)"', head)
    name = named[1].decode(errors="replace") if named else ""
    return is_data_half(name) or is_junk(name) or is_companion(name)
