"""The bytes of a file of an upload, read when they are asked for: a study is larger than the reader's memory."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

from unet.language import t
from unet.scans.limits import MAX_READ
from unet.scans.scan import IngestError


class Content:
    """Bytes that lie in memory, in a file, or packed in an archive.

    Args:
        name: of the file, for messages.
        size: of all, in bytes, as far as it is believed.
        read_at: returns up to so many bytes (second) from a place on (first).
        path: where they lie, if they are a whole file.
    """

    def __init__(self, name: str, size: int, read_at: Callable[[int, int], bytes], path: Path | None = None) -> None:
        self.name, self.size, self._read_at, self._path = name, size, read_at, path

    @classmethod
    def of(cls, name: str, source: bytes | Path) -> Self:
        """Return the content of bytes, or of a file.

        Raises:
            OSError: there is no such file.
        """
        if isinstance(source, bytes):
            return cls(name, len(source), lambda start, count: source[start : start + count])

        def read_at(start: int, count: int) -> bytes:
            with source.open("rb") as opened:
                opened.seek(start)
                return opened.read(count)

        return cls(name, source.stat().st_size, read_at, source)

    def start(self, count: int) -> bytes:
        """Return the first bytes, fewer where there are no more."""
        return self._read_at(0, min(count, self.size))

    def read(self) -> bytes:
        """Return all bytes.

        Raises:
            IngestError: they are more than fit into the reader's memory.
        """
        if self.size > MAX_READ:
            raise IngestError(
                t(
                    "{name}: one file of {size:,} MB; at most {max_read} MB are allowed for a picture. Split it.",
                    name=self.name,
                    size=self.size >> 20,
                    max_read=MAX_READ >> 20,
                )
            )
        return self._read_at(0, self.size)

    def stream(self) -> BinaryIO:
        """Return all bytes as an open file that can seek; from inside an archive they are read first."""
        return self._path.open("rb") if self._path else io.BytesIO(self.read())

    def part(self, name: str, start: int, size: int) -> "Content":
        """Return some of the bytes under a name of their own; they stay where they are."""
        return Content(name, size, lambda place, count: self._read_at(start + place, min(count, size - place)))
