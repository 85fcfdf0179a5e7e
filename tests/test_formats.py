"""Files beside DICOM, NIfTI, TIFF and PNG: older and newer formats, archives in archives, masks as people save them."""

import gzip
import io

import nibabel
import numpy as np
import pytest
from nibabel.analyze import AnalyzeHeader

from tests.hostile import slice_image, stack
from tests.upload_files import AXIAL, mgz_bytes, nifti_of, picture_bytes, png_bytes, tar_bytes, zip_bytes
from unet.data.sequences import EXPECTED_MASK
from unet.scans.reader import read_files

pytestmark = pytest.mark.quick

NIFTI = nifti_of(stack())
BLOB = np.zeros((64, 64), np.uint8)
BLOB[20:30, 30:50] = 1


def read_one(name, content):
    [scan], problems = read_files([(name, content)])
    assert problems == []
    return scan


# --- archives


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii.gz.gz", gzip.compress(gzip.compress(NIFTI))),
        ("a.tar", tar_bytes([("b/flair.nii", NIFTI)])),
        ("a.tar.gz", gzip.compress(tar_bytes([("b/flair.nii", NIFTI)]))),
        ("a.zip", zip_bytes([("b.zip", zip_bytes([("flair.nii", NIFTI)]))])),
        ("a.zip", zip_bytes([("b.tar.gz", gzip.compress(tar_bytes([("flair.nii", NIFTI)])))])),
    ],
)
def test_an_archive_in_an_archive_is_opened(name, content):
    assert read_one(name, content).voxels.shape == (6, 64, 64, 3)


def test_an_archive_in_an_archive_in_an_archive_is_named():
    inner = zip_bytes([("c.zip", zip_bytes([("a.nii", NIFTI)]))])
    scans, problems = read_files([("a.zip", zip_bytes([("b.zip", inner)]))])
    assert (scans, problems) == ([], ["c.zip: an archive too deep inside others. Unpack it first."])


@pytest.mark.parametrize("name", ["../a.nii", "/etc/a.nii"])
def test_a_tar_that_points_outside_is_left_out(name):
    scans, problems = read_files([("a.tar", tar_bytes([(name, NIFTI), ("b.nii", NIFTI)]))])
    assert [scan.name for scan in scans] == ["b.nii"]
    assert problems == [f"{name}: not a plain file inside the archive; left out."]


def test_all_archives_of_an_upload_share_one_limit(monkeypatch):
    monkeypatch.setattr("unet.scans.unpacking.MAX_BYTES", int(1.5 * len(NIFTI)))
    scans, problems = read_files([(f"{n}.zip", zip_bytes([(f"{n}.nii", NIFTI)])) for n in (1, 2)])
    assert [scan.name for scan in scans] == ["1.nii"]
    assert problems == ["2.zip: unpacks to more than 512 MB. Pack only the series you need."]


def test_what_lies_beside_pictures_is_passed_over_quietly():
    beside = [("README", b"hello"), ("sub-01_T1w.json", b"{}"), ("participants.tsv", b"a\tb"), ("dwi.bval", b"0 1000")]
    scans, problems = read_files([*beside, ("flair.nii", NIFTI), ("study.zip", zip_bytes([*beside, ("b.nii", NIFTI)]))])
    assert ([scan.name for scan in scans], problems) == (["flair.nii", "b.nii"], [])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("DICOMDIR", "DICOMDIR: a DICOMDIR only lists the other files of its disc. Upload the whole folder."),
        (
            "usb/._flair.nii.gz",
            "usb/._flair.nii.gz: macOS keeps notes on flair.nii.gz in this file, not the picture. Upload flair.nii.gz.",
        ),
        ("notes.txt", "notes.txt: holds no picture. Expected DICOM, NIfTI, MGZ"),
    ],
)
def test_an_upload_of_nothing_else_gets_a_sentence(name, sentence):
    scans, [problem] = read_files([(name, b"hello")])
    assert scans == []
    assert problem.startswith(sentence)


# --- volumes


def test_mgz_is_read_with_its_place():
    scan = read_one("flair.mgz", mgz_bytes(stack()[..., 1]))
    np.testing.assert_array_equal(scan.voxels[..., 0], stack()[..., 1])
    assert (scan.plane, scan.spacing, scan.guesses) == ("axial", (6, 1, 1), ("FLAIR",))


