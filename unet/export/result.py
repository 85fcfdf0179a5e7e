"""Results on their way out: PNG, NIfTI, DICOM-SEG and CSV, in the geometry that came in.

A mask arrives in display order, (slices, height, width), and leaves on the file's own grid. What is written is put
together from numbers that the reader let through, so that no name, birth date or other word of a header can
slip into an export.
"""

import csv
import gzip
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from unet import overlay
from unet.data.volume import FLAIR, Volume
from unet.language import mark, t
from unet.scans.grids import even_shape, on_even_grid
from unet.scans.scan import IngestError, Scan
from unet.weights.network import Weights

if TYPE_CHECKING:
    from pydicom import Dataset

PURPOSE = mark("Research and teaching, not for diagnosis.")
LABEL = mark("FLAIR abnormality, predicted")
COLUMNS = "slice", "lesion_pixels", "lesion_mm2", "threshold", "model", "model_sha256", "engine", "purpose"
_MULTIFRAME_CLASSES = tuple(  # enhanced and legacy-converted MR, CT and PET: others say nothing of each frame's place
    f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("4.1", "4.4", "2.1", "2.2", "130", "128.1")
)


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


def to_csv(result: Result) -> str:
    """Return one row a slice: pixels, square millimetres where they are known, and what made the mask."""
    spacing = result.scan.spacing
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, plane in enumerate(result.mask, start=1):
        pixels = int(plane.sum())
        area = f"{pixels * spacing[1] * spacing[2]:.2f}" if spacing else ""
        made_by = f"{result.threshold:.2f}", result.weights.name, result.weights.sha256, result.engine, PURPOSE
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
            header.set_sform(_file_affine(scan, scan.affine), 1)
            header.set_qform(_file_affine(scan, scan.affine), 1)
            header.set_xyzt_units("mm")
    header.set_data_dtype(np.uint8)
    header["descrip"] = PURPOSE.encode()
    image = kinds[1](np.ascontiguousarray(array), None, header)
    return gzip.compress(image.to_bytes(), 6, mtime=0)


def _file_affine(scan: Scan, affine: np.ndarray) -> np.ndarray:
    """Return column, row, slice of the file to RAS+ millimetres, from `affine`, that of display indices."""
    from_file = np.linalg.inv(scan.placement.affine(np.eye(4), _file_shape(scan)))
    return (affine @ from_file)[:, [2, 1, 0, 3]]


def _file_shape(scan: Scan) -> tuple[int, ...]:
    return tuple(scan.placement.inverse(np.broadcast_to(np.False_, even_shape(scan))).shape)


def can_be_dicom_seg(scan: Scan) -> bool:
    """Tell whether a DICOM-SEG can refer to the scan: DICOM, with the place and name of every slice."""
    if scan.file_format != "DICOM" or scan.affine is None:
        return False
    source = _source(scan)
    return (
        bool(source["study"] and source["series"] and source["frame_of_reference"])
        and all(one["class"] and one["instance"] and one["spacing"] for one in source["references"])
        and (source["frames"] == 1 or source["references"][0]["class"] in _MULTIFRAME_CLASSES)
    )


def _source(scan: Scan) -> dict:
    if scan.source is None:
        raise IngestError(t("the scan has no `source`, which its reader sets for an export. Read the file again."))
    return scan.source


def to_dicom_seg(result: Result) -> bytes:
    """Return a DICOM-SEG that refers to the uploaded series by its UIDs; the patient module is empty.

    Raises:
        IngestError: the upload is not DICOM, or its headers lack what a reference needs.
    """
    if not can_be_dicom_seg(result.scan):
        raise IngestError(
            t(
                "DICOM-SEG needs DICOM slices with positions and with study, series and "
                "frame-of-reference UIDs. This upload has none. Download the mask as NIfTI or PNG."
            )
        )
    import highdicom
    from pydicom.sr.codedict import codes

    planes = result.scan.placement.inverse(result.mask)
    images, planes = _source_images(result.scan, planes)
    version = f"{result.weights.sha256[:16]}, {result.engine}"
    algorithm = highdicom.AlgorithmIdentificationSequence(
        result.weights.name, codes.DCM.ArtificialIntelligence, version
    )
    segment = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label=LABEL,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    segmentation = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=np.ascontiguousarray(planes),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=t("Brain MRI through an Attention U-Net"),
        manufacturer_model_name=result.weights.name,
        software_versions=version,
        device_serial_number="none",
        content_label="PREDICTION",
        content_description=PURPOSE,
        series_description=LABEL,
        omit_empty_frames=False,  # viewers misplace segments whose frames have gaps; a frame takes one bit a pixel
    )
    written = io.BytesIO()
    segmentation.save_as(written)
    return written.getvalue()


def _source_images(scan: Scan, planes: np.ndarray) -> tuple[list, np.ndarray]:
    """Return data sets with only what a reference needs, and the mask in the order of their frames."""
    source = _source(scan)
    if source["frames"] == 1:
        return [_header(source, reference) for reference in source["references"]], planes
    from pydicom import Dataset

    whole = np.zeros((source["frames"], *planes.shape[1:]), np.uint8)
    header = _header(source, source["references"][0])
    header.NumberOfFrames = source["frames"]
    first, last = source["references"][0], source["references"][-1]
    header.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(source["frames"])]
    places = {reference["frame"]: reference for reference in source["references"]}
    for number, group in enumerate(header.PerFrameFunctionalGroupsSequence, start=1):
        place = places.get(number, first if number == 1 else last)  # frames of other stacks get no mask
        group.PlanePositionSequence = [Dataset()]
        group.PlanePositionSequence[0].ImagePositionPatient = _decimals(place["position"])
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = _decimals(first["orientation"])
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = _decimals(first["spacing"])
    shared.PixelMeasuresSequence[0].SliceThickness = _decimals([first["thickness"] or 1.0])[0]
    header.SharedFunctionalGroupsSequence = [shared]
    for plane, reference in zip(planes, source["references"], strict=True):
        whole[reference["frame"] - 1] = plane
    return [header], whole


def _header(source: dict, reference: dict) -> "Dataset":
    """Return a data set of UIDs and geometry; what the standard wants of the patient is there and empty."""
    from pydicom import Dataset

    header = Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        setattr(header, keyword, "")
    for keyword in ("StudyID", "AccessionNumber", "ReferringPhysicianName"):
        setattr(header, keyword, "")
    header.StudyInstanceUID, header.SeriesInstanceUID = source["study"], source["series"]
    header.FrameOfReferenceUID = source["frame_of_reference"]
    header.SOPClassUID, header.SOPInstanceUID = reference["class"], reference["instance"]
    header.Rows, header.Columns, header.Modality = source["rows"], source["columns"], "MR"
    header.ImagePositionPatient = _decimals(reference["position"])
    header.ImageOrientationPatient = _decimals(reference["orientation"])
    header.PixelSpacing = _decimals(reference["spacing"])
    header.SliceThickness = _decimals([reference["thickness"] or 1.0])[0]
    return header


def _decimals(values: Iterable[float]) -> list:
    """Return decimal strings of at most 16 characters, as the standard allows (PS3.5, 6.2), the nearest that fit."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(value, auto_format=True) for value in values]
