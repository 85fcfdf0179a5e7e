"""Results on their way out: PNG, NIfTI and CSV, in the geometry that came in; DICOM-SEG has a file of its own.

A mask arrives in display order, (slices, height, width), and leaves on the file's own grid. What is written is put
together from numbers that the reader let through, so that no name, birth date or other word of a header can
slip into an export.
"""

import csv
import gzip
import io
import zipfile
from dataclasses import dataclass

import cv2
import numpy as np

from unet import overlay
from unet.data.volume import FLAIR, Volume
from unet.language import mark
from unet.scans.grids import file_affine, on_even_grid
from unet.scans.scan import Scan
from unet.weights.network import Weights

PURPOSE = mark("Research and teaching, not for diagnosis.")
LABEL = mark("FLAIR abnormality, predicted")
COLUMNS = "slice", "lesion_pixels", "lesion_mm2", "threshold", "model", "model_sha256", "engine", "purpose"


@dataclass(frozen=True, eq=False)
class Result:
    """A finished mask and where it came from.

    Attributes:
        scan: the FLAIR scan whose grid the mask lies on.
        volume: what the network was given.
        mask: (slices, height, width) uint8 in {0, 1}, in display order, on the grid of `scan.voxels`.
        threshold: from which probability a voxel counts.
        weights: of the network.
        engine: what ran it, with its precision, such as `OpenVINO int8`: rounding moves single voxels.
    """

    scan: Scan
    volume: Volume
    mask: np.ndarray
    threshold: float
    weights: Weights
    engine: str


def lesion_size(result: Result) -> tuple[int, float | None]:
    """Return the lesion in voxels, and in millilitres where the header gives the size of a voxel.

    A single slice has an area but no volume, so there it is None.
    """
    voxels, spacing = int(result.mask.sum()), result.scan.spacing
    return voxels, voxels * float(np.prod(spacing)) / 1000 if spacing and len(result.mask) > 1 else None


def to_csv(result: Result, decimal_comma: bool = False) -> str:
    """Return one row a slice: pixels, square millimetres where they are known, and what made the mask.

    It begins with a byte order mark, without which spreadsheets take UTF-8 for the code page of their country.

    Args:
        result: the finished mask.
        decimal_comma: for spreadsheets of countries that write 1,5: semicolons separate, commas are decimal.
    """
    spacing = result.scan.spacing
    text = io.StringIO()
    text.write("\ufeff")
    writer = csv.writer(text, lineterminator="\n", delimiter=";" if decimal_comma else ",")

    def decimal(number: float) -> str:
        return f"{number:.2f}".replace(".", "," if decimal_comma else ".")

    writer.writerow(COLUMNS)
    for number, plane in enumerate(result.mask, start=1):
        pixels = int(plane.sum())
        area = decimal(pixels * spacing[1] * spacing[2]) if spacing else ""
        made_by = decimal(result.threshold), result.weights.name, result.weights.sha256, result.engine, PURPOSE
        writer.writerow([number, pixels, area, *made_by])
    return text.getvalue()


def mask_pictures(result: Result) -> list[np.ndarray]:
    """Return each slice of the mask as (height, width) uint8, 0 or 255, as on screen and in the size of the file."""
    return [plane * np.uint8(255) for plane in _full_size(result)]


def _full_size(result: Result) -> np.ndarray:
    """Return the mask; that of a picture scaled down when it was read, in the size that the file has."""
    height, width = (result.scan.source or {}).get("size", result.mask.shape[1:])
    if (height, width) == result.mask.shape[1:]:
        return result.mask
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) for one in result.mask])


def overlay_pictures(result: Result) -> list[np.ndarray]:
    """Return FLAIR with the mask over it, (height, width, 3) uint8, each slice as on screen."""
    flair = result.volume.images[..., FLAIR]
    window = overlay.display_window(flair[:, ::4, ::4] if min(flair.shape[1:]) >= 64 else flair)
    return [
        overlay.draw_mask(overlay.grey_to_rgb(overlay.to_display(image, window)), plane, overlay.PREDICTED_COLOUR)
        for image, plane in zip(flair, result.mask, strict=True)
    ]


def to_png(pictures: list[np.ndarray], name: str) -> bytes:
    """Return a PNG, or for several slices a zip of PNGs named after `name`."""
    if len(pictures) == 1:
        return overlay.encode_png(pictures[0])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # stored: PNG is compressed already
        for number, picture in enumerate(pictures, start=1):
            archive.writestr(f"{name}_{number:03d}.png", overlay.encode_png(picture))
    return packed.getvalue()


def to_nifti(result: Result) -> bytes:
    """Return the mask as `.nii.gz` on the file's own grid.

    For NIfTI the same shape and the very same affine; for DICOM columns, rows, slices with the header's geometry.
    A missing slice is an empty one. A picture without geometry gives a NIfTI that claims none: both of its form codes
    are 0.
    """
    from nibabel import Nifti1Header, Nifti1Image, Nifti2Header, Nifti2Image

    scan = result.scan
    array = scan.placement.inverse(on_even_grid(scan, _full_size(result)))
    source = scan.source or {}
    kinds = (Nifti2Header, Nifti2Image) if source.get("version") == 2 else (Nifti1Header, Nifti1Image)
    header = kinds[0]()
    if "header" in source:  # of a NIfTI, or of a format that is written as one
        array = array.reshape(source["shape"])
        header.set_data_shape(array.shape)
        for field, value in source["header"].items():
            header[field] = value
    else:
        array = array.transpose(2, 1, 0)  # columns, rows, slices
        if scan.affine is None:
            array = array[:, ::-1]  # without a geometry, NIfTI is read with the second axis upwards
        header.set_data_shape(array.shape)
        if scan.affine is not None:
            header.set_sform(_columns_first(scan), 1)
            header.set_qform(_columns_first(scan), 1)
            header.set_xyzt_units("mm")
    header.set_data_dtype(np.uint8)
    header["descrip"] = PURPOSE.encode()
    image = kinds[1](np.ascontiguousarray(array), None, header)
    return gzip.compress(image.to_bytes(), 6, mtime=0)


def _columns_first(scan: Scan) -> np.ndarray:
    """Return the matrix from column, row and slice of the file to RAS+ millimetres."""
    return file_affine(scan)[:, [2, 1, 0, 3]]
