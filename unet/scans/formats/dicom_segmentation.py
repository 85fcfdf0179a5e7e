"""DICOM segmentations of any writer: binary, fractional, label maps; frames in any order, empty ones left out or not.

Source: DICOM PS3.3, C.8.20 (segmentation) and C.7.6.16 (multi-frame functional groups); PS3.5, 8.1.1 (bit packing).
"""

import numpy as np
import pydicom
from pydicom.pixels.utils import pixel_array, unpack_bits

from unet.data.structures import kind_of_structure
from unet.language import t
from unet.scans.contents import Content
from unet.scans.formats.dicom_frames import (
    Frame,
    first_item,
    list_frames,
    modality_of,
    number_of,
    read_header,
    stated,
    text_of,
    uid_of,
)
from unet.scans.formats.dicom_pixels import open_pixels
from unet.scans.formats.dicom_series import SAME_DIRECTION, SAME_PLACE, slice_normal
from unet.scans.formats.dicom_structures import (
    ROUNDED,
    Grid,
    Structure,
    channels_of,
    drawn_on,
    items,
    mask_scan,
    reserve,
    series_referred_to,
    source_of,
)
from unet.scans.placement import LPS_TO_RAS, usable_affine
from unet.scans.scan import IngestError, Room, Scan, orient


def read_segmentation(data: bytes, name: str, pictures: list[Scan], room: Room) -> Scan:
    """Read a DICOM-SEG.

    Args:
        data: the file.
        name: for messages.
        pictures: what else the upload holds; the mask lies on the grid of the series that it was drawn on.
        room: memory that is left.

    Raises:
        IngestError: it cannot be used.
    """
    content = Content.of(name, data)
    header = read_header(content, name)
    frames = list_frames(header, 0, name)
    normal = slice_normal(frames[0].orientation) if frames[0].orientation else None
    if normal is None or any(
        frame.position is None
        or frame.orientation is None
        or not np.allclose(frame.orientation, frames[0].orientation or (), atol=SAME_DIRECTION)
        for frame in frames
    ):
        raise IngestError(
            t(
                "{name}: a DICOM-SEG whose frames have no positions, or several directions. Expected parallel slices "
                "with positions. Export it again.",
                name=name,
            )
        )
    series, frame_of_reference = series_referred_to(header), uid_of(header, "FrameOfReferenceUID")
    grid, slices = _place(frames, normal, drawn_on(pictures, series, frame_of_reference), name)
    segments = _segment_of_each(header, len(frames))
    channels, notes = channels_of(_structures(header, segments))
    channels = reserve(room, name, grid.shape, channels, notes)
    voxels = np.zeros((*grid.shape, len(channels)), np.float32)
    dataset = open_pixels((name, content), notes)
    for index, (place, segment) in enumerate(zip(slices, segments, strict=True)):
        frame = _frame(dataset, index, grid.shape[1:], name)
        _draw(voxels[place], frame, segment, header, [numbers for *_, numbers in channels])
    if text_of(header, "SegmentationType") == "FRACTIONAL":
        notes.append(t("The segmentation holds fractions. Values of at least one half count as lesion."))
    return mask_scan(
        "DICOM-SEG",
        (text_of(header, "SeriesDescription") or name, name),
        voxels,
        channels,
        grid,
        modality=modality_of(header),
        notes=tuple(notes),
        source=source_of(header, frame_of_reference, series),
    )


def _structures(header: pydicom.Dataset, used: list[int]) -> list[Structure]:
    """Return the segments that the header describes, and those of frames that it does not describe."""
    found = []
    for one in items(header, "SegmentSequence"):
        number = number_of(one, "SegmentNumber")
        if not number:  # 0 is the background of a label map
            continue
        category = first_item(one, "SegmentedPropertyCategoryCodeSequence")
        kind = first_item(one, "SegmentedPropertyTypeCodeSequence")
        label, meaning = text_of(one, "SegmentLabel").strip(), text_of(kind, "CodeMeaning")
        codes = f"{text_of(category, 'CodeValue')} {text_of(category, 'CodeMeaning')}"
        name = label or meaning or t("segment {number}", number=int(number))
        found.append(Structure(int(number), name, kind_of_structure(label, meaning, codes)))
    unknown = {*used, *([] if found else [1])} - {0, *(one.number for one in found)}
    return found + [Structure(one, t("segment {number}", number=one), kind_of_structure("")) for one in sorted(unknown)]


