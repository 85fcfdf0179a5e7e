"""DICOM files into Scans: sorted by where slices lie, not by their names; mixed series kept apart.

First every header is read without its pixels, which tells what belongs together and what would not fit; then the
pixels are decoded, one file at a time. Single-frame and multi-frame files become the same list of frames.
Source: DICOM PS3.3, C.7.6.2 (image plane), C.7.6.16 (multi-frame functional groups), C.11.1 (modality LUT).
"""

import io
import math
import warnings
from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from unet.archives import inflates_beyond
from unet.scan import IngestError, Room, Scan, finished, orient, usable_affine
from unet.sequences import guess_from_name, guess_from_timing

MAX_RATIO, FREE_INFLATED = 50, 32 << 20  # of a deflated file: unpacked to packed, and bytes that are always allowed
MAX_FRAMES = 5_000
SAME_PLACE = 0.01  # millimetres: closer slices are one slice twice
UNEVEN = 1.5  # a gap this much larger than the usual one means that slices are missing
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Frame:
    """One slice: where it lies, which file and frame holds it, and what tells its series from others."""

    file: int
    index: int
    key: tuple
    number: float
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    slope: float
    intercept: float
    reference: dict = field(compare=False)


def read_dicom(files: list[tuple[str, bytes]], room: Room) -> tuple[list[Scan], list[str]]:
    """Read all DICOM files of an upload.

    Args:
        files: (name, content).
        room: memory that is left.

    Returns:
        One scan for each series and stack, and a sentence for each file or series that was left out.
    """
    problems: list[str] = []
    headers: dict[int, pydicom.Dataset] = {}
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the header, which may name a patient
        for number, (name, data) in enumerate(files):
            try:
                headers[number] = _read_header(data, name)
                for frame in _frames(headers[number], number, name):
                    groups[frame.key].append(frame)
            except IngestError as error:
                problems.append(str(error))
        scans = []
        for frames in groups.values():
            for part, stack in enumerate(stacks := _split(frames), start=1):
                try:
                    scan = _read_stack(stack, headers, files, room)
                    if len(stacks) > 1:
                        scan = replace(scan, name=f"{scan.name} ({part} of {len(stacks)})")
                    scans.append(finished(scan))
                except IngestError as error:
                    problems.append(str(error))
    return scans, problems


def _open(data: bytes, name: str, pixels: bool) -> pydicom.Dataset:
    """Parse a file; nothing of what pydicom says reaches the message, as it may quote the header."""
    deflated = data[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() in data[132:1024]
    if deflated and inflates_beyond(data[_deflated_start(data) :], max(FREE_INFLATED, MAX_RATIO * len(data))):
        raise IngestError(f"{name}: deflated DICOM that unpacks to more than {MAX_RATIO} times its size.")
    try:
        return pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=not pixels)
    except RecursionError:
        raise IngestError(f"{name}: DICOM with sequences nested beyond reason. Export it again.") from None
    except MemoryError:
        raise
    except Exception:
        raise IngestError(f"{name}: the DICOM header is cut off or damaged. Copy or export it again.") from None


def _deflated_start(data: bytes) -> int:
    """Where the data set begins behind the file meta information, whose length its first element tells."""
    length = int.from_bytes(data[140:144], "little") if data[132:136] == b"\2\0\0\0" else 0
    return min(144 + length, len(data))


def _read_header(data: bytes, name: str) -> pydicom.Dataset:
    header = _open(data, name, pixels=False)
    rows, columns = _number(header, "Rows"), _number(header, "Columns")
    if not rows or not columns:
        kind = str(header.get("Modality", ""))[:16] or "no modality"
        raise IngestError(f"{name}: DICOM without a picture in it ({kind}), such as a report or a plan; left out.")
    if not 1 <= rows <= 65535 or not 1 <= columns <= 65535:
        raise IngestError(f"{name}: DICOM of {columns:.0f} × {rows:.0f} pixels, which cannot be. Export it again.")
    if not _number(header, "BitsAllocated"):
        raise IngestError(f"{name}: DICOM that does not say how many bits a pixel has. Export it again.")
    samples, frames = _number(header, "SamplesPerPixel") or 1, _number(header, "NumberOfFrames") or 1
    expected = rows * columns * samples * frames * _number(header, "BitsAllocated") / 8
    if not _is_compressed(header) and expected > 2 * len(data):
        raise IngestError(
            f"{name}: the header speaks of {expected:,.0f} bytes of pixels, the file has {len(data):,}. It is cut off, "
            "or its header is wrong. Copy or export it again."
        )
    return header


