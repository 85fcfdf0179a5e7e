"""Single pictures that are slices: joined into one stack, sorted by the numbers in their names."""

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from unet.data.sequences import EXPECTED_MASK, guess_from_name
from unet.language import t
from unet.scans.formats.signatures import PICTURE_KINDS
from unet.scans.limits import MAX_SLICES
from unet.scans.scan import Scan

MIN_STACK = 4  # so many grey pictures of one size are slices; two or three are sequences
PICTURES = (*PICTURE_KINDS.values(), "TIFF")


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
    pictures = [scan for scan in scans if scan.file_format in PICTURES and len(scan.voxels) == 1]
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