def _place(frames: list[Frame], normal: np.ndarray, candidates: list[Scan], name: str) -> tuple[Grid, np.ndarray]:
    """Return the grid of a mask and the slice of each frame: those of a series, else those that its frames span."""
    positions = np.array([frame.position for frame in frames])
    size = int(frames[0].key[1]), int(frames[0].key[2])
    for scan in candidates:
        grid = Grid.of(scan)
        if grid.shape[1:] == size and (slices := _slices_on(grid, frames[0], positions)) is not None:
            return grid, slices
    spacing = frames[0].reference["spacing"]
    if not spacing:
        raise IngestError(t("{name}: a DICOM-SEG without pixel spacing. Export it again.", name=name))
    depths = positions @ normal
    order = np.sort(depths)
    planes = order[np.r_[True, np.diff(order) > SAME_PLACE]]
    step, places = _even(planes, frames[0].reference["thickness"])
    first, last = positions[depths.argmin()], positions[depths.argmax()]
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / places[-1] if places[-1] else normal * step
    orientation = np.array(frames[0].orientation)
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2] = orientation[:3] * spacing[1]
    affine[:3, 3] = first
    if not usable_affine(affine):
        raise IngestError(t("{name}: a DICOM-SEG with an impossible orientation. Export it again.", name=name))
    shape = (int(places[-1]) + 1, *size)
    _, geometry = orient(np.broadcast_to(np.False_, shape), LPS_TO_RAS @ affine, 0)
    slices = places[np.searchsorted(planes, depths + SAME_PLACE, side="right") - 1]
    return Grid(shape, np.linalg.inv(affine), np.arange(shape[0], dtype=float), geometry), slices


def _slices_on(grid: Grid, frame: Frame, positions: np.ndarray) -> np.ndarray | None:
    """Return the slice of a grid that each frame lies on, or None where one lies elsewhere."""
    orientation, spacing = np.array(frame.orientation), frame.reference["spacing"]
    turn = grid.to_index[:3, :3]
    if spacing:
        steps = turn @ np.column_stack([orientation[3:] * spacing[0], orientation[:3] * spacing[1]])
        if np.abs(steps - [[0, 0], [1, 0], [0, 1]]).max() * max(grid.shape[1:]) > 0.5:
            return None
    index = turn @ positions.T + grid.to_index[:3, 3:]
    apart = np.abs(index[0][:, np.newaxis] - grid.depths)
    if max(apart.min(axis=1).max(), np.abs(index[1:]).max()) > ROUNDED:
        return None
    return apart.argmin(axis=1)


def _even(planes: np.ndarray, stated_step: float | None) -> tuple[float, np.ndarray]:
    """Return the step of an even grid through sorted planes, and the place of each; empty frames leave gaps.

    >>> _even(np.array([0.0, 12.0]), 6.0)[1], _even(np.array([0.0, 12.0, 18.0]), None)[1]
    (array([0, 2]), array([0, 2, 3]))
    """
    if len(planes) == 1:
        return stated_step or 1.0, np.array([0])
    smallest = float(np.diff(planes).min())
    for step in (stated_step, smallest):
        if not step or step <= 0:
            continue
        places = (planes - planes[0]) / step
        if np.abs(places - places.round()).max() <= ROUNDED and np.diff(places.round()).min() >= 1:
            return float(step), places.round().astype(int)
    return smallest, np.arange(len(planes))


def _segment_of_each(header: pydicom.Dataset, count: int) -> list[int]:
    """Return the number of the segment that each frame belongs to; 0 for all of them in a label map."""
    if text_of(header, "SegmentationType") == "LABELMAP":
        return [0] * count
    shared = first_item(first_item(header, "SharedFunctionalGroupsSequence"), "SegmentIdentificationSequence")
    groups = list(items(header, "PerFrameFunctionalGroupsSequence")) or [pydicom.Dataset()] * count
    found = [first_item(group, "SegmentIdentificationSequence") or shared for group in groups[:count]]
    return [int(number_of(one, "ReferencedSegmentNumber") or 1) for one in found]


def _draw(
    planes: np.ndarray, frame: np.ndarray, segment: int, header: pydicom.Dataset, channels: list[tuple[int, ...]]
) -> None:
    """Add a frame to the channels of its segment.

    Args:
        planes: (rows, columns, channels) of one slice, written to.
        frame: (rows, columns), stored values.
        segment: that the frame belongs to; 0 where its values are the segments.
        header: how the values are meant.
        channels: numbers of the segments of each channel.
    """
    half = (number_of(header, "MaximumFractionalValue") or 1) / 2
    for channel, numbers in enumerate(channels):
        if not segment:
            planes[..., channel] = np.isin(frame, numbers)
        elif segment in numbers:
            inside = frame >= half if text_of(header, "SegmentationType") == "FRACTIONAL" else frame != 0
            np.maximum(planes[..., channel], inside, out=planes[..., channel])


def _frame(dataset: pydicom.Dataset, index: int, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return the stored values of a frame, (rows, columns)."""
    try:
        if stated(dataset, "BitsAllocated") == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            # frames follow each other bit by bit, so one may begin within a byte, where pydicom cannot take it alone
            start = index * shape[0] * shape[1]
            end = start + shape[0] * shape[1]
            bits = np.asarray(unpack_bits(dataset.PixelData[start // 8 : -(-end // 8)]))
            return bits[start % 8 : start % 8 + shape[0] * shape[1]].reshape(shape)
        return pixel_array(dataset, index=index).reshape(shape)
    except MemoryError:
        raise
    except Exception:
        raise IngestError(
            t("{name}: the pixels of this DICOM-SEG are cut off or damaged. Export it again.", name=name)
        ) from None
