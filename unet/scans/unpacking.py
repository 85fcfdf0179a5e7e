"""The files of an upload, those inside archives too: zip, tar and gzip, one level deep."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from unet.language import t
from unet.scans.contents import Content
from unet.scans.formats.archives import (
    FREE_BYTES,
    MAX_BYTES,
    MAX_RATIO,
    gunzip,
    inflate_start,
    is_companion,
    is_data_half,
    is_junk,
    untar,
    unzip,
)
from unet.scans.formats.signatures import FORMATS, START, sniff
from unet.scans.limits import MAX_READ
from unet.scans.scan import IngestError

MAX_GZIPPED = 128 << 20  # unpacked, of anything but NIfTI, whose header tells its size, and archives
_GZIP_START = 64 << 10  # bytes of a gzip that hold the start of what is packed
MAX_DEPTH = 2  # an archive may hold archives
_ARCHIVES = ("zip", "tar")


@dataclass(frozen=True)
class UploadedFile:
    """A file of an upload, perhaps from inside an archive: the key tells it from others of the same name."""

    key: str
    name: str
    source: Content
    kind: str | None

    @property
    def content(self) -> bytes:
        """All bytes, read now.

        Raises:
            IngestError: they are too many for the reader's memory, or damaged inside an archive.
        """
        return self.source.read()

    def start(self, count: int) -> bytes:
        """Return the first bytes, none where they are damaged inside an archive; `content` says so then."""
        with suppress(IngestError):
            return self.source.start(count)
        return b""


def unpack(
    files: list[tuple[str, Content]],
    problems: list[str],
    starting: Callable[[str, str], None],
    left_out: frozenset[str],
) -> tuple[list[UploadedFile], list[str]]:
    """Return every file of an upload, and the names of those that hold no picture by their nature.

    Args:
        files: (name, content).
        problems: gets a sentence for each file that is left out.
        starting: called with key and name before a file is opened.
        left_out: keys of files that are not touched.
    """
    unpacker, unpacked, passed_over = _Unpacker(problems), [], []
    for number, (name, content) in enumerate(files):
        if str(number) in left_out:
            continue
        if is_junk(name):
            passed_over.append(name)
            continue
        starting(str(number), name)
        for one in unpacker.unpack(str(number), name, content, MAX_DEPTH):
            if one.kind is None and is_companion(one.name):
                passed_over.append(one.name)
            elif one.key not in left_out:
                unpacked.append(one)
    return unpacked, passed_over


def say_why_passed_over(name: str) -> str:
    """Return what to say of a file without a picture, where an upload holds nothing else."""
    own = PurePosixPath(name.replace("\\", "/")).name
    if own.lower() == "dicomdir":
        return t("{name}: a DICOMDIR only lists the other files of its disc. Upload the whole folder.", name=name)
    if own.startswith("._"):
        return t(
            "{name}: macOS keeps notes on {other} in this file, not the picture. Upload {other}.",
            name=name,
            other=own.removeprefix("._"),
        )
    return t("{name}: holds no picture. Expected {formats}.", name=name, formats=t(FORMATS))


class _Unpacker:
    """Opens archives, as long as what unpacks fits into one upload.

    Args:
        problems: gets a sentence for each file that is left out.
    """

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems
        self._left, self._held = MAX_BYTES, MAX_READ  # of all files; of archives in archives, which stay in memory

    def unpack(self, key: str, name: str, content: Content, depth: int) -> Iterator[UploadedFile]:
        """Yield a file, or what it holds; a file that cannot be opened is left out in words."""
        try:
            yield from self._open(key, name, content, depth)
        except IngestError as error:
            self._problems.append(str(error))

    def _open(self, key: str, name: str, content: Content, depth: int) -> Iterator[UploadedFile]:
        """Yield a file, or what it holds.

        Args:
            key: of the file; what is inside gets keys under it.
            name: for people.
            content: its bytes.
            depth: how many archives may still be opened on the way.
        """
        kind = sniff(content.start(START))
        if not content.size:
            self._problems.append(t("{name}: the file is empty. Copy it again.", name=name))
        elif kind in _ARCHIVES and not depth:
            self._problems.append(t("{name}: an archive too deep inside others. Unpack it first.", name=name))
        elif kind in _ARCHIVES:
            yield from self._open_archive(key, name, content, depth, unzip if kind == "zip" else untar)
        elif kind == "gzip":
            yield from self._open_gzip(key, name, content, depth)
        else:
            yield UploadedFile(key, name, content, kind)

    def _open_archive(
        self,
        key: str,
        name: str,
        content: Content,
        depth: int,
        extract: Callable[[Content, str, int], tuple[list[tuple[str, Content]], list[str]]],
    ) -> Iterator[UploadedFile]:
        if depth < MAX_DEPTH:  # a zip in a zip cannot be looked into where it lies
            content = self._hold(name, content)
        inside, sentences = extract(content, name, self._left)
        self._left -= sum(data.size for _, data in inside)
        self._problems += sentences
        if not inside and not sentences:
            self._problems.append(t("{name}: the archive is empty. Expected {formats}.", name=name, formats=t(FORMATS)))
        for number, (entry, data) in enumerate(inside):
            yield from self.unpack(f"{key}/{number}", entry, data, depth - 1)

    def _hold(self, name: str, content: Content) -> Content:
        """Read an archive into memory, as far as all of them fit."""
        if content.size > self._held:
            raise IngestError(
                t(
                    "{name}: unpacks to more than {max_bytes} MB. Pack only the series you need.",
                    name=name,
                    max_bytes=MAX_READ >> 20,
                )
            )
        self._held -= content.size
        return Content.of(name, content.read())

    def _open_gzip(self, key: str, name: str, content: Content, depth: int) -> Iterator[UploadedFile]:
        """Yield what a gzip holds; what has a header that tells its size stays packed until that has been read."""
        inner = sniff(inflate_start(content.start(_GZIP_START), START))
        if inner == "nifti" or (inner is None and is_data_half(name)):
            yield UploadedFile(key, name, content, inner)
        elif inner is None or not depth:
            self._problems.append(
                t(
                    "{name}: a gzip that holds neither NIfTI, DICOM nor a picture. Expected {formats}.",
                    name=name,
                    formats=t(FORMATS),
                )
            )
        else:
            dense = max(FREE_BYTES, MAX_RATIO * content.size)
            unpacked = gunzip(content.read(), name, min(self._held, dense) if inner == "tar" else MAX_GZIPPED)
            if inner == "tar":
                self._held -= len(unpacked)
            own = name.removesuffix(".gz")
            yield from self.unpack(key, own, Content.of(own, unpacked), depth - (inner == "gzip"))
