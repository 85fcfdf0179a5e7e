"""The mask as DICOM-SEG, which refers to the series that it was drawn on.

It is put together from numbers that the reader let through, so that no word of a header can slip into it; the patient
is in it only where the visitor asks for that.
"""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from unet.export.result import LABEL, PURPOSE, Result
from unet.language import t
from unet.scans.scan import IngestError, Scan

if TYPE_CHECKING:
    from pydicom import Dataset

# of the Patient and General Study modules, DICOM PS3.3, C.7.1.1 and C.7.2.1: these must be there, if only empty
REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_MULTIFRAME_CLASSES = tuple(  # enhanced and legacy-converted MR, CT and PET: others say nothing of each frame's place
    f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("4.1", "4.4", "2.1", "2.2", "130", "128.1")
)


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


def to_dicom_seg(result: Result, keep_patient: bool = False) -> bytes:
    """Return a DICOM-SEG that refers to the uploaded series by its UIDs.

    Args:
        result: the finished mask.
        keep_patient: whether it names the patient and the study as the series does, so that an archive files it
            there; otherwise both modules are empty.

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
    images, planes = _source_images(result.scan, planes, keep_patient)
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


def _source_images(scan: Scan, planes: np.ndarray, keep_patient: bool) -> tuple[list, np.ndarray]:
    """Return data sets with only what a reference needs, and the mask in the order of their frames."""
    source, patient = _source(scan), (scan.patient or {}) if keep_patient else {}
    if source["frames"] == 1:
        return [_header(source, reference, patient) for reference in source["references"]], planes
    from pydicom import Dataset

    whole = np.zeros((source["frames"], *planes.shape[1:]), np.uint8)
    header = _header(source, source["references"][0], patient)
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


def _header(source: dict, reference: dict, patient: dict[str, str]) -> "Dataset":
    """Return a data set of UIDs and geometry; what the standard wants of the patient is there, and empty if unknown."""
    from pydicom import Dataset

    header = Dataset()
    for keyword in REQUIRED:
        setattr(header, keyword, "")
    if patient:
        header.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
        for keyword, value in patient.items():
            setattr(header, keyword, value)
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
