"""Which DICOM slices belong together: one series, one place in space, one acquisition.

Headers are rounded on their way through scanners, archives and anonymisers, so what is alike is one series; where two
passes over the head share a series, each is a stack of its own.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from unet.scans.formats.dicom_frames import Frame

SAME_PLACE = 0.01  # millimetres: closer slices are one slice twice
SAME_DIRECTION = 0.01  # of cosines, about half a degree
SAME_SIZE = 0.002  # of spacing and echo time, relative
OVERLAP = 0.75  # of the stated step: slices closer than that are two passes
MOSTLY = 0.5  # of the slices of a series: if more have a position, those without one are left out


def group_series(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Return the slices of each series, in the order of their first ones."""
    by_key: dict[tuple, list[list[Frame]]] = defaultdict(list)
    found: list[list[Frame]] = []
    for frame in frames:
        same = next((group for group in by_key[frame.key] if _alike(group[0], frame)), None)
        if same is None:
            same = []
            by_key[frame.key].append(same)
            found.append(same)
        same.append(frame)
    return found


def _alike(first: Frame, second: Frame) -> bool:
    """Tell whether two slices of one series have the same direction, pixel size and echo time, rounding aside."""
    pairs = (
        (first.orientation, second.orientation, 0.0, SAME_DIRECTION),
        (first.reference["spacing"], second.reference["spacing"], SAME_SIZE, 0.0),
        (first.echo, second.echo, SAME_SIZE, 0.0),
    )
    return all(
        np.allclose(one, other, rtol=relative, atol=absolute)
        if one is not None and other is not None
        else one is None and other is None
        for one, other, relative, absolute in pairs
    )


def without_lost(frames: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Return the slices that have a position, and those that lack one where most of their series have it."""
    placed = [frame for frame in frames if frame.position is not None]
    if len(placed) <= MOSTLY * len(frames):
        return frames, []
    return placed, [frame for frame in frames if frame.position is None]


def slice_normal(orientation: tuple[float, ...]) -> np.ndarray | None:
    """Return the unit vector along which slices follow each other, or None for impossible cosines."""
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column), np.linalg.norm(normal)
    return normal / lengths[2] if all(0.9 < length < 1.1 for length in lengths) else None


def split_stacks(frames: list[Frame]) -> list[list[Frame]]:
    """Sort a group by position; where places were taken up to n times, give n stacks, the fullest first."""
    frames = sorted(frames, key=lambda frame: (frame.number, frame.file, frame.index))
    seen, unique = set(), []
    for frame in frames:  # the same file given twice; some tools give all slices one UID, so place and number count
        identity = frame.reference["instance"] or frame.file, frame.index, frame.number, frame.position
        if identity not in seen:
            seen.add(identity)
            unique.append(frame)
    normal = slice_normal(unique[0].orientation) if unique[0].orientation else None
    if normal is None or any(frame.position is None for frame in unique):
        return [unique]
    places: list[tuple[float, list[Frame]]] = []
    for frame in sorted(unique, key=lambda frame: float(normal @ np.array(frame.position))):
        depth = float(normal @ np.array(frame.position))
        if places and depth - places[-1][0] < SAME_PLACE:
            places[-1][1].append(frame)
        else:
            places.append((depth, [frame]))
    for _, here in places:
        here.sort(key=lambda frame: (frame.number, frame.file, frame.index))
    layers = range(max(len(here) for _, here in places))
    if len(layers) == 1 and (passes := _passes(unique, [depth for depth, _ in places])):
        return [stack for one in passes for stack in split_stacks(one)]
    return [[here[layer] for _, here in places if layer < len(here)] for layer in layers]


def _passes(frames: list[Frame], depths: list[float]) -> list[list[Frame]]:
    """Return the slices of each acquisition, the first first, where several lie closer than the header's step allows.

    Empty where there is one acquisition, or several that fill each other's gaps, as concatenated ones do.
    """
    step = frames[0].reference["thickness"]
    numbers = sorted({frame.acquisition for frame in frames if frame.acquisition is not None})
    if len(numbers) < 2 or not step or any(frame.acquisition is None for frame in frames):
        return []
    if np.median(np.diff(depths)) >= OVERLAP * step:
        return []
    return [[frame for frame in frames if frame.acquisition == number] for number in numbers]
