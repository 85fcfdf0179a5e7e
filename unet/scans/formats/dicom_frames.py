"""What DICOM headers say: which slices there are, and where they lie.

A header is read without its pixels. Single-frame and multi-frame files become the same list of frames. Whatever is
damaged counts as absent, and nothing of what a header says reaches a message, as it may name a patient.
Source: DICOM PS3.3, C.7.6.2 (image plane), C.7.6.16 (multi-frame functional groups).
"""

import io
import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pydicom
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian

from unet.language import t
from unet.scans.contents import Content
from unet.scans.formats.archives import inflates_beyond
from unet.scans.scan import IngestError, NoPictureError

MAX_RATIO, FREE_INFLATED = 50, 32 << 20  # of a deflated file: unpacked to packed, and bytes that are always allowed
MAX_FRAMES = 5_000
_NOTHING = pydicom.Dataset()  # made once: a study has thousands of slices, and each lacks a dozen sequences
HEADER_BYTES = 64 << 10  # that are read first; the header of a slice has a few thousand


@dataclass(frozen=True)
class Frame:
    """One slice: where it lies, which file and frame holds it, and what tells its series from others.

    Of two slices of one series the key is the same; orientation, spacing and echo time are alike, as some programs
    round them.
    """

    file: int
    index: int
    key: tuple
    number: float
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    echo: float | None
    acquisition: float | None
    slope: float
    intercept: float
    reference: dict = field(compare=False)
    tile: tuple[int, int] | None = None  # row and column of its corner in a mosaic


def open_file(data: bytes, name: str) -> pydicom.Dataset:
    """Parse a file with its pixels; nothing of what pydicom says reaches the message, as it may quote the header."""
    if _is_deflated(data) and inflates_beyond(data[_deflated_start(data) :], max(FREE_INFLATED, MAX_RATIO * len(data))):
        raise IngestError(
            t(
                "{name}: deflated DICOM that unpacks to more than {max_ratio} times its size.",
                name=name,
                max_ratio=MAX_RATIO,
            )
        )
    return _parse(io.BytesIO(data), name, pixels=True)


def _open_header(content: Content, name: str) -> pydicom.Dataset:
    """Parse a file up to its pixels, from its first bytes where the header ends in them."""
    start = content.start(HEADER_BYTES)
    if len(start) < content.size and not _is_deflated(start):
        opened = io.BytesIO(start)
        with suppress(IngestError):  # cut off: the header is longer
            header = _parse(opened, name, pixels=False)
            if opened.tell() < len(start):  # before the pixels
                return header
    data = content.read()
    return open_file(data, name) if _is_deflated(data) else _parse(io.BytesIO(data), name, pixels=False)


def _parse(opened: io.BytesIO, name: str, pixels: bool) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(opened, force=True, stop_before_pixels=not pixels)
    except RecursionError:
        raise IngestError(t("{name}: DICOM with too deeply nested sequences. Export it again.", name=name)) from None
    except MemoryError:
        raise
    except Exception:
        raise IngestError(
            t("{name}: the DICOM header is cut off or damaged. Copy or export it again.", name=name)
        ) from None


