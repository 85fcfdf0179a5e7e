"""DICOM-SEG and RTSTRUCT as other programs write them, and the check that every DICOM-SEG of the tests goes through."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import highdicom
import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tests.upload_files import dicom_bytes, dicom_slice
from unet.scans.formats.dicom_class import SEGMENTATIONS, dicom_class

LABEL_MAP = SEGMENTATIONS[1]
DCIODVFY = shutil.which("dciodvfy")  # of Debian's dicom3tools
OBLIQUE = [0.9961947, 0.0871557, 0, -0.0859317, 0.9822050, 0.1669787]  # turned about two axes
_LESION = Code("49755003", "SCT", "Morphologically Altered Structure"), Code("52988006", "SCT", "Lesion")


def valid(content: bytes) -> bytes:
    """Return a DICOM-SEG after dciodvfy has found no error in it, where that is installed.

    Label maps are not checked: their class is of 2023, and dciodvfy does not know it.
    """
    if DCIODVFY is not None and dicom_class(content) != LABEL_MAP:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "seg.dcm"
            file.write_bytes(content)
            found = subprocess.run([DCIODVFY, file], capture_output=True, text=True, errors="replace", check=False)
        said = (found.stderr + found.stdout).splitlines()
        assert [line for line in said if line.startswith("Error")] == []
        assert "Segmentation" in said
    return content


def series(count=6, rows=24, columns=20, step=6.0, orientation=(1, 0, 0, 0, 1, 0), backwards=False, **changes):
    """Return a series as data sets, along its normal or against it, in which every voxel has a value of its own."""
    cosines = np.array(orientation, float).reshape(2, 3)
    normal = np.cross(cosines[0], cosines[1]) * (-1 if backwards else 1)
    images = np.arange(count * rows * columns, dtype=np.uint16).reshape(count, rows, columns)
    more = {"PatientSex": "F", "StudyDate": "20200102", "StudyTime": "101112", "StudyID": "7", "AccessionNumber": "A1"}
    return [
        dicom_slice(
            image,
            [round(float(one), 6) for one in np.array([-30.0, -40, 5]) + number * step * normal],
            ImageOrientationPatient=list(orientation),
            PixelSpacing=[0.8, 0.9],
            SliceThickness=step,
            InstanceNumber=number + 1,
            **(more | changes),
        )
        for number, image in enumerate(images)
    ]


def files_of(datasets, folder="series") -> list[tuple[str, bytes]]:
    return [(f"{folder}/{number}.dcm", dicom_bytes(one)) for number, one in enumerate(datasets)]


def segmentation(datasets, masks: dict[str, np.ndarray], kind="BINARY", omit_empty=True, codes=None) -> Dataset:
    """Return a DICOM-SEG that highdicom writes.

    Args:
        datasets: of the series that it was drawn on, in the order of the masks.
        masks: (slices, rows, columns) of each segment, by its label; floats for fractions.
        kind: BINARY, FRACTIONAL or LABELMAP.
        omit_empty: whether empty frames are left out.
        codes: category and type of each segment, by its label.
    """
    described = [
        SegmentDescription(
            number, label, *(codes or {}).get(label, _LESION), algorithm_type=SegmentAlgorithmTypeValues.MANUAL
        )
        for number, label in enumerate(masks, start=1)
    ]
    array = np.stack(list(masks.values()), axis=-1)
    if kind == "LABELMAP":
        array = (array * np.arange(1, len(masks) + 1)).max(axis=-1).astype(np.uint8)
    written = Segmentation(
        source_images=datasets,
        pixel_array=array if kind != "BINARY" else array.astype(np.uint8),
        segmentation_type=SegmentationTypeValues[kind],
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit_empty,
        series_description="Segmentation",
    )
    return pydicom.dcmread(io.BytesIO(_written(written)))


def _written(dataset: Dataset) -> bytes:
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def seg_bytes(dataset: Dataset) -> bytes:
    return valid(_written(dataset))


def in_order(seg: Dataset, order) -> Dataset:
    """Return a DICOM-SEG of one bit a pixel with its frames in another order."""
    shape = int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")[: np.prod(shape)].reshape(shape)
    packed = np.packbits(bits[order].ravel(), bitorder="little").tobytes()
    seg.PixelData = packed + b"\0" * (len(packed) % 2)
    groups = list(seg.PerFrameFunctionalGroupsSequence)
    seg.PerFrameFunctionalGroupsSequence = [groups[number] for number in order]
    return seg


def structure_set(
    datasets, structures: Mapping[str, np.ndarray | list[np.ndarray]], types=None, edges=False, **changes
) -> bytes:
    """Return an RTSTRUCT whose contours run through the middles of the outermost pixels of masks, or along their edges.

    Args:
        datasets: of the series that it refers to.
        structures: (slices, rows, columns) masks by name, or (points, 3) contours in millimetres, several a name.
        types: interpreted type of a structure, by its name.
        edges: whether contours run along the edges of pixels.
        changes: of the data set.
    """
    first = datasets[0]
    rt = Dataset()
    rt.file_meta = FileMetaDataset()
    rt.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    rt.file_meta.MediaStorageSOPClassUID = rt.SOPClassUID = RTStructureSetStorage
    rt.file_meta.MediaStorageSOPInstanceUID = rt.SOPInstanceUID = generate_uid()
    rt.StudyInstanceUID, rt.SeriesInstanceUID, rt.Modality = first.StudyInstanceUID, generate_uid(), "RTSTRUCT"
    rt.StructureSetLabel = "contours"
    frame, study, referred = Dataset(), Dataset(), Dataset()
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    referred.SeriesInstanceUID = first.SeriesInstanceUID
    study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [referred], [study]
    rt.ReferencedFrameOfReferenceSequence = [frame]
    rt.StructureSetROISequence, rt.ROIContourSequence, rt.RTROIObservationsSequence = [], [], []
    for number, (name, drawn) in enumerate(structures.items(), start=1):
        roi, roi_contours, observed = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, first.FrameOfReferenceUID
        observed.ObservationNumber = observed.ReferencedROINumber = roi_contours.ReferencedROINumber = number
        observed.RTROIInterpretedType = (types or {}).get(name, "")
        lines = drawn if isinstance(drawn, list) else contours_of(datasets, drawn, edges)
        roi_contours.ContourSequence = [_contour(one, lines is drawn and len(one) == 1) for one in lines]
        rt.StructureSetROISequence.append(roi)
        rt.ROIContourSequence.append(roi_contours)
        rt.RTROIObservationsSequence.append(observed)
    for keyword, value in changes.items():
        setattr(rt, keyword, value)
    return dicom_bytes(rt)


def _contour(points: np.ndarray, is_point: bool) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = "POINT" if is_point else "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{one:.6f}" for one in np.ravel(points)]
    return contour


def contours_of(datasets, mask: np.ndarray, edges=False) -> list[np.ndarray]:
    """Return the contours of a mask, holes too, (points, 3) in millimetres."""
    found = []
    for dataset, plane in zip(datasets, mask, strict=True):
        part = np.repeat(np.repeat(np.pad(plane, 1), 8, axis=0), 8, axis=1) if edges else plane
        lines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        for line in lines:
            points = line[:, 0].astype(float)
            found.append(place(dataset, (points + 0.5) / 8 - 1.5 if edges else points))
    return found


def place(dataset, points: np.ndarray) -> np.ndarray:
    """Return (points, 2) columns and rows of a slice in millimetres of DICOM."""
    row_size, column_size = map(float, dataset.PixelSpacing)
    along_row, along_column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    corner = np.array(dataset.ImagePositionPatient, float)
    return corner + points[:, :1] * column_size * along_row + points[:, 1:] * row_size * along_column
