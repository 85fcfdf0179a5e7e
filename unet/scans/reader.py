"""Files that strangers send, into Scans.

`read_files` trusts nothing, but hostile bytes may make it use memory and time: `unet.scans.sandbox` runs it in a child
process that has little of either. Libraries are imported only when a file needs them, as the child starts anew for
each upload.
"""

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from unet.data.sequences import EXPECTED_MASK, guess_from_name
from unet.scans.formats.archives import gunzip, inflate_start, is_junk, unzip
from unet.scans.formats.signatures import FORMATS, START, sniff
from unet.scans.scan import IngestError, Room, Scan

MAX_GZIPPED = 128 << 20  # unpacked, of anything but NIfTI, whose header tells its size
MAX_SCANS = 200  # of one upload: they are shown one by one
MIN_STACK = 4  # so many grey pictures of one size are slices; two or three are sequences


def read_files(files: list[tuple[str, bytes]], stacked: bool = True) -> tuple[list[Scan], list[str]]:
    """Read the files of one upload.

    Args:
        files: (name, content); names are only for people, for sorting and for guessing the sequence.
        stacked: whether single pictures that look like slices become one scan.

    Returns:
        The scans, and one plain sentence for each file that was left out. A file that cannot be read never takes
        the others with it.

    Raises:
        MemoryError: while archives are unpacked, under the limit of the process it runs in.
    """
    room, problems, scans = Room(), [], []
    dicom, images, rest = [], {}, []
    unpacked = list(_unpacked(files, problems))
    headers = {_stem(name) for name, _ in unpacked if name.lower().endswith((".hdr", ".hdr.gz"))}
    for name, content in unpacked:
        kind = sniff(content[:START])
        if kind == "gzip":  # still packed: a NIfTI, or half of one
            kind = sniff(inflate_start(content, START))
        # voxels of an .img may look like anything, so its name counts first
        if name.lower().endswith((".img", ".img.gz")) and (kind is None or _stem(name) in headers):
            images[_stem(name)] = name, content
        elif kind == "dicom":
            dicom.append((name, content))
        else:
            rest.append((name, content, kind))
    if dicom:
        from unet.scans.formats.dicom import read_dicom

        found, sentences = read_dicom(dicom, room, _unforeseen)
        scans += found
        problems += sentences
    for name, content, kind in rest:
        try:
            scans.append(_read_one(name, content, kind, room, images))
        except IngestError as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(_unforeseen(name, error))
    used = {_stem(scan.files[0]) for scan in scans if scan.file_format == "NIfTI"}
    for stem, (name, _) in images.items():
        if stem not in used:
            missing = "the .hdr file of the same name is missing. Upload both."
            problems.append(f"{name}: {'left out together with its .hdr file.' if stem in headers else missing}")
    scans = stack_pictures(scans) if stacked else scans
    if stacked and len(scans) > MAX_SCANS:
        problems.append(f"{len(scans):,} pictures or series; the first {MAX_SCANS} are kept. Upload fewer at once.")
        scans = scans[:MAX_SCANS]
    return scans, problems


def _unforeseen(name: str, error: Exception) -> str:
    """What to say of a file that broke its reader in a way nobody thought of; fuzzing makes this raise."""
    if isinstance(error, MemoryError):
        return f"{name}: reading it needs more memory than an upload gets. Upload fewer or smaller slices."
    return f"{name}: damaged in a way that breaks its reader ({type(error).__name__}). Export it again."


def _unpacked(files: list[tuple[str, bytes]], problems: list[str]):
    """Yield every file, those inside zips too; archives inside archives stay closed."""
    for name, content in files:
        kind = sniff(content[:START])
        if is_junk(name):
            continue
        if not content:
            problems.append(f"{name}: the file is empty. Copy it again.")
        elif kind == "zip":
            try:
                inside, sentences = unzip(content, name)
            except IngestError as error:
                problems.append(str(error))
                continue
            problems += sentences
            if not inside:
                problems.append(f"{name}: no file in the zip. Expected {FORMATS}.")
            for entry, data in inside:
                if sniff(data[:START]) == "zip":
                    problems.append(f"{entry}: a zip inside a zip is not opened. Unpack it first.")
                elif not data:
                    problems.append(f"{entry}: the file is empty.")
                else:
                    yield from _ungzipped(entry, data, problems)
        else:
            yield from _ungzipped(name, content, problems)


def _ungzipped(name: str, content: bytes, problems: list[str]):
    """Yield a file; a gzip is unpacked, unless it is a NIfTI, which is read with an eye on its header."""
    if sniff(content[:START]) != "gzip":
        yield name, content
        return
    inner = sniff(inflate_start(content, START))
    if inner == "nifti" or (inner is None and name.lower().endswith(".img.gz")):
        yield name, content
    elif inner in (None, "zip", "gzip"):
        problems.append(f"{name}: a gzip that holds neither NIfTI, DICOM nor a picture. Expected {FORMATS}.")
    else:
        try:
            yield name.removesuffix(".gz"), gunzip(content, name, MAX_GZIPPED)
        except IngestError as error:
            problems.append(str(error))


def _read_one(name: str, content: bytes, kind: str | None, room: Room, images: dict[str, tuple]) -> Scan:
    """Read a file that is a scan by itself."""
    if kind == "nifti":
        from unet.scans.formats.nifti import read_nifti

        return read_nifti(content, name, room, images.get(_stem(name), (None, None))[1])
    if kind in ("png", "jpeg"):
        from unet.scans.formats.pictures import read_picture

        return read_picture(content, name, room)
    if kind == "tiff":
        from unet.scans.formats.tiff import read_tiff

        return read_tiff(content, name, room)
    raise IngestError(f"{name}: begins with none of the marks of {FORMATS}. Export it as one of these.")


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
    pictures = [scan for scan in scans if scan.file_format in ("PNG", "JPEG", "TIFF") and len(scan.voxels) == 1]
    groups: dict[tuple, list[Scan]] = defaultdict(list)
    for scan in pictures:
        path, shape = PurePosixPath(scan.name), scan.voxels.shape[1:]
        size = tuple((scan.source or {}).get("size", ()))  # of the file, where it was scaled down
        kind = EXPECTED_MASK if EXPECTED_MASK in scan.guesses else None if shape[2] == 3 else guess_from_name(path.name)
        groups[path.parent, shape, size, scan.file_format, scan.bit_depth, kind].append(scan)
    for (_, shape, *_, kind), group in groups.items():
        if len(group) >= (2 if always or kind == EXPECTED_MASK or shape[2] == 3 else MIN_STACK):
            group.sort(key=lambda scan: natural_key(scan.name))
            scans = [scan for scan in scans if scan not in group] + [_stack(group)]
    return scans


def _stack(group: list[Scan]) -> Scan:
    first = group[0]
    note = f"{len(group)} pictures joined as slices, in the order of the numbers in their names."
    return replace(
        first,
        name=f"{first.name} and {len(group) - 1} more",
        voxels=np.concatenate([scan.voxels for scan in group]),
        files=tuple(file for scan in group for file in scan.files),
        notes=(*dict.fromkeys(note for scan in group for note in scan.notes), note),
    )
