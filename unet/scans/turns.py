"""Who reads next: fair between visitors, cheap uploads first.

Three uploads are read at a time, at most two of which look expensive. Among those that wait, the visitor goes first
whose uploads have taken the least time lately; then a cheap upload before an expensive one; then the smaller. What only
looks cheap is stopped at its limit of processor time.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from unet.scans.contents import Content
from unet.scans.formats.signatures import START, sniff

PLACES, EXPENSIVE_PLACES = 3, 2
MAX_CHEAP, MAX_CHEAP_FILES = 8 << 20, 64  # bytes
_COMPRESSED = b"1.2.840.10008.1.2.4.", b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.1.99"  # DICOM's transfer syntaxes
REMEMBERED_SECONDS = 60.0  # in which half of what a visitor has used is forgotten


def looks_cheap(files: list[Content]) -> bool:
    r"""Tell whether reading an upload should take well under a second: small, few, and nothing in it is packed densely.

    >>> looks_cheap([Content.of("a.png", bytes.fromhex("89504e470d0a1a0a"))])
    True
    >>> looks_cheap([Content.of("a.gz", b"\x1f\x8b")])
    False
    """
    if len(files) > MAX_CHEAP_FILES or sum(one.size for one in files) > MAX_CHEAP:
        return False
    return not any(_is_packed(one.start(1 << 16)) for one in files)


def _is_packed(start: bytes) -> bool:
    """Tell archives, compressed DICOM and volumes, HEIC, progressive JPEG, interlaced PNG by their first bytes."""
    kind = sniff(start[:START])
    if kind == "dicom":
        return any(syntax in start[:1024] for syntax in _COMPRESSED)
    if kind == "jpeg":
        return b"\xff\xc2" in start
    return kind in ("zip", "tar", "gzip", "nrrd", "metaimage", "heic") or (kind == "png" and start[28:29] == b"\1")


@dataclass(eq=False)
class _Upload:
    visitor: str
    size: int
    cheap: bool
    number: int
    admitted: bool = False


@dataclass
class Turns:
    """A queue of uploads; thread-safe."""

    _changed: threading.Condition = field(default_factory=threading.Condition)
    _waiting: list[_Upload] = field(default_factory=list)
    _reading: list[_Upload] = field(default_factory=list)
    _used: dict[str, tuple[float, float]] = field(default_factory=dict)  # seconds, and when they were counted
    _number: int = 0

    @contextmanager
    def turn(self, visitor: str, size: int, cheap: bool) -> Iterator[None]:
        """Wait for a place, and hold it for as long as the block runs.

        Args:
            visitor: whose upload it is.
            size: bytes.
            cheap: whether it looks as if it took little processor time.
        """
        with self._changed:
            self._number += 1
            upload = _Upload(visitor, size, cheap, self._number)
            self._waiting.append(upload)
            self._admit()
            try:
                self._changed.wait_for(lambda: upload.admitted)
            except BaseException:
                self._leave(upload)
                raise
        started = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._count(visitor, time.monotonic() - started)
                self._leave(upload)

    def _leave(self, upload: _Upload) -> None:
        for uploads in (self._waiting, self._reading):
            if upload in uploads:
                uploads.remove(upload)
        self._admit()

    def _admit(self) -> None:
        """Give free places to those whose turn it is."""
        now = time.monotonic()
        for upload in sorted(self._waiting, key=lambda one: self._order(one, now)):
            expensive = sum(not one.cheap for one in self._reading)
            if len(self._reading) < PLACES and (upload.cheap or expensive < EXPENSIVE_PLACES):
                upload.admitted = True
                self._waiting.remove(upload)
                self._reading.append(upload)
        self._changed.notify_all()

    def _order(self, upload: _Upload, now: float) -> tuple:
        reading = sum(one.visitor == upload.visitor for one in self._reading)
        return reading, round(self._recently_used(upload.visitor, now)), not upload.cheap, upload.size, upload.number

    def _recently_used(self, visitor: str, now: float) -> float:
        seconds, counted = self._used.get(visitor, (0.0, now))
        return seconds * 0.5 ** ((now - counted) / REMEMBERED_SECONDS)

    def _count(self, visitor: str, seconds: float) -> None:
        now = time.monotonic()
        self._used = {one: was for one, was in self._used.items() if self._recently_used(one, now) >= 0.5}
        self._used[visitor] = self._recently_used(visitor, now) + seconds, now
