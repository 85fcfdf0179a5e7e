"""Zip, tar and gzip from strangers: unpacked in memory, file by file, nothing written to disk.

More than a table of contents states is never unpacked. Refused are archives that are too big, too many, too dense,
encrypted, that name files outside themselves, or whose entries share their bytes.
Sources: Fifield (2019), "A better zip bomb", for overlapping entries; APPNOTE.TXT 6.3.10, 4.3, for the records.
"""

import bz2
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import suppress
from functools import partial

from unet.language import t
from unet.scans.contents import Content
from unet.scans.scan import IngestError, plain_name

MAX_BYTES = 2 << 30  # unpacked, of one upload; of which no more is in memory than one file
MAX_ENTRIES = 5_000
MAX_RATIO = 200  # unpacked to packed; a head in black air reaches 10 to 30
FREE_BYTES = 8 << 20  # below this an archive may be as dense as it likes
_CHUNK, _SLICE = 1 << 20, 1 << 16
_GZIP, _RAW = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS  # the first takes zlib's own header too
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError, RuntimeError)
_JUNK = (".ds_store", "thumbs.db", "desktop.ini", "dicomdir")
_DATA_HALF = re.compile(r"\.(img|brik|rec|z?raw)(\.(gz|bz2))?$", re.IGNORECASE)
_COMPANIONS = (".json", ".tsv", ".csv", ".bval", ".bvec", ".txt", ".md", ".xml", ".html", ".yaml", ".yml", ".log")


def is_junk(name: str) -> bool:
    r"""Tell the files that operating systems and CD burners leave beside pictures.

    >>> is_junk("__MACOSX/._a.dcm"), is_junk("scan\\Thumbs.db"), is_junk("scan/a.dcm")
    (True, True, False)
    """
    parts = name.lower().replace("\\", "/").split("/")
    return parts[-1] in _JUNK or parts[-1].startswith("._") or "__macosx" in parts


def is_companion(name: str) -> bool:
    """Tell the files of text that lie beside pictures, in a BIDS folder for one.

    >>> is_companion("sub-01/anat/sub-01_T1w.json"), is_companion("README"), is_companion("flair.nii")
    (True, True, False)
    """
    own = name.lower().replace("\\", "/").rpartition("/")[2]
    return own.endswith(_COMPANIONS) or own in ("readme", "changes", "license")


def is_data_half(name: str) -> bool:
    """Tell the files that hold the values of a scan whose header is a file of its own.

    >>> is_data_half("a.img"), is_data_half("a+orig.BRIK.gz"), is_data_half("a.nii.gz")
    (True, True, False)
    """
    return bool(_DATA_HALF.search(name))


