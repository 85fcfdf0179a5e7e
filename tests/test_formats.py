"""Files beside DICOM, NIfTI, TIFF and PNG: older and newer formats, archives in archives, masks as people save them."""

import gzip
import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.analyze import AnalyzeHeader

from tests.heic_files import HEIC, HEIC_TURNED
from tests.hostile import slice_image, stack
from tests.upload_files import AXIAL, mgz_bytes, nifti_bytes, nifti_of, picture_bytes, png_bytes, tar_bytes, zip_bytes
from tests.volume_files import (
    PACKERS,
    afni_pair,
    mha_bytes,
    minc_bytes,
    nrrd_bytes,
    nrrd_header,
    par_pair,
    seg_nrrd_bytes,
)
from unet.data.sequences import EXPECTED_MASK
from unet.export.result import Result, to_nifti
from unet.scans.assemble import build_volume
from unet.scans.grids import same_grid
from unet.scans.mapping import Channel
from unet.scans.reader import read_files
from unet.weights.network import find_weights

pytestmark = pytest.mark.quick

NIFTI = nifti_of(stack())
BLOB = np.zeros((64, 64), np.uint8)
BLOB[20:30, 30:50] = 1


def read_one(*upload):
    [scan], problems = read_files([upload] if isinstance(upload[0], str) else list(upload))
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
    assert problems == ["2.zip: unpacks to more than 2048 MB. Pack only the series you need."]


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
        ("notes.txt", "notes.txt: holds no picture. Expected DICOM, NIfTI, Analyze, MGZ, NRRD"),
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


# --- volumes with a reader of their own

VOLUME = stack()[..., 1].astype(np.int16)
VALUES = VOLUME.astype("<i2").tobytes()
HALVES = (VOLUME[:3].astype("<i2").tobytes(), VOLUME[3:].astype("<i2").tobytes())


@pytest.mark.parametrize(
    ("file_format", "upload"),
    [
        *[("NRRD", [("flair.nrrd", nrrd_bytes(VOLUME, encoding))]) for encoding in PACKERS],
        ("NRRD", [("flair.nhdr", nrrd_header(VOLUME.shape, data_file="./a.raw")), ("a.raw", VALUES)]),
        ("NRRD", [("flair.nhdr", nrrd_header(VOLUME.shape, data_file="/old/disk/a.raw")), ("a.raw", VALUES)]),
        (
            "NRRD",
            [
                ("flair.nhdr", nrrd_header(VOLUME.shape, "gzip", data_file="a.raw.gz")),
                ("a.raw.gz", gzip.compress(VALUES)),
            ],
        ),
        (
            "NRRD",
            [
                ("flair.nhdr", nrrd_header(VOLUME.shape, data_file="LIST") + b"b.raw\na.raw\n"),
                *zip(("b.raw", "a.raw"), HALVES, strict=True),
            ],
        ),
        (
            "NRRD",
            [
                ("flair.nhdr", nrrd_header(VOLUME.shape, data_file="a%02d.raw 7 9 2")),
                *zip(("a07.raw", "a09.raw"), HALVES, strict=True),
            ],
        ),
        (
            "NRRD",
            [
                ("flair.nhdr", nrrd_header(VOLUME.shape, data_file="a.raw", byte_skip="-1")),
                ("a.raw", b"xyz" + VALUES),
            ],
        ),
        (
            "NRRD",
            [
                ("flair.nhdr", nrrd_header(VOLUME.shape, data_file="a.raw", line_skip="1", byte_skip="3")),
                ("a.raw", b"a line\nxyz" + VALUES),
            ],
        ),
        ("MetaImage", [("flair.mha", mha_bytes(VOLUME))]),
        ("MetaImage", [("flair.mha", mha_bytes(VOLUME, compressed=False))]),
        ("MetaImage", [("flair.mhd", mha_bytes(VOLUME, "A.raw", compressed=False)), ("a.raw", VALUES)]),
        (
            "MetaImage",
            [
                ("flair.mhd", mha_bytes(VOLUME, "LIST", compressed=False) + b"b.raw\na.raw\n"),
                *zip(("b.raw", "a.raw"), HALVES, strict=True),
            ],
        ),
        ("AFNI", afni_pair(VOLUME)),
        ("AFNI", [afni_pair(VOLUME)[0], ("flair+orig.BRIK.gz", gzip.compress(VALUES))]),
        ("MINC", [("flair.mnc", minc_bytes(VOLUME))]),
    ],
)
def test_a_volume_is_read_with_its_values_and_its_place(file_format, upload):
    for files in (upload, upload[::-1], [("study.zip", zip_bytes([(f"x/{name}", data) for name, data in upload]))]):
        scan = read_one(*files)
        np.testing.assert_array_equal(scan.voxels[..., 0], VOLUME)
        assert (scan.file_format, scan.guesses, scan.plane) == (file_format, ("FLAIR",), "axial")
        assert scan.spacing == (6, 1, 1)
        assert scan.affine is not None
        np.testing.assert_allclose(scan.affine @ [5, 2, 3, 1], [125, 126, -30, 1])


