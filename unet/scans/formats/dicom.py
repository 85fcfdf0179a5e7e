"""DICOM files into Scans: sorted by where slices lie, not by their names; mixed series kept apart.

First every header is read without its pixels, which tells what belongs together and what would not fit; then the
pixels are decoded, one file at a time. Single-frame and multi-frame files become the same list of frames.
Source: DICOM PS3.3, C.7.6.2 (image plane), C.7.6.16 (multi-frame functional groups), C.11.1 (modality LUT).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pydicom

from unet.data.sequences import guess_from_header
from unet.language import mark, t
from unet.scans.contents import Content
from unet.scans.formats.colours import are_equal
from unet.scans.formats.dicom_frames import (
    Frame,
    list_frames,
    modality_of,
    number_of,
    read_header,
    stated,
    text_of,
    uid_of,
)
from unet.scans.formats.dicom_mosaic import is_mosaic, unfold
from unet.scans.formats.dicom_patient import patient_of
from unet.scans.formats.dicom_pixels import decode_all
from unet.scans.formats.dicom_series import group_series, slice_normal, split_stacks, without_lost
from unet.scans.found import nothing
from unet.scans.limits import MAX_SLICES
from unet.scans.placement import LPS_TO_RAS, usable_affine, usable_spacing
from unet.scans.scan import BURNED_IN, Aside, IngestError, NoPictureError, Room, Scan, finished, orient

ROUNDED = 0.1  # of the usual gap: missing slices leave a whole number of gaps, up to this
UNEVEN = 1.5  # a gap this much larger than the usual one means that slices are missing
MIXED = mark(
    "Some positions were scanned more often than others: slices of several acquisitions may "
    "be mixed. Upload one acquisition alone."
)


@dataclass(frozen=True)
class Series:
    """The slices of one series, or of one stack of it, in order, with their headers read.

    Attributes:
        frames: the slices.
        files: (name, content) of the upload.
        part: what is added to the name where a series makes several scans.
        notes: what the headers alone tell.
    """

    frames: list[Frame]
    files: list[tuple[str, Content]]
    part: str = ""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What to call it in a sentence where its reading fails."""
        return t("{files} and its series", files=self.files[self.frames[0].file][0])

    def outline(self) -> Scan:
        """Return what the headers say, without pixels."""
        shape, _ = self._shape(header := self._header())
        stack, geometry = _geometry(nothing(shape), self.frames, [])
        return self._scan(header, stack, [], self.frames, geometry)

    def read(self, room: Room, problems: list[str], starting: Callable[[int], None]) -> Scan:
        """Decode the slices and say where they lie; a slice that is damaged is left out.

        Args:
            room: memory that is left.
            problems: gets a sentence for each damaged slice.
            starting: called with the position of a file before its pixels are read.
        """
        header, notes = self._header(), []
        (count, rows, columns, samples), item_size = self._shape(header)
        room.take(self.files[self.frames[0].file][0], (count, rows, columns), samples, item_size)
        empty = np.empty((count, rows, columns, samples), np.float32)
        frames, stack, outside = decode_all(empty, self.frames, self.files, notes, problems, starting)
        if outside.any() and not outside.all():
            notes.append(t("Padding pixels are shown as dark as the darkest pixel of the picture."))
            stack[outside] = stack[~outside].max() if _is_inverted(header) else stack[~outside].min()
        ends = 0.0
        if _is_inverted(header):
            notes.append(t("Stored with white as the lowest value (MONOCHROME1); inverted, so that bright is bright."))
            ends = float(stack.max()) + float(stack.min())
            stack = ends - stack
        if samples == 3 and are_equal(stack):
            stack = stack[..., :1]
        if text_of(header, "BurnedInAnnotation").strip().upper() == "YES":
            notes.append(BURNED_IN)
        stack, geometry = _geometry(stack, frames, notes)
        return finished(self._scan(header, stack, notes, frames, geometry, ends))

    def _header(self) -> pydicom.Dataset:
        name, content = self.files[self.frames[0].file]
        return read_header(content, name)

    def _shape(self, header: pydicom.Dataset) -> tuple[tuple[int, int, int, int], int]:
        """Return slices, rows, columns and samples, and the bytes of a value in the file."""
        rows, columns = self.frames[0].key[1:3]
        palette = text_of(header, "PhotometricInterpretation") == "PALETTE COLOR"
        samples = 3 if palette else int(self.frames[0].key[3])
        return (len(self.frames), rows, columns, samples), (int(stated(header, "BitsAllocated")) + 7) // 8

    def _scan(
        self,
        header: pydicom.Dataset,
        stack: np.ndarray,
        notes: list[str],
        frames: list[Frame],
        geometry: dict,
        ends: float = 0.0,
    ) -> Scan:
        name = text_of(header, "SeriesDescription") or text_of(header, "ProtocolName") or self.files[frames[0].file][0]
        colours, window, acquisition = stack.shape[3] == 3, _window(header), _acquisition(header, name)
        if window and _is_inverted(header):
            window = ends - window[1], ends - window[0]
        return Scan(
            name + self.part,
            "DICOM",
            stack,
            ("red", "green", "blue") if colours else (name,),
            int(number_of(header, "BitsStored") or stated(header, "BitsAllocated")),
            (None,) * 3 if colours else (_guess(acquisition),),
            modality=modality_of(header),
            window=window,
            notes=(*dict.fromkeys(notes), *self.notes),
            files=tuple(self.files[frame.file][0] for frame in frames),
            acquisition=acquisition,
            source={
                "study": uid_of(header, "StudyInstanceUID"),
                "series": uid_of(header, "SeriesInstanceUID"),
                "frame_of_reference": uid_of(header, "FrameOfReferenceUID"),
                "rows": self.frames[0].key[1],
                "columns": self.frames[0].key[2],
                "frames": int(number_of(header, "NumberOfFrames") or 1),
                "references": [frame.reference for frame in frames],
            },
            patient=patient_of(header),
            **geometry,
        )


