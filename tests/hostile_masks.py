"""Masks that mean no good, beside the series that they claim to be drawn on: the series is read whatever they are."""

import io
from functools import cache

import numpy as np
import pydicom

from tests.segmentations import contours_of, files_of, segmentation, series, structure_set
from tests.upload_files import dicom_bytes

Files = list[tuple[str, bytes]]


@cache
def _beside() -> Files:
    return files_of(_series())


@cache
def _series() -> list[pydicom.Dataset]:
    return series(4, 24, 20)


def _mask() -> np.ndarray:
    mask = np.zeros((4, 24, 20), np.uint8)
    mask[1:3, 5:9, 4:12] = 1
    return mask


@cache
def good() -> dict[str, Files]:
    """One mask of each kind that is read, and the series that it was drawn on."""
    datasets, mask = _series(), _mask()
    return {
        "seg": [("seg.dcm", dicom_bytes(segmentation(datasets, {"Edema": mask, "Core": mask[::-1]}))), *_beside()],
        "labelmap": [("seg.dcm", dicom_bytes(segmentation(datasets, {"Edema": mask}, "LABELMAP"))), *_beside()],
        "rtstruct": [("rt.dcm", structure_set(datasets, {"GTV": mask})), *_beside()],
    }


@cache
def corpus() -> dict[str, Files]:
    """Return name → the upload; every one holds the series too."""
    datasets = _series()
    changes = {
        "dicom_seg_of_60000_frames": {"NumberOfFrames": 60_000},
        "dicom_seg_of_65535_rows": {"Rows": 65_535, "Columns": 65_535},
        "dicom_seg_without_pixels": {"PixelData": b""},
        "dicom_seg_without_segments": {"SegmentSequence": []},
        "dicom_seg_without_places": {"PerFrameFunctionalGroupsSequence": []},
        "dicom_seg_of_no_kind": {"SegmentationType": "WORDS"},
    }
    cases = {}
    for name, values in changes.items():
        one = _good_seg()
        for keyword, value in values.items():
            setattr(one, keyword, value)
        cases[name] = dicom_bytes(one)
    far = _good_seg()
    far.FrameOfReferenceUID, far.ReferencedSeriesSequence = "1.2.99", []
    far.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 1e7]
    cases["dicom_seg_of_kilometres"] = dicom_bytes(far)
    line = contours_of(datasets, _mask())[0]
    huge = np.array([[0.0, 0, 5], [1e15, 0, 5], [0, 1e15, 5]])
    cases["dicom_rtstruct_of_light_years"] = structure_set(datasets, {"GTV": [huge, line]})
    cases["dicom_rtstruct_without_points"] = structure_set(datasets, {"GTV": [line[:0]]})
    good_rt = structure_set(datasets, {"GTV": [line]})
    place = good_rt.index(b"\x06\x30\x50\0") + 12  # of the coordinates
    cases["dicom_rtstruct_of_no_numbers"] = good_rt[:place] + b"one" + good_rt[place + 3 :]
    bomb = pydicom.dcmread(io.BytesIO(good_rt))
    bomb.ROIContourSequence[0].ContourSequence[0].add_new("ContourData", "UN", 2_000_001 * b"1\\1\\1\\" + b"1 ")
    cases["dicom_rtstruct_of_two_million_points"] = dicom_bytes(bomb)
    return {name: [*_beside(), (f"{name}.dcm", content)] for name, content in cases.items()}


def _good_seg() -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(good()["seg"][0][1]))
