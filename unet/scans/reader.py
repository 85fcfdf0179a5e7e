"""Files that strangers send, into Scans.

`read_files` trusts nothing, but hostile bytes may make it use memory and time: `unet.scans.sandbox` runs it in a child
process that has little of either. Libraries are imported only when a file needs them, as the child starts anew for
each upload.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from unet.data.sequences import EXPECTED_MASK, guess_from_name
from unet.language import t
from unet.scans.formats.archives import gunzip, inflate_start, is_junk, unzip
from unet.scans.formats.signatures import FORMATS, START, sniff
from unet.scans.limits import MAX_SCANS, MAX_SLICES
from unet.scans.scan import IngestError, Room, Scan

MAX_GZIPPED = 128 << 20  # unpacked, of anything but NIfTI, whose header tells its size
MIN_STACK = 4  # so many grey pictures of one size are slices; two or three are sequences


@dataclass(frozen=True)
class _File:
    """A file of an upload, perhaps from inside a zip: the key tells it from others of the same name."""

    key: str
    name: str
    content: bytes
    kind: str | None


def _say_nothing(key: str, name: str) -> None:
    pass


def read_files(
    files: list[tuple[str, bytes]],
    stacked: bool = True,
    starting: Callable[[str, str], None] = _say_nothing,
    left_out: frozenset[str] = frozenset(),
) -> tuple[list[Scan], list[str]]:
    """Read the files of one upload.

    Args:
        files: (name, content); names are only for people, for sorting and for guessing the sequence.
        stacked: whether single pictures that look like slices become one scan.
        starting: called with key and name before anything is done with the content of a file.
        left_out: keys of files that are not touched.

    Returns:
        The scans, and one plain sentence for each file that was left out. A file that cannot be read never takes
        the others with it.

    Raises:
        MemoryError: while archives are unpacked, under the limit of the process it runs in.
    """
    room, problems = Room(), []
    unpacked = [one for one in _unpacked(files, problems, starting, left_out) if one.key not in left_out]
    headers = {_stem(one.name) for one in unpacked if one.name.lower().endswith((".hdr", ".hdr.gz"))}
    # voxels of an .img may look like anything, so its name counts first
    images = {
        _stem(one.name): one
        for one in unpacked
        if one.name.lower().endswith((".img", ".img.gz")) and (one.kind is None or _stem(one.name) in headers)
    }
    rest = [one for one in unpacked if one not in images.values()]
    scans = _read_series([one for one in rest if one.kind == "dicom"], room, problems, starting)
    scans += _read_single([one for one in rest if one.kind != "dicom"], images, room, problems, starting)
    used = {_stem(scan.files[0]) for scan in scans if scan.file_format == "NIfTI"}
    for stem, image in images.items():
        if stem not in used:
            problems.append(
                t("{name}: left out together with its .hdr file.", name=image.name)
                if stem in headers
                else t("{name}: the .hdr file of the same name is missing. Upload both files.", name=image.name)
            )
    scans = stack_pictures(scans) if stacked else scans
    if stacked and len(scans) > MAX_SCANS:
        problems.append(
            t(
                "{count:,} pictures or series; the first {max_scans} are used. Upload fewer at once.",
                count=len(scans),
                max_scans=MAX_SCANS,
            )
        )
        scans = scans[:MAX_SCANS]
    return scans, problems


def _read_series(
    files: list[_File], room: Room, problems: list[str], starting: Callable[[str, str], None]
) -> list[Scan]:
    """Read the DICOM files of an upload, which make series together."""
    if not files:
        return []
    from unet.scans.formats.dicom import read_dicom

    named = [(one.name, one.content) for one in files]
    scans, sentences = read_dicom(
        named, room, _unforeseen, lambda number: starting(files[number].key, files[number].name)
    )
    problems += sentences
    return scans


def _read_single(
    files: list[_File],
    images: dict[str, _File],
    room: Room,
    problems: list[str],
    starting: Callable[[str, str], None],
) -> list[Scan]:
    """Read files that are a scan each."""
    scans = []
    for one in files:
        starting(one.key, one.name)
        try:
            scans.append(_read_one(one, room, images.get(_stem(one.name))))
        except IngestError as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(_unforeseen(one.name, error))
    return scans


def _unforeseen(name: str, error: Exception) -> str:
    """What to say of a file that broke its reader in a way nobody thought of; fuzzing makes this raise."""
    if isinstance(error, MemoryError):
        return t(
            "{name}: reading it needs more memory than one upload may use. Upload fewer or smaller slices.", name=name
        )
    return t(
        "{name}: the file is damaged and cannot be read ({error}). Export it again.",
        name=name,
        error=type(error).__name__,
    )


def _unpacked(
    files: list[tuple[str, bytes]],
    problems: list[str],
    starting: Callable[[str, str], None],
    left_out: frozenset[str],
) -> Iterator[_File]:
    """Yield every file, those inside zips too; archives inside archives stay closed."""
    for number, (name, content) in enumerate(files):
        if is_junk(name) or str(number) in left_out:
            continue
        starting(str(number), name)
        if not content:
            problems.append(t("{name}: the file is empty. Copy it again.", name=name))
        elif sniff(content[:START]) == "zip":
            yield from _unzipped(str(number), name, content, problems)
        else:
            yield from _ungzipped(str(number), name, content, problems)


def _unzipped(key: str, name: str, content: bytes, problems: list[str]) -> Iterator[_File]:
    """Yield the files of a zip; each has a key of its own, under that of the zip."""
    try:
        inside, sentences = unzip(content, name)
    except IngestError as error:
        problems.append(str(error))
        return
    problems += sentences
    if not inside:
        problems.append(t("{name}: the zip is empty. Expected {formats}.", name=name, formats=t(FORMATS)))
    for number, (entry, data) in enumerate(inside):
        if sniff(data[:START]) == "zip":
            problems.append(t("{entry}: a zip inside a zip is not opened. Unpack it first.", entry=entry))
        elif not data:
            problems.append(t("{entry}: the file is empty.", entry=entry))
        else:
            yield from _ungzipped(f"{key}/{number}", entry, data, problems)


def _ungzipped(key: str, name: str, content: bytes, problems: list[str]) -> Iterator[_File]:
    """Yield a file; a gzip is unpacked, unless it is a NIfTI, which is read with an eye on its header."""
    kind = sniff(content[:START])
    if kind != "gzip":
        yield _File(key, name, content, kind)
        return
    inner = sniff(inflate_start(content, START))
    if inner == "nifti" or (inner is None and name.lower().endswith(".img.gz")):
        yield _File(key, name, content, inner)
    elif inner in (None, "zip", "gzip"):
        problems.append(
            t(
                "{name}: a gzip that holds neither NIfTI, DICOM nor a picture. Expected {formats}.",
                name=name,
                formats=t(FORMATS),
            )
        )
    else:
        try:
            yield _File(key, name.removesuffix(".gz"), gunzip(content, name, MAX_GZIPPED), inner)
        except IngestError as error:
            problems.append(str(error))


def _read_one(file: _File, room: Room, image: _File | None) -> Scan:
    """Read a file that is a scan by itself.

    Args:
        file: one that is not an archive or DICOM.
        room: memory that is left.
        image: the `.img` of the same name, if there is one.
    """
    name, content = file.name, file.content
    if file.kind == "nifti":
        from unet.scans.formats.nifti import read_nifti

        return read_nifti(content, name, room, image and image.content)
    if file.kind in ("png", "jpeg"):
        from unet.scans.formats.pictures import read_picture

        return read_picture(content, name, room)
    if file.kind == "tiff":
        from unet.scans.formats.tiff import read_tiff

        return read_tiff(content, name, room)
    raise IngestError(
        t("{name}: unknown file type; supported: {formats}. Export it as one of these.", name=name, formats=t(FORMATS))
    )


def _stem(name: str) -> str:
    """The name that a .hdr and its .img share."""
    return re.sub(r"\.(hdr|img)(\.gz)?$", "", name, flags=re.IGNORECASE)


def natural_key(name: str) -> list:
    """Sort key that puts slice 2 before slice 10.

    >>> sorted(["s10.png", "s2.png"], key=natural_key)
    ['s2.png', 's10.png']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())]