def list_series(
    files: list[tuple[str, Content]],
    problems: list[str],
    unforeseen: Callable[[str, Exception], str],
    starting: Callable[[int], None],
) -> list[Series]:
    """Read the headers of all DICOM files of an upload.

    Args:
        files: (name, content).
        problems: gets a sentence for each file that is left out.
        unforeseen: what to say of a file whose reading fails in a way of its own.
        starting: called with the position of a file before its header is read.

    Returns:
        The slices of each series and stack.
    """
    listed: list[Frame] = []
    for number, (name, content) in enumerate(files):
        starting(number)
        try:
            header = read_header(content, name)
            frames = list_frames(header, number, name)
            listed += unfold(header, frames[0], name) if is_mosaic(header) else frames
        except NoPictureError as error:
            problems.append(Aside(error))
        except IngestError as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(unforeseen(name, error))
    series = []
    for group in group_series(listed):
        frames, lost = without_lost(group)
        problems += [
            t("{name}: its header holds no position, those of its series do; left out.", name=files[one.file][0])
            for one in lost
        ]
        stacks = split_stacks(frames)
        if frames[0].tile and len(stacks) > 1:
            series.append(Series(stacks[0], files, notes=(_first_of(len(stacks)),)))
            continue
        mixed = (MIXED,) if len(stacks[-1]) < len(stacks[0]) else ()
        for part, stack in enumerate(stacks, start=1):
            series.append(Series(stack, files, f" ({part} of {len(stacks)})" if len(stacks) > 1 else "", mixed))
    return series


def _first_of(volumes: int) -> str:
    return t("The series holds {count} volumes, as in a time series. The first is used.", count=volumes)


def _is_inverted(header: pydicom.Dataset) -> bool:
    return text_of(header, "PhotometricInterpretation") == "MONOCHROME1"