def unzip(archive: Content, name: str, room: int = MAX_BYTES) -> tuple[list[tuple[str, Content]], list[str]]:
    """Return the files in a zip, (name, content), and a sentence for each one that was left out.

    A file is unpacked when its content is read, up to the size that the table of contents states.

    Args:
        archive: the zip.
        name: for messages.
        room: bytes that it may unpack to.

    Raises:
        IngestError: the archive as a whole cannot be trusted or read.
    """
    _check_directory(archive, name)
    try:
        opened = zipfile.ZipFile(archive.stream())
    except (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError):
        raise IngestError(t("{name}: the zip is incomplete or damaged. Pack it again.", name=name)) from None
    entries = [entry for entry in opened.infolist() if not entry.is_dir() and not is_junk(entry.filename)]
    if len(entries) > MAX_ENTRIES:
        raise IngestError(
            t(
                "{name}: {count:,} files; at most {max_entries:,} are allowed. Pack only the series you need.",
                name=name,
                count=len(entries),
                max_entries=MAX_ENTRIES,
            )
        )
    _check_overlap(entries, name)
    _check_size(sum(entry.file_size for entry in entries), archive.size, name, room)
    files, problems = [], []
    for entry in entries:
        shown = plain_name(entry.filename)
        if _leads_outside(entry.filename):
            raise IngestError(
                t(
                    "{name}: the entry {shown!r} is an unsafe path: it points outside the archive.",
                    name=name,
                    shown=shown,
                )
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            problems.append(t("{shown}: a link, not a file; left out.", shown=shown))
        elif entry.flag_bits & 1:
            raise IngestError(
                t("{name}: the zip is encrypted. Unpack it with its password and upload the files.", name=name)
            )
        else:
            files.append((shown, Content(shown, entry.file_size, partial(_unpack, opened, entry))))
    return files, problems


def untar(archive: Content, name: str, room: int = MAX_BYTES) -> tuple[list[tuple[str, Content]], list[str]]:
    """Return the files in a tar, as `unzip` does."""
    files: list[tuple[str, Content]] = []
    problems: list[str] = []
    try:
        with archive.stream() as stream, tarfile.open(fileobj=stream, mode="r:") as opened:
            for count, member in enumerate(opened):
                shown = plain_name(member.name)
                if count == MAX_ENTRIES:
                    problems.append(t("{name}: the first {count:,} files are read.", name=name, count=count))
                    break
                if member.isdir() or is_junk(member.name):
                    continue
                if _leads_outside(member.name) or not member.isreg() or member.issparse():
                    problems.append(t("{shown}: not a plain file inside the archive; left out.", shown=shown))
                elif member.size > room:
                    raise IngestError(_too_large(name))
                elif member.offset_data + member.size <= archive.size:
                    room -= member.size
                    files.append((shown, archive.part(shown, member.offset_data, member.size)))
                else:
                    raise EOFError
    except (tarfile.TarError, ValueError, EOFError, OSError):
        problems.append(t("{name}: the archive is cut off or damaged. Pack it again.", name=name))
    return files, problems


def _too_large(name: str) -> str:
    return t(
        "{name}: unpacks to more than {max_bytes} MB. Pack only the series you need.",
        name=name,
        max_bytes=MAX_BYTES >> 20,
    )


def _check_directory(archive: Content, name: str) -> None:
    """Refuse a table of contents that is too long before anything walks through it."""
    last = archive.part(name, max(0, archive.size - 66_000), min(archive.size, 66_000)).read()
    end = last.rfind(b"PK\5\6")
    if end < 0 or end + 22 > len(last):
        raise IngestError(
            t("{name}: the zip is incomplete: its table of contents is missing. Pack it again.", name=name)
        )
    count, size = struct.unpack("<HI", last[end + 10 : end + 16])
    if count > MAX_ENTRIES or size > MAX_ENTRIES * 600:
        found = t("more than 65,000") if count == 0xFFFF else f"{count:,}"
        raise IngestError(
            t(
                "{name}: {found} files; at most {max_entries:,} are allowed. Pack only the series you need.",
                name=name,
                found=found,
                max_entries=MAX_ENTRIES,
            )
        )


def _check_overlap(entries: list[zipfile.ZipInfo], name: str) -> None:
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise IngestError(
                t("{name}: entries of the zip share the same bytes, as zip bombs do. Pack it again.", name=name)
            )
        end = entry.header_offset + 30 + len(entry.filename.encode(errors="replace")) + entry.compress_size


def _leads_outside(filename: str) -> bool:
    parts = filename.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or bool(re.match("[A-Za-z]:", filename))  # a drive, no time of day


def _check_size(unpacked: int, packed: int, name: str, room: int) -> None:
    """Refuse a zip by the sizes that it states; more than those is never unpacked."""
    if unpacked > room:
        raise IngestError(_too_large(name))
    if unpacked > max(FREE_BYTES, MAX_RATIO * packed):
        raise IngestError(
            t(
                "{name}: unpacks to more than {max_ratio} times its size, as zip bombs do.",
                name=name,
                max_ratio=MAX_RATIO,
            )
        )


def _unpack(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, start: int, count: int) -> bytes:
    """Read some bytes of one entry, which zipfile ends at the size that the entry states."""
    try:
        with opened.open(entry) as stream:
            stream.seek(start)
            return stream.read(count)
    except _DAMAGED:
        raise IngestError(
            t("{shown}: damaged inside the zip; left out. Pack it again.", shown=plain_name(entry.filename))
        ) from None


def inflate_start(data: bytes, wanted: int) -> bytes:
    """Return the first bytes of a gzip file, at most `wanted`, less where the file is damaged."""
    return _inflate(data, wanted, _GZIP)[0]


def gunzip(data: bytes, name: str, room: int) -> bytes:
    """Return what a gzip file, or a zlib stream, holds.

    Raises:
        IngestError: it holds more than `room` bytes, or is damaged.
    """
    return _whole(*_inflate(data, room + 1, _GZIP), name, room)


def bunzip(data: bytes, name: str, room: int) -> bytes:
    """Return what a bzip2 file holds; errors as `gunzip`."""
    pieces, size, complete = [], 0, False
    with suppress(OSError, ValueError, EOFError):
        while data and size <= room:
            engine, fed = bz2.BZ2Decompressor(), data
            while not engine.eof and size <= room and (fed or not engine.needs_input):
                pieces.append(engine.decompress(fed, room + 1 - size))
                size, fed = size + len(pieces[-1]), b""
            complete = engine.eof
            data = engine.unused_data if engine.unused_data.startswith(b"BZh") else b""  # files may follow one another
    return _whole(b"".join(pieces), complete, name, room)


def inflates_beyond(data: bytes, room: int) -> bool:
    """Tell whether a raw deflate stream unpacks to more than `room` bytes."""
    return len(_inflate(data, room + 1, _RAW)[0]) > room


def _whole(content: bytes, complete: bool, name: str, room: int) -> bytes:
    """Return what was unpacked, if it is all and no more than there is room for; errors as `gunzip`."""
    if len(content) > room:
        raise IngestError(
            t(
                "{name}: unpacks to more than {room:,} bytes, more than its content should need.",
                name=name,
                room=room,
            )
        )
    if not complete:
        raise IngestError(
            t(
                "{name}: its compressed bytes are cut off or damaged after {count:,} unpacked ones. Copy it again.",
                name=name,
                count=len(content),
            )
        )
    return content


def _inflate(data: bytes, room: int, kind: int) -> tuple[bytes, bool]:
    """Unpack up to `room` bytes; also tell whether the end, with its checksum, was reached."""
    pieces, size, start = [], 0, 0
    engine, waiting = zlib.decompressobj(kind), b""
    try:
        while size < room:
            if not waiting:  # fed in slices, as zlib copies what it has not used yet
                waiting, start = data[start : start + _SLICE], start + _SLICE
                if not waiting:
                    break
            piece = engine.decompress(waiting, min(_CHUNK, room - size))
            pieces.append(piece)
            size += len(piece)
            waiting = engine.unconsumed_tail
            if engine.eof:
                start -= len(engine.unused_data)
                following = data[start : start + 2]
                if kind == _RAW or following != b"\x1f\x8b":
                    return b"".join(pieces), True
                engine, waiting = zlib.decompressobj(kind), b""  # gzip files may follow one another
    except zlib.error:
        pass
    return b"".join(pieces), False