def test_analyze_is_a_pair_without_orientation():
    array = np.arange(24 * 20 * 5, dtype=np.int16).reshape(24, 20, 5)
    header = AnalyzeHeader()
    header.set_data_dtype(np.int16)
    header.set_data_shape(array.shape)
    header.set_zooms((1, 1, 5))
    scans, problems = read_files([("flair.hdr", header.binaryblock), ("flair.img", array.tobytes(order="F"))])
    [scan] = scans
    assert problems == []
    assert (scan.voxels.shape, scan.spacing, scan.plane) == ((5, 20, 24, 1), (5, 1, 1), None)
    np.testing.assert_array_equal(scan.voxels[..., 0], array.transpose(2, 1, 0)[:, ::-1])


def test_two_orientations_that_differ_are_said():
    image = nibabel.Nifti1Image(np.ones((20, 22, 6), np.float32), AXIAL)
    image.set_qform(AXIAL, 1)
    agreed = read_one("flair.nii", image.to_bytes())
    assert not any("two orientations" in note for note in agreed.notes)
    image.set_qform(np.diag([1.0, -1, 6, 1]) + np.outer([-128, 128, -60, 0], [0, 0, 0, 1]), 1)
    differing = read_one("flair.nii", image.to_bytes())
    assert differing.edges == agreed.edges
    assert any("two orientations that differ (q-form and s-form)" in note for note in differing.notes)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"NRRD0004\n", "a.dat: NRRD, which this app does not read yet. Save it as NIfTI"),
        (b"ObjectType = Image\n", "a.dat: a MetaImage (MHA, MHD), which this app does not read yet."),
        (b"CDF\1", "a.dat: MINC, which this app does not read. Convert it with mnc2nii."),
        (b"\0\0\0\x18ftypheic", "a.dat: HEIC, which this app does not read yet. Save the photo as JPEG."),
    ],
)
def test_what_is_known_but_not_read_is_named(start, said):
    scans, [problem] = read_files([("a.dat", start + bytes(400))])
    assert scans == []
    assert problem.startswith(said)


# --- pictures and masks


@pytest.mark.parametrize("kind", ["webp", "bmp", "gif"])
def test_other_pictures_are_read(kind):
    options = {"lossless": True} if kind == "webp" else {}
    scan = read_one(f"a.{kind}", picture_bytes(slice_image(), kind, **options))
    np.testing.assert_array_equal(scan.voxels[0, ..., 0], slice_image())


def test_of_an_animation_the_first_frame_is_read():
    from PIL import Image

    first, second = Image.fromarray(slice_image(seed=1)), Image.fromarray(slice_image(seed=2))
    written = io.BytesIO()
    first.save(written, "gif", save_all=True, append_images=[second])
    scan = read_one("a.gif", written.getvalue())
    np.testing.assert_array_equal(scan.voxels[0, ..., 0], slice_image(seed=1))
    assert "The picture is animated. Only the first frame is used." in scan.notes


def palette_png(indices):
    from PIL import Image

    picture = Image.fromarray(indices, "P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    written = io.BytesIO()
    picture.save(written, "png")
    return written.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("slice_mask.png", palette_png(BLOB), ""),
        ("slice_mask.png", picture_bytes(BLOB.astype(bool), "png"), ""),
        ("slice_mask.png", png_bytes(BLOB[..., np.newaxis] * np.array([255, 0, 0], np.uint8)), "A mask in colours"),
        ("slice_mask.jpg", picture_bytes(BLOB * np.uint8(255), "jpeg"), "those from half of the brightest up count"),
    ],
)
def test_masks_as_people_save_them(name, content, note):
    scan = read_one(name, content)
    assert scan.guesses == (EXPECTED_MASK,)
    np.testing.assert_array_equal(scan.voxels[0, ..., 0] > 0, BLOB > 0)
    assert (not scan.notes) if not note else any(note in one for one in scan.notes)


def test_a_grey_picture_with_a_tint_or_an_arrow_is_one_sequence():
    grey = np.repeat(slice_image(256)[..., np.newaxis], 3, axis=2)
    arrow = grey.copy()
    arrow[100:104, 60:140] = 255, 0, 0
    tinted = (grey * np.array([0.9, 1, 0.8])).astype(np.uint8)
    for picture in (arrow, tinted):
        scan = read_one("slide.png", png_bytes(picture))
        assert scan.voxels.shape == (1, 256, 256, 1)
        assert any("read as one sequence" in note for note in scan.notes)
    three = read_one("slice.png", png_bytes(stack(1, 256)[0]))
    assert three.voxels.shape == (1, 256, 256, 3)