def _is_compressed(header: pydicom.Dataset) -> bool:
    """Tell whether pixels may take less room in the file than decoded; without a transfer syntax they may not."""
    try:
        syntax = header.file_meta.TransferSyntaxUID
        return syntax.is_encapsulated or syntax == DeflatedExplicitVRLittleEndian
    except (AttributeError, ValueError):
        return False


def _value(dataset, keyword: str):
    """Return an element's value, or None; a damaged one counts as absent."""
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom converts on access, and raises what the damaged value makes it raise
        return None


def _number(dataset, keyword: str) -> float | None:
    numbers = _numbers(dataset, keyword)
    return numbers[0] if numbers else None


def _numbers(dataset, keyword: str, count: int = 1) -> tuple[float, ...] | None:
    """Return the first `count` values as finite floats, or None."""
    value = _value(dataset, keyword)
    try:
        values = [value] if isinstance(value, (int, float, str)) else list(value)
        numbers = tuple(float(one) for one in values[:count])
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _text(dataset, keyword: str) -> str:
    value = _value(dataset, keyword)
    return "" if value is None else str(value)[:64]


def _first(dataset, keyword: str):
    """Return the first item of a sequence, or an empty data set."""
    try:
        return dataset.get(keyword)[0]
    except Exception:
        return pydicom.Dataset()


def _frames(header: pydicom.Dataset, file: int, name: str) -> list[Frame]:
    """List the slices of one file."""
    count = int(_number(header, "NumberOfFrames") or 1)
    if not 1 <= count <= MAX_FRAMES:
        raise IngestError(f"{name}: DICOM with {count:,} frames; at most {MAX_FRAMES:,}.")
    shared = _first(header, "SharedFunctionalGroupsSequence")
    per_frame = _value(header, "PerFrameFunctionalGroupsSequence")
    groups = list(per_frame) if per_frame is not None and len(per_frame) == count else [pydicom.Dataset()] * count
    return [_frame(header, shared, group, file, index, count) for index, group in enumerate(groups)]