def stack_pictures(scans: list[Scan], always: bool = False) -> list[Scan]:
    """Join single pictures of one folder, size and depth into a stack of slices, sorted by the numbers in their names.

    Two or three grey pictures are more likely the sequences of one slice, and stay apart unless `always`. Pictures
    whose names speak of different sequences make a stack for each; pictures with three colours are slices with three
    sequences, as in the data set. Masks make a stack of their own.
    """
    for group in _stackable(scans, always):
        group.sort(key=lambda scan: natural_key(scan.name))
        joined = set(map(id, group))
        scans = [scan for scan in scans if id(scan) not in joined] + [_stack(group)]
    return scans


def can_be_stacked(scans: list[Scan]) -> bool:
    """Tell whether `stack_pictures` would join any, always."""
    return bool(_stackable(scans, always=True))


def _stackable(scans: list[Scan], always: bool) -> list[list[Scan]]:
    """Return the groups of pictures that make a stack each."""
    pictures = [scan for scan in scans if scan.file_format in ("PNG", "JPEG", "TIFF") and len(scan.voxels) == 1]
    groups: dict[tuple, list[Scan]] = defaultdict(list)
    for scan in pictures:
        path, shape = PurePosixPath(scan.name), scan.voxels.shape[1:]
        size = tuple((scan.source or {}).get("size", ()))  # of the file, where it was scaled down
        kind = EXPECTED_MASK if EXPECTED_MASK in scan.guesses else None if shape[2] == 3 else guess_from_name(path.name)
        groups[path.parent, shape, size, scan.file_format, scan.bit_depth, kind].append(scan)
    return [
        group
        for (_, shape, *_, kind), group in groups.items()
        if len(group) >= (2 if always or kind == EXPECTED_MASK or shape[2] == 3 else MIN_STACK)
    ]


def _stack(group: list[Scan]) -> Scan:
    first, found = group[0], len(group)
    group = group[:MAX_SLICES]
    note = t("{count} pictures joined as slices, in the order of the numbers in their names.", count=len(group))
    if found > MAX_SLICES:
        note = t(
            "{found:,} pictures of one size; the first {max_slices} {partition}",
            found=found,
            max_slices=MAX_SLICES,
            partition=note.partition(" pictures ")[2],
        )
    return replace(
        first,
        name=f"{first.name} and {len(group) - 1} more",
        voxels=np.concatenate([scan.voxels for scan in group]),
        files=tuple(file for scan in group for file in scan.files),
        notes=(*dict.fromkeys(note for scan in group for note in scan.notes), note),
    )
