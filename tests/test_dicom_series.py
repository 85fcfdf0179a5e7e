"""Which DICOM slices are one series: rounding joins them, passes and lost positions are told apart."""

import numpy as np
import pytest

from tests.upload_files import dicom_bytes, dicom_slice
from unet.scans.reader import read_files

pytestmark = pytest.mark.quick

STACK = np.stack([np.full((20, 24), 100 + number, np.uint16) for number in range(6)])


def series_with(number: int, **changes) -> list[tuple[str, bytes]]:
    """A series of six slices, of which one has other values in its header."""
    usual = {"EchoTime": 120.0, "PixelSpacing": [2.5, 2.5], "ImageType": ["ORIGINAL", "PRIMARY", "M"]}
    return [
        (
            f"IM{n}",
            dicom_bytes(
                dicom_slice(image, (0, 0, 6.0 * n), InstanceNumber=n + 1, **(usual | (changes if n == number else {})))
            ),
        )
        for n, image in enumerate(STACK)
    ]


@pytest.mark.parametrize(
    "rounded",
    [
        {"ImageOrientationPatient": [1, 0.0051, 0, -0.0051, 1, 0]},
        {"PixelSpacing": [2.50006, 2.5]},
        {"EchoTime": 120.01},
        {"ImageType": ["DERIVED", "PRIMARY", "M"]},
        {"ImageType": ["DERIVED", "SECONDARY", "M"]},
    ],
)
def test_headers_that_differ_by_rounding_are_one_series(rounded):
    [scan], problems = read_files(series_with(3, **rounded))
    assert problems == []
    assert scan.voxels[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104, 105]


@pytest.mark.parametrize(
    "other",
    [
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"PixelSpacing": [2.0, 2.0]},
        {"EchoTime": 100.0},
        {"EchoTime": None},
        {"ImageType": ["ORIGINAL", "PRIMARY", "P"]},
    ],
)
def test_headers_that_state_another_picture_are_another_series(other):
    scans, _ = read_files(series_with(3, **other))
    assert sorted(len(scan.voxels) for scan in scans) == [1, 5]


def test_a_slice_without_a_position_costs_that_slice_alone():
    [scan], [problem] = read_files(series_with(3, ImagePositionPatient=None))
    assert scan.voxels[:, 0, 0, 0].tolist() == [100, 101, 102, 104, 105]
    assert scan.plane == "axial"
    assert problem == "IM3: its header holds no position, those of its series do; left out."


def passes(step: float, thickness: float) -> list[tuple[str, bytes]]:
    """Two acquisitions in one series, the second moved by half a step."""
    return [
        (
            f"{acquisition}{n}",
            dicom_bytes(
                dicom_slice(
                    image,
                    (0, 0, step * (n + acquisition / 2)),
                    AcquisitionNumber=acquisition + 1,
                    InstanceNumber=10 * acquisition + n,
                    SliceThickness=thickness,
                )
            ),
        )
        for acquisition in (0, 1)
        for n, image in enumerate(STACK + 10 * acquisition)
    ]


def test_two_passes_that_interleave_are_two_scans():
    scans, _ = read_files(passes(step=6.0, thickness=5.0))
    assert [scan.name for scan in scans] == ["ax FLAIR (1 of 2)", "ax FLAIR (2 of 2)"]
    assert [scan.voxels[:, 0, 0, 0].tolist() for scan in scans] == [
        [100, 101, 102, 103, 104, 105],
        [110, 111, 112, 113, 114, 115],
    ]
    assert [scan.spacing for scan in scans] == [(6.0, 1.0, 1.0)] * 2


def test_two_passes_that_fill_each_others_gaps_are_one_scan():
    [scan], _ = read_files(passes(step=10.0, thickness=5.0))
    assert scan.voxels[:, 0, 0, 0].tolist() == [100, 110, 101, 111, 102, 112, 103, 113, 104, 114, 105, 115]