def test_a_philips_pair_is_scaled_and_centred():
    scan = read_one(*par_pair(VOLUME))
    np.testing.assert_array_equal(scan.voxels[..., 0], 2 * VOLUME)
    assert (scan.file_format, scan.guesses, scan.spacing, scan.bit_depth) == ("PAR/REC", ("FLAIR",), (6, 1, 1), 16)
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine @ [2.5, 31.5, 31.5, 1], [0, 0, 0, 1], atol=1e-9)


def test_an_afni_factor_is_applied():
    np.testing.assert_allclose(read_one(*afni_pair(VOLUME, factor=0.5)).voxels[..., 0], VOLUME / 2)


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("example4d+orig.HEAD", "example4d+orig.BRIK.gz"), (25, 41, 33, 3)),
        (("scaled+tlrc.HEAD", "scaled+tlrc.BRIK"), (43, 54, 47, 1)),
        (("phantom_EPI_asc_CLEAR_2_1.PAR", "phantom_EPI_asc_CLEAR_2_1.REC"), (9, 64, 64, 3)),
        (("phantom_varscale.PAR", "phantom_varscale.REC"), (9, 64, 64, 3)),
        (("minc1_1_scale.mnc",), (10, 20, 20, 1)),
    ],
)
def test_files_of_others_are_read_as_nibabel_reads_them(names, sizes):
    folder = Path(nibabel.__file__).parent / "tests" / "data"
    if not (folder / names[0]).exists():
        pytest.skip("nibabel was installed without its tests")
    scan = read_one(*[(name, (folder / name).read_bytes()) for name in names])
    theirs = nibabel.as_closest_canonical(nibabel.load(folder / names[0])).get_fdata(dtype=np.float32)
    theirs = theirs.reshape(*theirs.shape[:3], -1)[::-1, ::-1].transpose(2, 1, 0, 3)
    assert scan.voxels.shape == sizes
    np.testing.assert_allclose(scan.voxels, theirs, rtol=1e-6, atol=1e-6 * theirs.max())


@pytest.mark.parametrize(
    ("space", "shown"),
    [("right-anterior-superior", VOLUME[:, ::-1, ::-1]), ("LAS", VOLUME[:, ::-1]), ("lps", VOLUME)],
)
def test_the_space_of_an_nrrd_says_where_its_axes_point(space, shown):
    scan = read_one("a.nrrd", nrrd_bytes(VOLUME, space=space))
    assert (scan.plane, scan.spacing, scan.edges) == ("axial", (6, 1, 1), ("R", "L", "A", "P"))
    np.testing.assert_array_equal(scan.voxels[..., 0], shown)


def test_an_nrrd_in_the_space_of_a_scanner_has_sizes_and_no_orientation():
    scan = read_one("a.nrrd", nrrd_bytes(VOLUME, space="scanner-xyz"))
    assert (scan.plane, scan.spacing, scan.affine) == (None, (6, 1, 1), None)
    np.testing.assert_array_equal(scan.voxels[..., 0], VOLUME)
    assert any("gives no orientation" in note for note in scan.notes)


def test_units_of_an_nrrd():
    centimetres = read_one("a.nrrd", nrrd_bytes(VOLUME, space_units='"cm" "cm" "cm"'))
    assert centimetres.spacing == (60, 10, 10)
    silent = read_one("a.nrrd", nrrd_bytes(VOLUME, space_units=None))
    assert silent.spacing == (6, 1, 1)
    assert any("names no unit of length" in note for note in silent.notes)
    unknown = read_one("a.nrrd", nrrd_bytes(VOLUME, space_units='"ell" "ell" "ell"'))
    assert unknown.spacing is None
    assert any("unit of length is ell" in note for note in unknown.notes)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_segmentation_of_3d_slicer_is_an_expected_mask(layers):
    core, edema = VOLUME > 130, VOLUME > 110
    drawn = [core, edema][-layers:]
    scan = read_one("drawing.nrrd", seg_nrrd_bytes(drawn, ["core", "edema"][-layers:]))
    assert scan.guesses == (EXPECTED_MASK,)
    np.testing.assert_array_equal(scan.voxels[..., 0] > 0, np.any(drawn, axis=0))
    assert set(np.unique(scan.voxels)) == {0, layers}  # edema covers core
    assert any(note.startswith("A segmentation: ") and "edema" in note for note in scan.notes)
    flair = read_one("flair.nii", nifti_bytes(np.ascontiguousarray(VOLUME.transpose(2, 1, 0))))
    assert same_grid(flair, scan)