def _geometry(stack: np.ndarray, frames: list[Frame], notes: list[str]) -> tuple[np.ndarray, dict]:
    """Turn a stack the right side up if its header says how it lies."""
    orientation, spacing = frames[0].orientation, frames[0].reference["spacing"]
    positions = [frame.position for frame in frames]
    normal = slice_normal(orientation) if orientation else None
    if orientation is None or normal is None or any(position is None for position in positions):
        notes.append(t("The header holds no slice positions. The slices are shown in the order of their numbers."))
        thickness = frames[0].reference["thickness"]
        known = spacing and thickness and usable_spacing((thickness, *spacing))
        return stack, {"spacing": (thickness, *spacing) if known else None}
    positions = np.array(positions)
    thickness = frames[0].reference["thickness"]
    places = None
    if len(frames) > 1:
        gaps = np.diff(positions @ normal)
        places = _places(gaps)
        step = (positions[-1] - positions[0]) / (places[-1] if places else len(frames) - 1)
        if gaps.max() > UNEVEN * np.median(gaps):
            notes.append(
                t(
                    "The slices are unevenly spaced, {closest:.2f} to {widest:.2f} mm: some may be missing. "
                    "Volumes count every slice as equally thick.",
                    closest=gaps.min(),
                    widest=gaps.max(),
                )
            )
    else:
        step = normal * (thickness if thickness and thickness > 0 else 1.0)
    known = spacing is not None and min(spacing) > 0 and (len(frames) > 1 or bool(thickness and thickness > 0))
    if not known:
        notes.append(t("The header does not give the pixel size in all directions. Sizes are in pixels."))
    row_size, column_size = spacing if spacing and min(spacing) > 0 else (1.0, 1.0)
    file_affine = np.eye(4)
    file_affine[:3, 0] = step
    file_affine[:3, 1] = np.array(orientation[3:]) * row_size
    file_affine[:3, 2] = np.array(orientation[:3]) * column_size
    file_affine[:3, 3] = positions[0]
    file_affine = LPS_TO_RAS @ file_affine
    if not usable_affine(file_affine):
        notes.append(t("The orientation in the header is impossible. It was ignored."))
        return stack, {}
    return orient(stack, file_affine, 0, millimetres=known, places=places)


def _places(gaps: np.ndarray) -> tuple[int, ...] | None:
    """Return where each slice lies on an even grid, from 0; None where none is missing, or the gaps fit no grid.

    >>> _places(np.array([6.0, 12.0, 6.0])), _places(np.array([6.0, 6.0])), _places(np.array([6.0, 6.0, 9.0]))
    ((0, 1, 3, 4), None, None)
    >>> _places(np.array([1.0, 1.0, 1e7])) is None
    True
    """
    steps = gaps / np.median(gaps)
    whole = steps.round()
    if whole.max() < 2 or whole.min() < 1 or np.abs(steps - whole).max() > ROUNDED or whole.sum() >= MAX_SLICES:
        return None  # a header may place one slice kilometres away
    return (0, *map(int, whole.cumsum()))


def _acquisition(header: pydicom.Dataset, name: str) -> dict:
    """Return what the header says of how a series was taken, as `Scan.acquisition`."""
    clock = text_of(header, "AcquisitionTime") or text_of(header, "SeriesTime")
    times = {kind.lower(): number_of(header, f"{kind}Time") for kind in ("Repetition", "Echo", "Inversion")}
    return {
        **times,
        "agent": bool(text_of(header, "ContrastBolusAgent").strip()),
        "minute": 60 * int(clock[:2]) + int(clock[2:4]) if re.match("[0-9]{4}", clock) else None,
        "words": f"{name} {text_of(header, 'ProtocolName')} {text_of(header, 'SequenceName')}",
    }


def _guess(acquisition: dict) -> str | None:
    repetition, echo, inversion = (acquisition[kind] for kind in ("repetition", "echo", "inversion"))
    return guess_from_header(acquisition["words"], repetition, echo, inversion, acquisition["agent"])


def _window(header: pydicom.Dataset) -> tuple[float, float] | None:
    """Return the grey values that the header asks to be shown as black and white."""
    centre, width = number_of(header, "WindowCenter"), number_of(header, "WindowWidth")
    return (centre - width / 2, centre + width / 2) if centre is not None and width and width > 0 else None
