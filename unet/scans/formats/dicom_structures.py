"""What segmentations and contours have in common: structures, the grid that they lie on, and the scan that they become.

Most were drawn on a series of the upload, and then lie on that series' very grid. Several structures are one scan:
first all that count as lesion together, then each by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom

from unet.data.sequences import EXPECTED_MASK, OTHER
from unet.data.structures import LESION, MARGIN
from unet.language import t
from unet.scans.formats.dicom_frames import uid_of, value_of
from unet.scans.grids import file_affine
from unet.scans.limits import MAX_CHANNELS
from unet.scans.placement import LPS_TO_RAS
from unet.scans.scan import IngestError, Room, Scan

ROUNDED = 0.1  # of a voxel: a mask this close to a slice lies on it
Taken = tuple[str, str, tuple[int, ...]]  # of a channel: its name, what it is taken for, numbers of its structures


@dataclass(frozen=True)
class Structure:
    """One segment of a segmentation, or one region of interest of a structure set.

    Attributes:
        number: by which the file refers to it.
        label: its name, for people.
        kind: `LESION`, `MARGIN` or `NO_LESION`.
    """

    number: int
    label: str
    kind: str


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a mask lie, in the order of the file: slices, rows, columns.

    Attributes:
        shape: of the mask.
        to_index: 4 × 4, millimetres of DICOM (LPS+) to indices, missing slices counted.
        depths: (slices,), index at which each slice truly lies: some are missing, others unevenly spaced.
        geometry: as keyword arguments of `Scan`.
    """

    shape: tuple[int, int, int]
    to_index: np.ndarray
    depths: np.ndarray
    geometry: dict

    @classmethod
    def of(cls, scan: Scan) -> "Grid":
        """Return the grid of a picture that has an affine."""
        shape = scan.placement.inverse(np.broadcast_to(np.False_, scan.voxels.shape[:3])).shape
        to_index = np.linalg.inv(file_affine(scan)) @ LPS_TO_RAS
        depths = np.arange(shape[0], dtype=float)
        positions = [one["position"] for one in (scan.source or {}).get("references", ())]
        if len(positions) == len(depths) and all(positions):
            depths = (to_index @ np.column_stack([positions, np.ones(len(positions))]).T)[0]
        geometry = {name: getattr(scan, name) for name in ("placement", "plane", "spacing", "affine", "places")}
        return cls((shape[0], shape[1], shape[2]), to_index, depths, geometry)


def series_referred_to(dataset: pydicom.Dataset) -> list[str]:
    """Return the UIDs of the series that a mask was drawn on, wherever the file names them; empty where it does not."""
    found = [uid_of(series, "SeriesInstanceUID") for series in items(dataset, "ReferencedSeriesSequence")]
    for frame in items(dataset, "ReferencedFrameOfReferenceSequence"):
        for study in items(frame, "RTReferencedStudySequence"):
            found += [uid_of(series, "SeriesInstanceUID") for series in items(study, "RTReferencedSeriesSequence")]
    return [uid for uid in dict.fromkeys(found) if uid]


def source_of(dataset: pydicom.Dataset, frame_of_reference: str, drawn_on: list[str]) -> dict[str, str | list[str]]:
    """Return `Scan.source` of a mask: the UIDs of its study and its own series, and of where it was drawn."""
    return {
        "study": uid_of(dataset, "StudyInstanceUID"),
        "series": uid_of(dataset, "SeriesInstanceUID"),
        "frame_of_reference": frame_of_reference,
        "drawn_on": drawn_on,
    }


def items(dataset: pydicom.Dataset, keyword: str) -> Iterator[pydicom.Dataset]:
    """Yield the items of a sequence; one that is absent or damaged has none."""
    value = value_of(dataset, keyword)
    yield from value if isinstance(value, pydicom.Sequence) else ()


def drawn_on(pictures: list[Scan], series: list[str], frame_of_reference: str) -> list[Scan]:
    """Return the pictures of an upload that a mask may lie on exactly, the likeliest first.

    Args:
        pictures: scans of the upload.
        series: UIDs of those that the mask refers to.
        frame_of_reference: of the mask; may be empty.
    """
    placed = [scan for scan in pictures if scan.affine is not None]
    referred_to = [scan for scan in placed if (scan.source or {}).get("series") in series]
    same_place = [
        scan
        for scan in placed
        if frame_of_reference and (scan.source or {}).get("frame_of_reference") == frame_of_reference
    ]
    return referred_to + [scan for scan in same_place if all(scan is not one for one in referred_to)]


def channels_of(structures: list[Structure]) -> tuple[list[Taken], list[str]]:
    """Say which structures become which channels of the scan.

    Returns:
        The channels, the one to score against first, and notes.
    """
    kinds = [one.kind for one in structures]
    wanted = LESION if LESION in kinds else MARGIN
    lesions = [one for one in structures if one.kind == wanted]
    others = [one for one in structures if one.kind != wanted]
    found, notes = [], []
    if lesions:
        name = " + ".join(one.label for one in lesions)
        found.append((name, EXPECTED_MASK, tuple(one.number for one in lesions)))
    if len(lesions) > 1:
        found += [(one.label, EXPECTED_MASK, (one.number,)) for one in lesions]
        notes.append(
            t("{count} structures count together as lesion: {names}.", count=len(lesions), names=_list(lesions))
        )
    if lesions and wanted == MARGIN:
        notes.append(t("Only treatment volumes, which have a margin around the lesion: {names}.", names=_list(lesions)))
    if others:
        notes.append(t("Not counted as lesion: {names}.", names=_list(others)))
    found += [(one.label, OTHER, (one.number,)) for one in others]
    if len(found) > MAX_CHANNELS:
        notes.append(t("{max_channels} of the structures can be chosen one by one.", max_channels=MAX_CHANNELS - 1))
    return found[:MAX_CHANNELS], notes


def _list(structures: list[Structure]) -> str:
    names = [one.label for one in structures[:8]]
    return ", ".join(names if len(structures) <= 8 else [*names, "…"])


def reserve(room: Room, name: str, shape: tuple[int, int, int], channels: list[Taken], notes: list[str]) -> list[Taken]:
    """Return the channels that there is memory for: all of them, or the first alone.

    Raises:
        IngestError: there is none for the first.
    """
    try:
        room.take(name, shape, len(channels), 4)
    except IngestError:
        room.take(name, shape, 1, 4)
        if len(channels) > 1:
            notes.append(t("The upload is too large to keep the structures one by one."))
        return channels[:1]
    return channels


def mask_scan(
    file_format: str,
    names: tuple[str, str],
    voxels: np.ndarray,
    channels: list[Taken],
    grid: Grid,
    **rest: Any,
) -> Scan:
    """Return masks as a scan.

    Args:
        file_format: `DICOM-SEG` or `RTSTRUCT`.
        names: of the scan, for people, and of the file.
        voxels: (slices, rows, columns, channels), in the order of the grid.
        channels: as `channels_of` returns them.
        grid: where they lie.
        rest: further fields of `Scan`.
    """
    name, file = names
    return Scan(
        name,
        file_format,
        grid.geometry["placement"].forward(voxels),
        tuple(label for label, *_ in channels),
        1,
        tuple(guess for _, guess, _ in channels),
        window=(0.0, 1.0),
        files=(file,),
        **rest,
        **grid.geometry,
    )