def _is_deflated(data: bytes) -> bool:
    return data[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() in data[132:1024]


def _deflated_start(data: bytes) -> int:
    """Where the data set begins behind the file meta information, whose length its first element tells."""
    length = int.from_bytes(data[140:144], "little") if data[132:136] == b"\2\0\0\0" else 0
    return min(144 + length, len(data))


def read_header(content: Content, name: str) -> pydicom.Dataset:
    """Parse a file up to its pixels, and refuse one that holds no whole picture.

    Raises:
        IngestError: no picture, an impossible size, no bits per pixel, or fewer bytes than the header announces.
    """
    header = _open_header(content, name)
    rows, columns = number_of(header, "Rows"), number_of(header, "Columns")
    if not rows or not columns:
        kind = modality_of(header) or t("no modality")
        raise NoPictureError(
            t(
                "{name}: DICOM without a picture ({kind}), such as a report or a plan; left out.",
                name=name,
                kind=kind,
            )
        )
    if not 1 <= rows <= 65535 or not 1 <= columns <= 65535:
        raise IngestError(
            t(
                "{name}: DICOM of {columns:.0f} × {rows:.0f} pixels, which is impossible. Export it again.",
                name=name,
                columns=columns,
                rows=rows,
            )
        )
    bits = number_of(header, "BitsAllocated")
    if not bits:
        raise IngestError(t("{name}: the DICOM header gives no bits per pixel. Export it again.", name=name))
    samples, frames = number_of(header, "SamplesPerPixel") or 1, number_of(header, "NumberOfFrames") or 1
    expected = rows * columns * samples * frames * bits / 8
    if not _is_compressed(header) and expected > 2 * content.size:
        raise IngestError(
            t(
                "{name}: the header announces {expected:,.0f} bytes of pixels, but the file has "
                "{count:,}. It is cut off, or its header is wrong. Copy or export it again.",
                name=name,
                expected=expected,
                count=content.size,
            )
        )
    return header


def _is_compressed(header: pydicom.Dataset) -> bool:
    """Tell whether pixels may take less room in the file than decoded; without a transfer syntax they may not."""
    try:
        syntax = header.file_meta.TransferSyntaxUID
        return syntax.is_encapsulated or syntax == DeflatedExplicitVRLittleEndian
    except (AttributeError, ValueError):
        return False


def value_of(dataset: pydicom.Dataset, keyword: str) -> Any:
    """Return an element's value, or None; a damaged one counts as absent."""
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom converts on access, and raises what the damaged value makes it raise
        return None


def number_of(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """Return the first value of an element as a finite float, or None."""
    numbers = numbers_of(dataset, keyword)
    return numbers[0] if numbers else None


def stated(header: pydicom.Dataset, keyword: str) -> float:
    """Return a number of a header that `read_header` has let pass because it is there."""
    number = number_of(header, keyword)
    assert number is not None, keyword
    return number


def numbers_of(dataset: pydicom.Dataset, keyword: str, count: int = 1) -> tuple[float, ...] | None:
    """Return the first `count` values as finite floats, or None."""
    value = value_of(dataset, keyword)
    try:
        values = [value] if isinstance(value, (int, float, str)) else list(value or ())
        numbers = tuple(float(one) for one in values[:count])
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def text_of(dataset: pydicom.Dataset, keyword: str) -> str:
    """Return at most 64 characters of an element's value, unprintable ones as spaces; absent is empty."""
    value = value_of(dataset, keyword)
    return "" if value is None else "".join(one if one.isprintable() else " " for one in str(value)[:64])


def uid_of(dataset: pydicom.Dataset, keyword: str) -> str:
    """Return a UID, or an empty word for what is none: UIDs go into exports, other words must not."""
    text = text_of(dataset, keyword)
    return text if re.fullmatch(r"[0-9.]{1,64}", text) else ""


def modality_of(dataset: pydicom.Dataset) -> str | None:
    """Return the code, or None for what is none: it is shown, and a header may hold anything."""
    code = text_of(dataset, "Modality")
    return code if re.fullmatch(r"[A-Z0-9_ ]{1,16}", code) else None


def first_item(dataset: pydicom.Dataset, keyword: str) -> pydicom.Dataset:
    """Return the first item of a sequence, or an empty data set."""
    try:
        return dataset.get(keyword)[0]
    except Exception:
        return _NOTHING


def list_frames(header: pydicom.Dataset, file: int, name: str) -> list[Frame]:
    """List the slices of one file."""
    count = int(number_of(header, "NumberOfFrames") or 1)
    if not 1 <= count <= MAX_FRAMES:
        raise IngestError(
            t(
                "{name}: DICOM with {count:,} frames; at most {max_frames:,} are allowed.",
                name=name,
                count=count,
                max_frames=MAX_FRAMES,
            )
        )
    shared = first_item(header, "SharedFunctionalGroupsSequence")
    per_frame = value_of(header, "PerFrameFunctionalGroupsSequence")
    groups = list(per_frame) if per_frame is not None and len(per_frame) == count else [_NOTHING] * count
    return [_frame(header, shared, group, file, index, count) for index, group in enumerate(groups)]


def _frame(
    header: pydicom.Dataset, shared: pydicom.Dataset, group: pydicom.Dataset, file: int, index: int, count: int
) -> Frame:
    def macro(keyword: str) -> pydicom.Dataset:
        """The functional group of this frame, else the one of all frames, else the header itself."""
        for place in (group, shared):
            if len(found := first_item(place, keyword)):
                return found
        return header

    orientation = numbers_of(macro("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    position = numbers_of(macro("PlanePositionSequence"), "ImagePositionPatient", 3)
    if count > 1 and position == numbers_of(header, "ImagePositionPatient", 3):
        position = None  # one position for many frames says nothing
    measures = macro("PixelMeasuresSequence")
    transform = macro("PixelValueTransformationSequence")
    timing = macro("MREchoSequence")
    content = macro("FrameContentSequence")
    spacing = numbers_of(measures, "PixelSpacing", 2)
    thickness = number_of(measures, "SpacingBetweenSlices") or number_of(measures, "SliceThickness")
    echo = number_of(timing, "EffectiveEchoTime") or number_of(header, "EchoTime")
    b_value = number_of(macro("MRDiffusionSequence"), "DiffusionBValue")
    number = number_of(content, "InStackPositionNumber") if count > 1 else number_of(header, "InstanceNumber")
    series = (
        text_of(header, "SeriesInstanceUID")
        or f"{text_of(header, 'StudyInstanceUID')} {text_of(header, 'SeriesNumber')}"
    )
    key = (
        series if count == 1 else f"{series} {file}",
        int(stated(header, "Rows")),
        int(stated(header, "Columns")),
        int(number_of(header, "SamplesPerPixel") or 1),
        b_value,
        _kind_of_picture(header) if count == 1 else (),
        text_of(content, "StackID") if count > 1 else "",
    )
    reference = {
        "class": uid_of(header, "SOPClassUID"),
        "instance": uid_of(header, "SOPInstanceUID"),
        "frame": index + 1 if count > 1 else None,
        "position": position,
        "orientation": orientation,
        "spacing": spacing,
        "thickness": thickness,
    }
    slope, intercept = number_of(transform, "RescaleSlope"), number_of(transform, "RescaleIntercept")
    return Frame(
        file,
        index,
        key,
        number if number is not None else math.inf,
        orientation,
        position,
        echo,
        number_of(header, "AcquisitionNumber"),
        slope if slope is not None else 1.0,
        intercept or 0.0,
        reference,
    )


def _kind_of_picture(header: pydicom.Dataset) -> tuple[str, ...]:
    """Return what ImageType says from its third value on, such as magnitude or phase.

    The first two say whether a slice is original or derived, and archives change them when they compress some slices.
    """
    value = value_of(header, "ImageType")
    words = value if isinstance(value, (list, MultiValue)) else []
    return tuple(str(word)[:16] for word in words[2:8])
