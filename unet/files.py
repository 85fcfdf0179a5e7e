"""The one way to write a file: a reader, or a start after a power cut, sees the old or the new content, never half."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new file in the same folder, and move it over `path` at the end; an error leaves `path` as it was.

    The bytes are on the disk before the name is theirs.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    # a name of its own: several processes may write the same file
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        flush(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; errors as `replacing`."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Wait until a written file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