def _frame(header, shared, group, file: int, index: int, count: int) -> Frame:
    def macro(keyword: str):
        """The functional group of this frame, else the one of all frames, else the header itself."""
        for place in (group, shared):
            if len(found := _first(place, keyword)):
                return found
        return header

    orientation = _numbers(macro("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    position = _numbers(macro("PlanePositionSequence"), "ImagePositionPatient", 3)
    if count > 1 and position == _numbers(header, "ImagePositionPatient", 3):
        position = None  # one position for many frames says nothing
    measures = macro("PixelMeasuresSequence")
    transform = macro("PixelValueTransformationSequence")
    timing = macro("MREchoSequence")
    content = macro("FrameContentSequence")
    spacing = _numbers(measures, "PixelSpacing", 2)
    thickness = _number(measures, "SpacingBetweenSlices") or _number(measures, "SliceThickness")
    echo = _number(timing, "EffectiveEchoTime") or _number(header, "EchoTime")
    b_value = _number(macro("MRDiffusionSequence"), "DiffusionBValue")
    number = _number(content, "InStackPositionNumber") if count > 1 else _number(header, "InstanceNumber")
    series = (
        _text(header, "SeriesInstanceUID") or f"{_text(header, 'StudyInstanceUID')} {_text(header, 'SeriesNumber')}"
    )
    key = (
        series if count == 1 else f"{series} {file}",
        int(_number(header, "Rows")),
        int(_number(header, "Columns")),
        int(_number(header, "SamplesPerPixel") or 1),
        orientation and tuple(round(cosine, 2) + 0.0 for cosine in orientation),
        spacing and tuple(round(size, 4) for size in spacing),
        echo,
        b_value,
        _text(header, "ImageType") if count == 1 else "",
        _text(content, "StackID") if count > 1 else "",
    )
    reference = {
        "class": _text(header, "SOPClassUID"),
        "instance": _text(header, "SOPInstanceUID"),
        "frame": index + 1 if count > 1 else None,
        "position": position,
        "orientation": orientation,
        "spacing": spacing,
        "thickness": thickness,
    }
    slope, intercept = _number(transform, "RescaleSlope"), _number(transform, "RescaleIntercept")
    return Frame(
        file,
        index,
        key,
        number if number is not None else math.inf,
        orientation,
        position,
        slope if slope is not None else 1.0,
        intercept or 0.0,
        reference,
    )


def _normal(orientation: tuple[float, ...]) -> np.ndarray | None:
    """Return the unit vector along which slices follow each other, or None for impossible cosines."""
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column), np.linalg.norm(normal)
    return normal / lengths[2] if all(0.9 < length < 1.1 for length in lengths) else None


def _split(frames: list[Frame]) -> list[list[Frame]]:
    """Sort a group by position; where every place was taken n times, give n stacks."""
    frames = sorted(frames, key=lambda frame: (frame.number, frame.file, frame.index))
    seen, unique = set(), []
    for frame in frames:  # the same file given twice
        identity = frame.reference["instance"] or frame.file, frame.index
        if identity not in seen:
            seen.add(identity)
            unique.append(frame)
    normal = _normal(unique[0].orientation) if unique[0].orientation else None
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
    layers = {len(here) for _, here in places}
    if len(layers) == 1:
        return [[here[layer] for _, here in places] for layer in range(layers.pop())]
    return [[here[0] for _, here in places]]


def _read_stack(frames: list[Frame], headers: dict, files: list[tuple[str, bytes]], room: Room) -> Scan:
    """Decode one stack of frames, in order, and say where it lies."""
    first = headers[frames[0].file]
    name = _text(first, "SeriesDescription") or _text(first, "ProtocolName") or files[frames[0].file][0]
    rows, columns = int(_number(first, "Rows")), int(_number(first, "Columns"))
    samples = 3 if _text(first, "PhotometricInterpretation") == "PALETTE COLOR" else int(frames[0].key[3])
    bits = int(_number(first, "BitsAllocated"))
    alone = len(frames) == 1 and frames[0].reference["frame"] is None
    room.take(files[frames[0].file][0], len(frames) * rows * columns * samples, (bits + 7) // 8, alone * rows * columns)
    notes: list[str] = []
    stack = np.empty((len(frames), rows, columns, samples), np.float32)
    opened: tuple[int, pydicom.Dataset] | None = None
    for target, frame in zip(stack, frames, strict=True):
        if opened is None or opened[0] != frame.file:
            opened = frame.file, _open_pixels(files[frame.file], headers[frame.file], notes)
        target[...] = _decode(opened[1], frame, files[frame.file][0], notes).reshape(target.shape)
    if _text(first, "PhotometricInterpretation") == "MONOCHROME1":
        notes.append("Stored with white as the lowest value (MONOCHROME1); inverted, so that bright is bright.")
        stack = stack.max() + stack.min() - stack
    stack = _without_padding(stack, first, frames[0], notes)
    if samples == 3 and np.array_equal(stack[..., 0], stack[..., 1]) and np.array_equal(stack[..., 1], stack[..., 2]):
        stack = stack[..., :1]
    if _text(first, "BurnedInAnnotation").strip().upper() == "YES":
        notes.append(
            "The header says that text is burned into the picture. It may name the patient: look before you share."
        )
    stack, geometry = _geometry(stack, frames, notes)
    guess = _guess(first, name)
    colours = stack.shape[3] == 3
    return Scan(
        name,
        "DICOM",
        stack,
        ("red", "green", "blue") if colours else (name,),
        int(_number(first, "BitsStored") or bits),
        (None,) * 3 if colours else (guess,),
        modality=_text(first, "Modality") or None,
        window=_window(first),
        notes=tuple(dict.fromkeys(notes)),
        files=tuple(files[frame.file][0] for frame in frames),
        source={
            "study": _text(first, "StudyInstanceUID"),
            "series": _text(first, "SeriesInstanceUID"),
            "frame_of_reference": _text(first, "FrameOfReferenceUID"),
            "rows": rows,
            "columns": columns,
            "frames": int(_number(first, "NumberOfFrames") or 1),
            "references": [frame.reference for frame in frames],
        },
        **geometry,
    )


def _open_pixels(file: tuple[str, bytes], header: pydicom.Dataset, notes: list[str]) -> pydicom.Dataset:
    """Read a file with its pixels, and repair or refuse what the decoders would stumble over."""
    name, data = file
    dataset = _open(data, name, pixels=True)
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        notes.append("The file does not name its transfer syntax; read as uncompressed little endian.")
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        bits, samples = _number(header, "BitsAllocated") or 8, _number(header, "SamplesPerPixel") or 1
        pixels = _number(header, "Rows") * _number(header, "Columns") * (_number(header, "NumberOfFrames") or 1)
        if len(_value(dataset, "PixelData") or b"") > 2 * pixels * samples * bits / 8 + 65536:
            raise IngestError(f"{name}: more run-length data than its {pixels:,.0f} pixels can need. Export it again.")
    return dataset


def _decode(dataset: pydicom.Dataset, frame: Frame, name: str, notes: list[str]) -> np.ndarray:
    """Return one frame, float, in the scanner's unit."""
    try:
        array = pixel_array(dataset, index=frame.index)
        if _text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
            return apply_color_lut(array, dataset)[..., :3]
        if "ModalityLUTSequence" in dataset:
            array = apply_modality_lut(array, dataset)
    except MemoryError:
        raise
    except Exception as error:
        compressed = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "an unknown transfer syntax")
        missing = isinstance(error, AttributeError) and "pixel data" in str(error).lower()
        raise IngestError(
            f"{name}: the pixels cannot be decoded ({'there are none' if missing else compressed}). They are cut off, "
            "damaged or packed in a way that no free decoder reads. Export the series uncompressed."
        ) from None
    array = array.astype(np.float32)
    if frame.slope == 0:
        notes.append("The header's rescale slope is 0, which would make every pixel alike; it was left out.")
        return array
    return array if (frame.slope, frame.intercept) == (1, 0) else array * frame.slope + frame.intercept


def _without_padding(stack: np.ndarray, header, frame: Frame, notes: list[str]) -> np.ndarray:
    """Give pixels that the scanner marked as outside the picture the lowest real value."""
    padding = _number(header, "PixelPaddingValue")
    if padding is None:
        return stack
    outside = stack == np.float32(padding * (frame.slope or 1) + frame.intercept)
    if not outside.any() or outside.all():
        return stack
    notes.append("Pixels marked as outside the picture show the lowest value inside.")
    return np.where(outside, stack[~outside].min(), stack)


def _geometry(stack: np.ndarray, frames: list[Frame], notes: list[str]) -> tuple[np.ndarray, dict]:
    """Turn a stack the right side up if its header says how it lies."""
    orientation, spacing = frames[0].orientation, frames[0].reference["spacing"]
    positions = [frame.position for frame in frames]
    normal = _normal(orientation) if orientation else None
    if normal is None or any(position is None for position in positions):
        notes.append("The header does not say how the slices lie: they are shown in the order of their numbers.")
        thickness = frames[0].reference["thickness"]
        known = spacing and thickness and min(*spacing, thickness) > 0
        return stack, {"spacing": (thickness, *spacing) if known else None}
    positions = np.array(positions)
    thickness = frames[0].reference["thickness"]
    if len(frames) > 1:
        step = (positions[-1] - positions[0]) / (len(frames) - 1)
        gaps = np.diff(positions @ normal)
        if gaps.max() > UNEVEN * np.median(gaps):
            notes.append(
                f"The slices are unevenly spaced, {gaps.min():.2f} to {gaps.max():.2f} mm: some may be missing. "
                "Volumes count every slice as equally thick."
            )
    else:
        step = normal * (thickness if thickness and thickness > 0 else 1.0)
    known = spacing is not None and min(spacing) > 0 and (len(frames) > 1 or bool(thickness and thickness > 0))
    if not known:
        notes.append("The header does not give the size of a pixel in all directions: sizes are in pixels.")
    row_size, column_size = spacing if spacing and min(spacing) > 0 else (1.0, 1.0)
    file_affine = np.eye(4)
    file_affine[:3, 0] = step
    file_affine[:3, 1] = np.array(orientation[3:]) * row_size
    file_affine[:3, 2] = np.array(orientation[:3]) * column_size
    file_affine[:3, 3] = positions[0]
    file_affine = LPS_TO_RAS @ file_affine
    if not usable_affine(file_affine):
        notes.append("The header's orientation is impossible and was left out.")
        return stack, {}
    return orient(stack, file_affine, 0, millimetres=known)


def _guess(header, name: str) -> str | None:
    agent = bool(_text(header, "ContrastBolusAgent").strip())
    words = f"{name} {_text(header, 'ProtocolName')} {_text(header, 'SequenceName')}"
    times = (_number(header, keyword) for keyword in ("RepetitionTime", "EchoTime", "InversionTime"))
    guess = guess_from_name(words) or guess_from_timing(*times, agent)
    return "post-contrast" if guess == "pre-contrast" and agent else guess


def _window(header) -> tuple[float, float] | None:
    """Return the grey values that the header asks to be shown as black and white."""
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    return (centre - width / 2, centre + width / 2) if centre is not None and width and width > 0 else None
