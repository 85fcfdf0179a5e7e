"""Contours of DICOM structure sets (RTSTRUCT), filled on the slices of the picture that they were drawn on.

A voxel belongs to a structure if its middle lies inside a contour, or on it, so one of a single point is a voxel, as
programs write that draw through the middles of voxels. Contours of one structure on one slice
are filled by the even-odd rule, so that a contour within another is a hole.
Source: DICOM PS3.3, C.8.8.5 (structure set), C.8.8.6 (contours), C.8.8.8 (observations).
"""

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
import pydicom

from unet.data.structures import kind_of_structure
from unet.language import t, tn
from unet.scans.formats.dicom_frames import number_of, open_file, text_of, uid_of
from unet.scans.formats.dicom_structures import (
    ROUNDED,
    Grid,
    Structure,
    Taken,
    channels_of,
    drawn_on,
    items,
    mask_scan,
    reserve,
    series_referred_to,
    source_of,
)
from unet.scans.limits import MAX_SIDE
from unet.scans.scan import IngestError, Room, Scan

CLOSED = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
MAX_POINTS, MAX_CONTOURS = 2_000_000, 50_000  # of a file
MAX_TRIED = 4  # pictures that contours may have been drawn on
FLAT = 0.5  # of a voxel: a contour that crosses more than that lies on no slice
FINE = 8  # parts of a pixel's side, so that a contour's line is thin
_SHIFT = 4  # bits of a fraction of such a part, for OpenCV


@dataclass(frozen=True, eq=False)
class _Contour:
    """A closed line of a structure: (points, 3) millimetres of DICOM."""

    structure: int
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class _Placed:
    """Contours on a grid: where they lie along `axis`, and which of them lie on which of its slices."""

    grid: Grid
    axis: int
    on_slice: dict[tuple[int, int], list[np.ndarray]]  # (structure, slice) → (points, 2) indices of the other axes
    between: int
    outside: int
    step: float


def read_contours(data: bytes, name: str, pictures: list[Scan], room: Room) -> Scan:
    """Read a structure set.

    Args:
        data: the file.
        name: for messages.
        pictures: what else the upload holds; the contours are filled on the grid of the series that they refer to.
        room: memory that is left.

    Raises:
        IngestError: it cannot be used.
    """
    dataset = open_file(data, name)
    contours, passed_over = _contours(dataset, name)
    if not contours:
        raise IngestError(t("{name}: an RTSTRUCT without closed contours; left out.", name=name))
    place = _frame_of_reference(dataset)
    series = series_referred_to(dataset)
    candidates = drawn_on(pictures, series, place)
    foreign = not candidates
    if foreign:  # a converted picture names no series, but its coordinates are the scanner's
        candidates = [scan for scan in pictures if scan.affine is not None and not (scan.source or {}).get("series")]
    if not candidates:
        raise IngestError(
            t(
                "{name}: its contours were drawn on a series that this upload does not hold. Upload that series with "
                "it.",
                name=name,
            )
        )
    placed = [_placed(Grid.of(scan), contours) for scan in candidates[:MAX_TRIED]]
    best = max(placed, key=lambda one: len(contours) - one.outside)  # the first of equals
    if not best.on_slice:
        raise IngestError(
            t("{name}: none of its {count} contours lies on a slice of the picture.", name=name, count=len(contours))
        )
    drawn = {contour.structure for contour in contours}
    channels, notes = channels_of([one for one in _structures(dataset) if one.number in drawn])
    channels = reserve(room, name, best.grid.shape, channels, notes)
    if foreign:
        notes.append(t("The series of the contours is not in the upload. They are placed by their coordinates."))
    notes += _remarks(best, passed_over)
    return mask_scan(
        "RTSTRUCT",
        (text_of(dataset, "StructureSetLabel") or name, name),
        _filled(best, channels),
        channels,
        best.grid,
        modality="RTSTRUCT",
        notes=tuple(notes),
        source=source_of(dataset, place, series),
    )


def _contours(dataset: pydicom.Dataset, name: str) -> tuple[list[_Contour], int]:
    """Return the closed contours, and how many others there are: points, open lines, damaged ones."""
    found, passed_over, left = [], 0, MAX_POINTS
    for roi in items(dataset, "ROIContourSequence"):
        structure = int(number_of(roi, "ReferencedROINumber") or 0)
        for contour in items(roi, "ContourSequence"):
            numbers = _numbers(contour, 3 * left)
            if numbers is None or len(found) + passed_over == MAX_CONTOURS:
                raise IngestError(
                    t(
                        "{name}: more than {max_contours:,} contours, or {max_points:,} points of them. Export only "
                        "the lesion.",
                        name=name,
                        max_contours=MAX_CONTOURS,
                        max_points=MAX_POINTS,
                    )
                )
            left -= len(numbers) // 3
            closed = text_of(contour, "ContourGeometricType") in CLOSED
            if closed and len(numbers) and not len(numbers) % 3 and np.isfinite(numbers).all():
                found.append(_Contour(structure, numbers.reshape(-1, 3)))
            else:
                passed_over += 1
    return found, passed_over


def _numbers(contour: pydicom.Dataset, most: int) -> np.ndarray | None:
    """Return the coordinates of a contour; empty for damaged ones, None for more than `most`.

    They are taken from the bytes of the file, as pydicom's own decimal strings need a hundred times their memory.
    """
    if "ContourData" not in contour:
        return np.empty(0)
    value = contour.get_item("ContourData").value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else "\\".join(map(str, value or ()))
    if text.count("\\") >= most:
        return None
    try:
        return np.array([float(one) for one in text.split("\\")])
    except ValueError:
        return np.empty(0)


