"""Pixels of DICOM frames: opened, decoded, scaled, and what is padding."""

from collections.abc import Callable

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGTransferSyntaxes, RLELossless

from unet.language import t
from unet.scans.contents import Content
from unet.scans.formats.dicom_frames import Frame, number_of, open_file, stated, text_of, value_of
from unet.scans.formats.signatures import JPEG_SCAN
from unet.scans.limits import MAX_JPEG_SCANS
from unet.scans.scan import IngestError


def open_pixels(file: tuple[str, Content], notes: list[str]) -> pydicom.Dataset:
    """Read a file with its pixels, and repair or refuse what the decoders would stumble over."""
    name, data = file[0], file[1].read()
    dataset = open_file(data, name)
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        notes.append(t("The file does not name its transfer syntax; read as uncompressed little endian."))
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        bits, samples = number_of(dataset, "BitsAllocated") or 8, number_of(dataset, "SamplesPerPixel") or 1
        pixels = stated(dataset, "Rows") * stated(dataset, "Columns") * (number_of(dataset, "NumberOfFrames") or 1)
        if len(value_of(dataset, "PixelData") or b"") > 2 * pixels * samples * bits / 8 + 65536:
            raise IngestError(
                t(
                    "{name}: more run-length data than its {pixels:,.0f} pixels can need. Export it again.",
                    name=name,
                    pixels=pixels,
                )
            )
    frames = int(number_of(dataset, "NumberOfFrames") or 1)
    if dataset.file_meta.TransferSyntaxUID in JPEGTransferSyntaxes and data.count(JPEG_SCAN) > MAX_JPEG_SCANS * frames:
        raise IngestError(
            t(
                "{name}: a JPEG of more than {max_jpeg_scans} scans in one frame. Export it again.",
                name=name,
                max_jpeg_scans=MAX_JPEG_SCANS,
            )
        )
    return dataset


def decode_all(
    stack: np.ndarray,
    frames: list[Frame],
    files: list[tuple[str, Content]],
    notes: list[str],
    problems: list[str],
    starting: Callable[[int], None],
) -> tuple[list[Frame], np.ndarray, np.ndarray]:
    """Fill a stack with the pixels of its frames; return the undamaged frames, their pixels, and what is padding."""
    outside = np.zeros(stack.shape, bool)
    opened: tuple[int, pydicom.Dataset] | None = None
    damaged: dict[int, str] = {}
    for number, frame in enumerate(frames):
        try:
            if opened is None or opened[0] != frame.file:
                starting(frame.file)
                opened = frame.file, open_pixels(files[frame.file], notes)
            array, padding = _decode(opened[1], frame, files[frame.file][0], notes)
            stack[number], outside[number] = array.reshape(stack.shape[1:]), padding.reshape(stack.shape[1:])
        except IngestError as error:
            damaged[number] = str(error)
            if frame.reference["frame"] is not None or len(damaged) == len(frames):
                raise
    if damaged:
        problems += damaged.values()
        stack, outside = np.delete(stack, list(damaged), axis=0), np.delete(outside, list(damaged), axis=0)
        frames = [frame for number, frame in enumerate(frames) if number not in damaged]
    return frames, stack, outside


def _decode(dataset: pydicom.Dataset, frame: Frame, name: str, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return one frame, float, in the scanner's unit, and where the scanner marked it as outside the picture."""
    try:
        array = pixel_array(dataset, index=0 if frame.tile else frame.index)
        if frame.tile:
            (top, left), (height, width) = frame.tile, frame.key[1:3]
            array = array[top : top + height, left : left + width]
        if text_of(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
            colours = apply_color_lut(array, dataset)[..., :3]
            return colours, np.zeros(colours.shape, bool)
        # the mark is a stored value, sought before slopes of its own bring it elsewhere on each slice; None is nowhere
        padding = np.asarray(array == number_of(dataset, "PixelPaddingValue"))
        if "ModalityLUTSequence" in dataset:
            array = apply_modality_lut(array, dataset)
    except MemoryError:
        raise
    except Exception as error:
        compressed = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", t("an unknown transfer syntax"))
        missing = isinstance(error, AttributeError) and "pixel data" in str(error).lower()
        raise IngestError(
            t(
                "{name}: the pixels cannot be decoded ({kind}). They are cut off, damaged, or compressed "
                "in a way that this app cannot read. Export the series uncompressed.",
                name=name,
                kind=t("there are none") if missing else compressed,
            )
        ) from None
    array = array.astype(np.float32)
    if frame.slope == 0:
        notes.append(t("The rescale slope in the header is 0, which would make all pixels equal. It was ignored."))
        return array, padding
    return array if (frame.slope, frame.intercept) == (1, 0) else array * frame.slope + frame.intercept, padding
