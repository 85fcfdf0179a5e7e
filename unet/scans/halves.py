"""Scans that lie in two or more files: a header, and the files with its values.

A header may name its data files. They are looked for among the files of the upload alone, never on a disk: whatever
path a header holds, it leads nowhere else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import basename, dirname, normpath

from unet.language import t
from unet.scans.formats.archives import is_data_half
from unet.scans.limits import MAX_SLICES
from unet.scans.scan import plain_name
from unet.scans.unpacking import UploadedFile

_TWINS = {".hdr": (".img", ".img.gz"), ".head": (".BRIK", ".BRIK.gz", ".BRIK.bz2"), ".par": (".REC", ".REC.gz")}
_HEADER_NAMES = {".img": ".hdr", ".brik": ".HEAD", ".rec": ".PAR"}
_MAX_HEADER = 1 << 20  # bytes in which a header names its data files
_MAX_NAME = 1000  # characters of a name with a pattern
_NAMED = {  # how it does so, and where it ends
    "nrrd": (re.compile(rb"^data ?file:(.*)$", re.MULTILINE), re.compile(rb"\r?\n\r?\n")),
    "metaimage": (re.compile(rb"^[ \t]*ElementDataFile[ \t]*=(.*)$", re.MULTILINE | re.IGNORECASE), None),
}
_PATTERN = re.compile(
    r"(.*)%(0?)(\d?)d(\S*) +(-?\d{1,6}) +(-?\d{1,6})(?: +(-?\d{1,6}))?(?: +\d+)?"
)  # of numbered names


@dataclass(frozen=True)
class Halves:
    """What belongs to a header.

    Attributes:
        found: the data files, in the order in which the header names them.
        missing: names of those that are not in the upload.
    """

    found: tuple[UploadedFile, ...] = ()
    missing: tuple[str, ...] = ()

    def contents(self) -> list[bytes]:
        """Return the bytes of the data files."""
        return [one.content for one in self.found]


def join_halves(files: list[UploadedFile]) -> tuple[list[UploadedFile], dict[str, Halves]]:
    """Return the files that stand for themselves, and by the key of a header what belongs to it."""
    named = {one.key: names for one in files if (names := _data_files(one))}
    by_name = {one.name.lower(): one for one in files if one.key not in named}  # a header is no data file
    halves, claimed = {}, set()
    for one in files:
        if one.key in named:
            wanted = [_find(one.name, names, by_name) for names in named[one.key]]
            found = tuple(part for part in wanted if isinstance(part, UploadedFile))
            halves[one.key] = Halves(found, tuple(part for part in wanted if isinstance(part, str)))
            claimed |= {part.key for part in found}
    lonely = {one.key for one in files if one.kind is None and is_data_half(one.name)}
    return [one for one in files if one.key not in claimed | lonely], halves


def say_what_is_left(files: list[UploadedFile], halves: dict[str, Halves], read: set[str]) -> Iterator[str]:
    """Yield a sentence for each data file that was not read.

    Args:
        files: all of the upload.
        halves: as `join_halves` returns them.
        read: names of the files that became scans.
    """
    claimed: set[str] = set()
    for header in files:
        found = halves[header.key].found if header.key in halves else ()
        claimed |= {part.key for part in found}
        if found and header.name not in read:
            ending = re.sub(r"\.gz$", "", header.name, flags=re.IGNORECASE).rpartition(".")[2]
            yield t("{name}: left out together with its .{ending} file.", name=found[0].name, ending=ending)
    for one in files:
        if one.key in claimed or one.kind is not None or not is_data_half(one.name):
            continue
        ending = next((own for half, own in _HEADER_NAMES.items() if half in one.name.lower()), None)
        yield (
            t("{name}: the {ending} file of the same name is missing. Upload both files.", name=one.name, ending=ending)
            if ending
            else t("{name}: values without their header, an .mhd or .nhdr file. Upload both files.", name=one.name)
        )


def _data_files(header: UploadedFile) -> list[tuple[str, ...]]:
    """Return for each data file of a header the names that it may have; none where the header holds the values."""
    stem, dot, ending = basename(re.sub(r"\.gz$", "", header.name, flags=re.IGNORECASE)).rpartition(".")
    if twins := _TWINS.get((dot + ending).lower()):
        return [tuple(stem + twin for twin in twins)]
    if header.kind not in _NAMED:
        return []
    named, end = _NAMED[header.kind]
    start = header.start(_MAX_HEADER)
    start = end.split(start, 1)[0] if end else start
    found = named.search(start)
    value = found[1].decode(errors="replace").strip() if found else ""
    if not found or value.upper() in ("", "LOCAL"):
        return []
    following = start[found.end() :].decode(errors="replace").splitlines()
    return [(name,) for name in _expand(value, following)]


def _expand(value: str, following: list[str]) -> list[str]:
    """Return the names in a header's field: one, a list in the lines that follow, or numbered ones.

    >>> _expand("a%03d.raw 1 5 2", []), _expand("LIST 2", ["a.raw", "", "b.raw"]), _expand("my scan.raw", [])
    (['a001.raw', 'a003.raw', 'a005.raw'], ['a.raw', 'b.raw'], ['my scan.raw'])
    """
    if re.fullmatch(r"LIST( +\d+)?", value):
        return [line.strip() for line in following if line.strip()][:MAX_SLICES]
    if len(value) > _MAX_NAME or not (found := _PATTERN.fullmatch(value)):
        return [value]
    before, zero, width, after, first, last, step = found.groups()
    step = int(step or 1) or 1
    numbers = range(int(first), int(last) + (1 if step > 0 else -1), step)[:MAX_SLICES]
    return [f"{before}{number:{zero}{width}d}{after}" for number in numbers]


def _find(header: str, names: tuple[str, ...], by_name: dict[str, UploadedFile]) -> UploadedFile | str:
    """Return the file of the upload that one of the names means, seen from its header; else the name, for people."""
    folder = dirname(header)
    for name in names:
        name = name.replace("\\", "/")
        for path in (name, basename(name)):  # people move files that a header names with their old folder
            if found := by_name.get(plain_name(normpath(f"{folder}/{path}" if folder else path)).lower()):
                return found
    return plain_name(basename(names[0].replace("\\", "/")))