def test_a_mask_on_an_nrrd_is_written_on_its_grid():
    scan = read_one("flair.nrrd", nrrd_bytes(VOLUME))
    volume, _ = build_volume([scan], (None, Channel(0, 0), None))
    mask = (VOLUME > 120).astype(np.uint8)
    again = read_one("mask.nii.gz", to_nifti(Result(scan, volume, mask, 0.5, find_weights(), "")))
    assert same_grid(scan, again)
    np.testing.assert_array_equal(again.voxels[..., 0], mask)


@pytest.mark.parametrize(
    ("upload", "said"),
    [
        (
            [("a.nhdr", nrrd_header(VOLUME.shape, data_file="b/c.raw"))],
            "a.nhdr: an NRRD with an external data file, c.raw, which is not in this upload. Upload both together.",
        ),
        (
            [("a.mhd", mha_bytes(VOLUME, "../../etc/passwd"))],
            "a.mhd: a MetaImage with an external data file, passwd, which is not in this upload. Upload both together.",
        ),
        ([("a.zraw", VALUES)], "a.zraw: values without their header, an .mhd or .nhdr file. Upload both files."),
        (afni_pair(VOLUME)[1:], "flair+orig.BRIK: the .HEAD file of the same name is missing. Upload both files."),
        (
            par_pair(VOLUME)[:1],
            "flair.PAR: a PAR header with an external data file, flair.REC, which is not in this upload. Upload both "
            "together.",
        ),
        (
            par_pair(VOLUME, missing=1)[:1],
            "flair.PAR: a PAR header with an external data file, flair.REC, which is not",
        ),
        (
            [("a.nrrd", nrrd_header(VOLUME.shape, "hex") + b"\n00")],
            "a.nrrd: an NRRD with the encoding hex; expected raw",
        ),
        ([("a.dat", b"\x89HDF" + bytes(400))], "a.dat: HDF5, or MINC-2 inside it, which this app does not read."),
        ([("a.mov", b"\0\0\0\x14ftypqt  " + bytes(400))], "a.mov: A video, which this app does not read."),
        ([("a.pdf", b"%PDF-1.7" + bytes(400))], "a.pdf: A PDF, which this app does not read."),
        ([("a.heic", HEIC[:60])], "a.heic: looks like a HEIF but is cut off or damaged."),
    ],
)
def test_what_cannot_be_read_is_named(upload, said):
    scans, [problem] = read_files(upload)
    assert scans == []
    assert problem.startswith(said)


def test_a_part_of_a_philips_volume_is_refused():
    scans, problems = read_files(par_pair(VOLUME, missing=1))
    assert scans == []
    assert problems == [
        "flair.PAR: the header describes 5 of 6 slices. Export the scan again.",
        "flair.REC: left out together with its .PAR file.",
    ]


# --- pictures and masks


@pytest.mark.parametrize(
    ("content", "size", "bar"),
    [(HEIC, (48, 64), np.s_[5:11, 5:19]), (HEIC_TURNED, (64, 48), np.s_[5:19, -11:-5])],
)
def test_a_photo_of_a_phone_is_read_upright(content, size, bar):
    scan = read_one("IMG_0001.HEIC", content)
    assert (scan.voxels.shape, scan.file_format, scan.bit_depth) == ((1, *size, 1), "HEIF", 8)
    picture = scan.voxels[0, ..., 0]
    assert picture[bar].mean() > 240
    assert abs(picture[size[0] // 2, size[1] // 2] - 160) < 10
    assert ("Turned upright by the camera's orientation tag." in scan.notes) == (content is HEIC_TURNED)


def test_a_server_whose_reader_gets_no_thread_says_so(monkeypatch):
    def refused(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refused)
    scans, problems = read_files([("a.heic", HEIC)])
    assert scans == []
    assert problems == ["a.heic: this server cannot read HEIC, as its reader may start no thread. Save it as JPEG."]


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
