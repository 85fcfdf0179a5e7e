"""Siemens mosaics: slices side by side in one DICOM picture are unfolded, each at its place."""

import gzip
import io
import struct
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.upload_files import dicom_bytes, dicom_slice
from unet.export.dicom_seg import can_be_dicom_seg
from unet.scans.reader import read_files

pytestmark = pytest.mark.quick

SIDE, COUNT = 3, 7  # seven slices of 20 × 24 in a grid of three by three
SLICES = np.zeros((COUNT, 20, 24), np.uint16)
for number in range(COUNT):
    SLICES[number, 2 + number, 3 : 6 + number] = 100 + number


def csa(**tags: list[str]) -> bytes:
    """A CSA2 header as Siemens writes it: a name, then its values as text."""
    written = b"SV10" + b"\4\3\2\1" + struct.pack("<2I", len(tags), 77)
    for name, values in tags.items():
        kind = b"US" if name == "NumberOfImagesInMosaic" else b"FD"
        written += struct.pack("<64si4s3i", name.encode(), len(values), kind + b"\0\0", 0, len(values), 77)
        for value in values:
            text = value.encode() + b"\0" * (4 - len(value) % 4)
            written += struct.pack("<4i", len(text), len(text), 77, len(text)) + text
    return written


def mosaic(header: bytes | None, number: int = 1, **changes) -> Dataset:
    """The slices in one picture; its position is that of a picture of the mosaic's size around the same centre."""
    picture = np.zeros((SIDE * 20, SIDE * 24), np.uint16)
    for index, slice_ in enumerate(SLICES):
        row, column = divmod(index, SIDE)
        picture[20 * row : 20 * (row + 1), 24 * column : 24 * (column + 1)] = slice_
    dataset = dicom_slice(
        picture,
        (-24.0 - 48.0, -30.0 - 40.0, 12.0),  # 24 columns and 20 rows of 2 mm on each side too many
        **{
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            "PixelSpacing": [2.0, 2.0],
            "SliceThickness": 3.0,
            "SpacingBetweenSlices": 3.5,
            "InstanceNumber": number,
            "SeriesDescription": "ep2d_bold",
            **changes,
        },
    )
    if header is not None:
        dataset.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    return dataset


def read(*datasets: Dataset):
    return read_files([(f"{number}.dcm", dicom_bytes(one)) for number, one in enumerate(datasets)])


@pytest.mark.parametrize(("sign", "bottom"), [(1.0, 12.0), (-1.0, 12.0 - 6 * 3.5)])
def test_a_mosaic_is_unfolded_into_slices_at_their_places(sign, bottom):
    header = csa(NumberOfImagesInMosaic=["7"], SliceNormalVector=["0.0", "0.0", str(sign)])
    [scan], problems = read(mosaic(header))
    assert problems == []
    assert (scan.voxels.shape, scan.plane, scan.spacing) == ((7, 20, 24, 1), "axial", (3.5, 2.0, 2.0))
    expected = SLICES if sign > 0 else SLICES[::-1]
    np.testing.assert_array_equal(scan.voxels[..., 0], expected)
    assert scan.affine is not None
    # the corner of the lowest slice, left and back in DICOM's millimetres, right and front in the affine's
    np.testing.assert_allclose(scan.affine @ [0, 0, 0, 1], [24.0, 30.0, bottom, 1])
    np.testing.assert_allclose(scan.affine @ [6, 19, 23, 1], [24.0 - 46, 30.0 - 38, bottom + 21.0, 1])


def test_a_scanners_mosaic_lies_where_nibabel_places_it():
    path = Path(nibabel.__file__).parent / "nicom" / "tests" / "data" / "siemens_dwi_0.dcm.gz"
    if not path.exists():
        pytest.skip("nibabel was installed without its tests")
    content = gzip.decompress(path.read_bytes())
    [scan], _ = read_files([("a.dcm", content)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel calls its reader experimental
        from nibabel.nicom.dicomwrappers import wrapper_from_data

        theirs = wrapper_from_data(pydicom.dcmread(io.BytesIO(content)))
    assert (scan.voxels.shape, theirs.image_shape) == ((48, 128, 128, 1), (128, 128, 48))
    assert scan.affine is not None
    ours = {tuple((scan.affine @ [47 * s, 127 * r, 127 * c, 1])[:3].round(3)) for s, r, c in np.ndindex(2, 2, 2)}
    flipped = np.diag([-1, -1, 1, 1]) @ theirs.affine
    assert ours == {tuple((flipped @ [127 * r, 127 * c, 47 * s, 1])[:3].round(3)) for s, r, c in np.ndindex(2, 2, 2)}


def test_the_private_tag_tells_the_number_too():
    dataset = mosaic(None)
    dataset.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 7)
    [scan], problems = read(dataset)
    assert (scan.voxels.shape, problems) == ((7, 20, 24, 1), [])


def test_of_a_time_series_the_first_volume_is_used():
    header = csa(NumberOfImagesInMosaic=["7"])
    later = mosaic(header, 2)
    later.PixelData = bytes(len(later.PixelData))
    [scan], problems = read(later, mosaic(header, 1))
    assert problems == []
    assert "The series holds 2 volumes, as in a time series. The first is used." in scan.notes
    np.testing.assert_array_equal(scan.voxels[..., 0], SLICES)


def test_a_slice_of_a_mosaic_has_no_name_for_a_dicom_seg():
    [scan], _ = read(mosaic(csa(NumberOfImagesInMosaic=["7"])))
    assert not can_be_dicom_seg(scan)


@pytest.mark.parametrize(
    "header", [None, b"", b"SV10 damaged", csa(NumberOfImagesInMosaic=["0"]), csa(NumberOfImagesInMosaic=["50"])]
)
def test_a_mosaic_whose_header_is_incomplete_is_named(header):
    scans, problems = read(mosaic(header, Rows=59) if header == b"" else mosaic(header))
    assert scans == []
    assert problems == [
        "0.dcm: a Siemens mosaic, many slices in one picture, whose header does not say how they lie in it. Export the "
        "series with its private tags, or convert it to NIfTI with dcm2niix."
    ]


def test_a_mosaic_without_a_position_is_unfolded_in_order():
    [scan], _ = read(mosaic(csa(NumberOfImagesInMosaic=["7"]), ImagePositionPatient=None))
    np.testing.assert_array_equal(scan.voxels[..., 0], SLICES)
    assert (scan.affine, scan.spacing) == (None, (3.5, 2.0, 2.0))