def _frame_of_reference(dataset: pydicom.Dataset) -> str:
    for keyword in ("ReferencedFrameOfReferenceSequence", "StructureSetROISequence"):
        for one in items(dataset, keyword):
            if uid := uid_of(one, "FrameOfReferenceUID") or uid_of(one, "ReferencedFrameOfReferenceUID"):
                return uid
    return uid_of(dataset, "FrameOfReferenceUID")


def _structures(dataset: pydicom.Dataset) -> list[Structure]:
    """Return the regions of interest; those that only contours name too."""
    types = {
        int(number_of(one, "ReferencedROINumber") or 0): text_of(one, "RTROIInterpretedType").strip().upper()
        for one in items(dataset, "RTROIObservationsSequence")
    }
    found = {}
    for one in items(dataset, "StructureSetROISequence"):
        number, label = int(number_of(one, "ROINumber") or 0), text_of(one, "ROIName").strip()
        kind = kind_of_structure(label, roi_type=types.get(number, ""))
        found[number] = Structure(number, label or t("structure {number}", number=number), kind)
    for one in items(dataset, "ROIContourSequence"):
        number = int(number_of(one, "ReferencedROINumber") or 0)
        named = Structure(number, t("structure {number}", number=number), kind_of_structure(""))
        found.setdefault(number, named)
    return list(found.values())


def _placed(grid: Grid, contours: list[_Contour]) -> _Placed:
    """Say which contours lie on which slices of a grid."""
    turn, shift = grid.to_index[:3, :3], grid.to_index[:3, 3]
    indices = [contour.points @ turn.T + shift for contour in contours]
    axis = int(np.median([np.ptp(index, axis=0) for index in indices], axis=0).argmin())
    depths = grid.depths if axis == 0 else np.arange(grid.shape[axis], dtype=float)
    on_slice, seen, between, outside, found = defaultdict(list), set(), 0, 0, []
    for contour, index in zip(contours, indices, strict=True):
        across = np.delete(index, axis, axis=1)
        apart = np.abs(depths - index[:, axis].mean())
        far = np.abs(across).max() > 4 * MAX_SIDE
        if np.ptp(index[:, axis]) > FLAT or apart.min() > 0.5 or far:
            outside += 1
            continue
        between += bool(apart.min() > ROUNDED)
        found.append(float(index[:, axis].mean()))
        key = contour.structure, int(apart.argmin()), across.tobytes()
        if key not in seen:  # a contour given twice would be a hole
            seen.add(key)
            on_slice[key[:2]].append(across)
    steps = np.diff(np.unique(np.round(found, 1)))
    return _Placed(grid, axis, dict(on_slice), between, outside, float(np.median(steps)) if len(steps) else 1.0)


def _remarks(placed: _Placed, passed_over: int) -> list[str]:
    """Return what to say of contours that were not drawn, or not where they lie."""
    remarks = []
    if passed_over:
        remarks.append(
            tn(
                "{n} point, open line or damaged contour is left out.",
                "{n} points, open lines or damaged contours are left out.",
                passed_over,
            )
        )
    if placed.outside:
        remarks.append(
            tn(
                "{n} contour lies on no slice of the picture and is left out.",
                "{n} contours lie on no slice of the picture and are left out.",
                placed.outside,
            )
        )
    if placed.between:
        remarks.append(
            tn(
                "{n} contour lies between slices. It is drawn on the nearest one.",
                "{n} contours lie between slices. Each is drawn on the nearest one.",
                placed.between,
            )
        )
    if placed.step > 1.5:
        remarks.append(
            t("Contours are {step:.1f} slices apart. The slices between them hold no mask.", step=placed.step)
        )
    return remarks


def _filled(placed: _Placed, channels: list[Taken]) -> np.ndarray:
    """Return the masks of the channels, (slices, rows, columns, channels), in the order of the grid."""
    voxels = np.zeros((*placed.grid.shape, len(channels)), np.float32)
    for (structure, number), polygons in placed.on_slice.items():
        for channel, (*_, numbers) in enumerate(channels):
            if structure in numbers:
                plane = np.moveaxis(voxels[..., channel], placed.axis, 0)[number]
                _fill(plane, polygons)
    return voxels


def _fill(plane: np.ndarray, polygons: list[np.ndarray]) -> None:
    """Set the pixels of a plane inside polygons to 1, by the even-odd rule.

    OpenCV also draws a polygon's line, a pixel wide. On a grid that is eight times finer, of which the middle of each
    pixel is taken, the line is thin enough: contours through the middles of pixels and contours along their edges both
    give the mask that they were made from.

    Args:
        plane: (height, width), written to.
        polygons: (points, 2), indices along the two axes.
    """
    points = np.concatenate(polygons)
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, plane.shape)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 2, 0, plane.shape)
    if (high <= low).any():
        return
    fine = FINE if np.prod(high - low) <= MAX_SIDE**2 // 4 else FINE // 2  # 64 MB at most
    drawn = np.zeros((high - low) * fine, np.uint8)
    scaled = [((one - low) * fine + fine // 2)[:, ::-1] * 2**_SHIFT for one in polygons]
    cv2.fillPoly(drawn, [np.rint(one).astype(np.int32) for one in scaled], 1, cv2.LINE_8, _SHIFT)
    inside = drawn[fine // 2 :: fine, fine // 2 :: fine]
    target = plane[low[0] : high[0], low[1] : high[1]]
    np.maximum(target, inside, out=target)
