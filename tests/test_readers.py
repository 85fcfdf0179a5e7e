"""Files of every kind into scans, with literal values; and the files that pydicom and nibabel ship for testing."""

import gzip
import importlib.util
import io
import json
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from tests.hostile import slice_image, stack
from tests.upload_files import (
    AXIAL,
    dicom_bytes,
    dicom_series,
    dicom_slice,
    dicom_study,
    nifti_bytes,
    nifti_of,
    png_bytes,
    tiff_bytes,
    zip_bytes,
)
from unet.data.sequences import guess_from_name
from unet.scans.reader import read_files
from unet.scans.scan import Scan

RAMP = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)


def read_one(*files: tuple[str, bytes]) -> Scan:
    scans, problems = read_files(list(files))
    assert problems == []
    [scan] = scans
    assert scan.voxels.dtype == np.float32 and scan.voxels.ndim == 4 and np.isfinite(scan.voxels).all()
    assert len(scan.channel_names) == len(scan.guesses) == scan.voxels.shape[3]
    return scan


# --- pictures


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}, {"bigtiff": True}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_tiff_keeps_its_values(dtype, options):
    image = (RAMP % 200).astype(dtype)
    scan = read_one(("a.tif", tiff_bytes(image, **options)))
    np.testing.assert_array_equal(scan.voxels[0, ..., 0], image.astype(np.float32))
    assert scan.bit_depth == 8 * np.dtype(dtype).itemsize
    assert scan.spacing is None and scan.edges is None


def test_tiff_pages_are_slices_and_planes_are_channels():
    images = stack(5).astype(np.uint16) * 100
    together = read_one(("a.tif", tiff_bytes(images, photometric="rgb")))
    np.testing.assert_array_equal(together.voxels, images)
    planes = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    apart = read_one(("a.tif", tiff_bytes(planes, photometric="rgb", planarconfig="separate")))
    np.testing.assert_array_equal(apart.voxels, images)
    hyperstack = read_one(("a.tif", tiff_bytes(planes, imagej=True, metadata={"axes": "ZCYX"})))
    np.testing.assert_array_equal(hyperstack.voxels, images)
    assert together.guesses == apart.guesses == ("pre-contrast", "FLAIR", "post-contrast")


def test_lzw_tiff_is_read_in_colour_order():
    written = io.BytesIO()
    Image.fromarray(stack(1)[0]).save(written, "TIFF", compression="tiff_lzw")
    np.testing.assert_array_equal(read_one(("a.tif", written.getvalue())).voxels, stack(1))


def lzw_tiff(*images: np.ndarray, orientation: int = 1) -> bytes:
    """Pages that tifffile leaves to OpenCV or Pillow."""
    written, (first, *others) = io.BytesIO(), map(Image.fromarray, images)
    options = {"save_all": True, "append_images": others, "tiffinfo": {274: orientation}}
    first.save(written, "TIFF", compression="tiff_lzw", **options)
    return written.getvalue()


def white_is_zero(tiff: bytes) -> bytes:
    written = io.BytesIO(tiff)
    with tifffile.TiffFile(written) as file:
        file.pages.first.tags["PhotometricInterpretation"].overwrite(0)
    return written.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("white", ["white is zero", "white is bright"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("decoder", ["tifffile", "OpenCV", "Pillow"])
def test_tiff_is_turned_and_inverted_once_whoever_decodes_it(monkeypatch, decoder, dtype, white, orientation):
    if decoder == "Pillow":
        monkeypatch.setattr("cv2.imdecodemulti", lambda *_, **__: (False, ()))  # as of Zstandard
    image = (RAMP % 200 + 20).astype(dtype) * (1 if dtype == np.uint8 else 100)
    if decoder == "tifffile":
        content = tiff_bytes(image, photometric="minisblack", extratags=[(274, "H", 1, orientation)])
    else:
        content = lzw_tiff(image, orientation=orientation)
    scan = read_one(("a.tif", white_is_zero(content) if white == "white is zero" else content))
    shown = image.max() - image if white == "white is zero" else image
    upright = {1: shown, 3: shown[::-1, ::-1], 6: np.rot90(shown, -1)}[orientation]
    np.testing.assert_array_equal(scan.voxels[0, ..., 0], upright)
    assert scan.bit_depth == image.itemsize * 8
    assert ("Turned upright by the orientation tag." in scan.notes) == (orientation != 1)


@pytest.mark.parametrize("decoder", ["tifffile", "OpenCV", "Pillow"])
def test_of_pages_of_different_sizes_the_largest_stack_is_read(monkeypatch, decoder):
    if decoder == "Pillow":
        monkeypatch.setattr("cv2.imdecodemulti", lambda *_, **__: (False, ()))
    pages = [np.full((side, side), value, np.uint16) for side, value in ((40, 1000), (16, 2), (40, 3000))]
    pages.insert(0, stack(1, side=16)[0])  # a thumbnail in colour
    written = io.BytesIO()
    if decoder == "tifffile":
        with tifffile.TiffWriter(written) as file:
            for page in pages:
                file.write(page, metadata=None)
    scan = read_one(("a.tif", written.getvalue() or lzw_tiff(*pages)))
    assert (scan.voxels.shape, scan.voxels[:, 0, 0, 0].tolist()) == ((2, 40, 40, 1), [1000, 3000])
    assert "The pages have different sizes. Only the largest picture or stack is used." in scan.notes


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1))])
@pytest.mark.parametrize(("mode", "compression"), [("P", "tiff_lzw"), ("YCbCr", "jpeg")])
def test_palettes_and_jpegs_inside_a_tiff_are_turned_once(mode, compression, orientation, corner):
    image = np.zeros((32, 48, 3), np.uint8)
    image[:8, :8] = 204, 102, 51  # in Pillow's palette
    written = io.BytesIO()
    Image.fromarray(image).convert(mode).save(written, "TIFF", compression=compression, tiffinfo={274: orientation})
    scan = read_one(("a.tif", written.getvalue()))
    assert scan.voxels.shape == ((1, 48, 32, 3) if orientation == 6 else (1, 32, 48, 3))
    np.testing.assert_allclose(scan.voxels[0][corner], [204, 102, 51], atol=5)


def test_sixteen_bit_png_keeps_its_depth_and_colours():
    colour = stack(1)[0].astype(np.uint16) * 201
    scan = read_one(("a.png", png_bytes(colour)))
    np.testing.assert_array_equal(scan.voxels[0], colour)
    assert scan.bit_depth == 16


def test_equal_colours_are_one_grey_channel():
    image = slice_image()
    scan = read_one(("a.png", png_bytes(np.dstack([image] * 3))))
    np.testing.assert_array_equal(scan.voxels[0, ..., 0], image)
    assert scan.voxels.shape[3] == 1


def test_transparency_is_dropped_and_said():
    scan = read_one(("a.png", png_bytes(np.dstack([stack(1)[0], slice_image()]))))
    assert scan.voxels.shape[3] == 3
    assert "The transparency channel was dropped." in scan.notes


def test_a_phone_held_sideways_is_turned_upright():
    exif = Image.Exif()
    exif[274] = 6  # the camera lay on its side: the row at the top is the picture's right column
    picture = np.zeros((40, 64, 3), np.uint8)
    picture[:8] = 255
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "JPEG", exif=exif, quality=100)
    scan = read_one(("a.jpg", written.getvalue()))
    assert scan.voxels.shape == (1, 64, 40, 1)
    assert scan.voxels[0, :, -6:].min() > 200 and scan.voxels[0, :, :30].max() < 50
    assert "Turned upright by the camera's orientation tag." in scan.notes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_phones_photo_is_scaled_down_and_that_is_said(dtype):
    photo = np.zeros((3000, 4000, 3), dtype)
    photo[:1500, :2000] = 200, 100, 50
    scan = read_one(("a.png", png_bytes(photo)))
    assert scan.voxels.shape == (1, 1536, 2048, 3)
    assert scan.voxels[0, 10, 10].tolist() == [200, 100, 50] and scan.voxels[0, 1000:].max() == 0
    assert scan.notes[0].startswith("Scaled down from 4000 × 3000 to 2048 × 1536 pixels")
    mask = read_one(("a_mask.png", png_bytes(photo[..., 0])))
    assert np.unique(mask.voxels).tolist() == [0, 200]  # no greys between


def test_a_tiff_of_one_bit_is_read():
    scan = read_one(("a.tif", tiff_bytes(slice_image(256) > 0, photometric="minisblack")))
    np.testing.assert_array_equal(scan.voxels[0, ..., 0], slice_image(256) > 0)


def test_white_is_zero_is_inverted():
    scan = read_one(("a.tif", tiff_bytes((RAMP % 200).astype(np.uint8), photometric="miniswhite")))
    assert scan.voxels[0, 0, :3, 0].tolist() == [199, 198, 197]


def test_four_grey_pictures_are_slices_in_the_order_of_their_numbers():
    files = [(f"s{number}.png", png_bytes(np.full((20, 20), number, np.uint8))) for number in (10, 9, 2, 1)]
    scan = read_one(*files)
    assert scan.voxels[:, 0, 0, 0].tolist() == [1, 2, 9, 10]
    assert scan.files == ("s1.png", "s2.png", "s9.png", "s10.png")


def test_three_grey_pictures_are_sequences():
    files = [(f"{name}.png", png_bytes(slice_image(seed=seed))) for seed, name in enumerate(("t1", "flair", "t1gd"))]
    scans, _ = read_files(files)
    assert [scan.guesses[0] for scan in scans] == ["pre-contrast", "FLAIR", "post-contrast"]


def test_slices_named_by_sequence_are_a_stack_for_each():
    names = [f"{sequence}_{n}.png" for sequence in ("flair", "t1") for n in range(1, 5)]
    scans, _ = read_files([(name, png_bytes(slice_image(seed=seed))) for seed, name in enumerate(names)])
    assert [(scan.files, scan.guesses) for scan in scans] == [
        (tuple(names[:4]), ("FLAIR",)),
        (tuple(names[4:]), ("pre-contrast",)),
    ]


@pytest.mark.parametrize("name", ["output{}", "patient{}", "cut{}", "subject1_{:02}", "set1_c{}", "alternative_{}"])
def test_numbers_behind_a_word_are_no_sequence(name):
    files = [(f"{name.format(n)}.png", png_bytes(slice_image(seed=n))) for n in range(1, 25)]
    scan = read_one(*files)
    assert (scan.files, scan.guesses) == (tuple(file for file, _ in files), (None,))


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("t1.nii", "pre-contrast"),
        ("case_t1.nii.gz", "pre-contrast"),
        ("brain-T1.nii", "pre-contrast"),
        ("sub-01_T1w.nii.gz", "pre-contrast"),
        ("sT1W_3D_TFE", "pre-contrast"),
        ("AXT1", "pre-contrast"),
        ("3DT1", "pre-contrast"),
        ("7t1", "pre-contrast"),
        ("t1native", "pre-contrast"),
        ("t1ce.nii", "post-contrast"),
        ("t1_gd.png", "post-contrast"),
        ("T1+C", "post-contrast"),
        ("brain_T1w_post", "post-contrast"),
        ("AXT1POST", "post-contrast"),
        ("t10.png", None),
        ("post1.png", None),
        ("output1_c.png", None),
    ],
)
def test_sequences_in_names(name, sequence):
    assert guess_from_name(name) == sequence


def test_very_many_pictures_are_kept_in_part(monkeypatch):
    monkeypatch.setattr("unet.scans.reader.MAX_SCANS", 2)
    scans, problems = read_files([(f"{side}.png", png_bytes(slice_image(side))) for side in (20, 22, 24)])
    assert [scan.name for scan in scans] == ["20.png", "22.png"]
    assert problems == ["3 pictures or series; the first 2 are used. Upload fewer at once."]


def test_slices_of_the_data_set_and_their_masks_are_two_stacks():
    files = [(f"TCGA_1_{n}.tif", tiff_bytes(image, photometric="rgb")) for n, image in enumerate(stack(3), 1)]
    files += [(f"TCGA_1_{n}_mask.tif", tiff_bytes(slice_image())) for n in (1, 2, 3)]
    (scan, masks), problems = read_files(files)
    assert problems == []
    np.testing.assert_array_equal(scan.voxels, stack(3))
    assert (masks.voxels.shape, masks.guesses) == ((3, 64, 64, 1), ("expected mask",))
    assert len(read_files(files, stacked=False)[0]) == 6


# --- DICOM


def test_words_where_a_code_or_a_uid_belongs_are_left_out():
    words = {"Modality": "![x](http://a.b)", "StudyInstanceUID": "Doe^Jane"}
    scan = read_one(*((f"{n}", dicom_bytes(dicom_slice(slice_image(), (0, 0, 5 * n), **words))) for n in (1, 2)))
    assert scan.modality is None
    assert scan.source is not None
    assert (scan.source["study"], scan.source["series"]) == ("", "1.2.3.4")


def test_slices_are_sorted_by_position_and_not_by_name():
    planes = np.stack([np.full((20, 24), 100 + number, np.uint16) for number in range(6)])
    scan = read_one(*dicom_series(planes, spacing=(5.0, 0.8, 0.9)))
    assert scan.voxels[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104, 105]
    assert scan.spacing == pytest.approx((5.0, 0.8, 0.9))
    assert (scan.plane, scan.edges, scan.modality) == ("axial", ("R", "L", "A", "P"), "MR")
    assert scan.guesses == ("FLAIR",)
    # the first pixel of the lowest slice lies at (-128, -128, -60) in DICOM's system, left and back positive
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine @ [0, 0, 0, 1], [128, 128, -60, 1])


def test_series_are_told_apart():
    scans, problems = read_files(dicom_study(stack()))
    assert problems == []
    assert [(scan.name, scan.guesses) for scan in scans] == [
        ("ax T1 pre", ("pre-contrast",)),
        ("ax FLAIR", ("FLAIR",)),
        ("ax T1 post gd", ("post-contrast",)),
    ]


def test_localisers_of_three_planes_are_three_scans():
    directions = {"axial": [1, 0, 0, 0, 1, 0], "coronal": [1, 0, 0, 0, 0, -1], "sagittal": [0, 1, 0, 0, 0, -1]}
    files = [
        (name, dicom_bytes(dicom_slice(RAMP, ImageOrientationPatient=cosines, SliceThickness=8)))
        for name, cosines in directions.items()
    ]
    scans, _ = read_files(files)
    assert {scan.plane: scan.edges for scan in scans} == {
        "axial": ("R", "L", "A", "P"),
        "coronal": ("R", "L", "S", "I"),
        "sagittal": ("A", "P", "S", "I"),
    }


def test_a_head_taken_upside_down_is_turned():
    upside_down = dicom_slice(RAMP, ImageOrientationPatient=[1, 0, 0, 0, -1, 0])
    scan = read_one(("a", dicom_bytes(upside_down)))
    np.testing.assert_array_equal(scan.voxels[0, ..., 0], RAMP[::-1])
    assert scan.edges == ("R", "L", "A", "P")


def test_a_slice_given_twice_counts_once_and_a_second_pass_is_its_own_scan():
    series = dicom_series(stack()[..., 1])
    assert len(read_one(*series, *((f"again/{name}", content) for name, content in series)).voxels) == 6
    second = [
        (f"b{number}", dicom_bytes(dicom_slice(image, (-128, -128, -60 + 6 * number), InstanceNumber=50 + number)))
        for number, image in enumerate(stack()[..., 0])
    ]
    scans, _ = read_files(series + second)
    assert [scan.name for scan in scans] == ["ax FLAIR (1 of 2)", "ax FLAIR (2 of 2)"]
    np.testing.assert_array_equal(scans[0].voxels[..., 0], stack()[..., 1])
    np.testing.assert_array_equal(scans[1].voxels[..., 0], stack()[..., 0])


def test_a_missing_slice_is_said():
    series = dicom_series(stack()[..., 1], shuffle=False)
    scan = read_one(*series[:2], *series[3:])
    assert len(scan.voxels) == 5
    assert any("unevenly spaced, 6.00 to 12.00 mm" in note for note in scan.notes)


def test_a_damaged_slice_does_not_take_its_series_along():
    series = dicom_series(stack()[..., 1], shuffle=False)
    series[2] = series[2][0], series[2][1][:-800]
    [scan], [problem] = read_files(series)
    np.testing.assert_array_equal(scan.voxels[..., 0], np.delete(stack()[..., 1], 2, axis=0))
    assert scan.source is not None
    assert len(scan.source["references"]) == len(scan.files) == 5
    assert problem.startswith("IM0002: the pixels cannot be decoded")


def test_slices_of_one_uid_are_told_apart_by_their_places():
    same = {"SOPInstanceUID": "1.2.3.9"}
    files = [
        (f"{n}", dicom_bytes(dicom_slice(image, (0, 0, 6 * n), **same))) for n, image in enumerate(stack()[..., 1])
    ]
    np.testing.assert_array_equal(read_one(*files).voxels[..., 0], stack()[..., 1])


def test_a_second_pass_that_is_incomplete_is_offered_too_and_said():
    series = dicom_series(stack()[..., 1])
    second = [
        (f"b{number}", dicom_bytes(dicom_slice(image, (-128, -128, -60 + 6 * number), InstanceNumber=50 + number)))
        for number, image in enumerate(stack()[:3, ..., 0])
    ]
    scans, _ = read_files(series + second)
    np.testing.assert_array_equal(scans[0].voxels[..., 0], stack()[..., 1])
    np.testing.assert_array_equal(scans[1].voxels[..., 0], stack()[:3, ..., 0])
    assert all(any("several acquisitions may be mixed" in note for note in scan.notes) for scan in scans)


def test_padding_is_dark_whichever_way_grey_runs():
    image = RAMP + 100
    image[:4] = 0
    values = {"PixelPaddingValue": 0, "WindowCenter": 700, "WindowWidth": 200}
    plain = read_one(("a", dicom_bytes(dicom_slice(image, **values))))
    assert plain.voxels[0, :4].max() == plain.voxels.min() == 260
    inverted = read_one(("a", dicom_bytes(dicom_slice(image, PhotometricInterpretation="MONOCHROME1", **values))))
    assert inverted.voxels[0, :4].max() == inverted.voxels.min() == 260
    # 260 to 1379 in the file; the window's 600 and 800 become 1039 and 839
    assert inverted.voxels[0, 4, 0, 0] == 1379 and inverted.window == (839, 1039)


def test_padding_is_found_whatever_the_slope_of_its_slice():
    image = RAMP + 100
    image[:4] = 0  # 260 is the darkest inside
    scales = [{}, {"RescaleSlope": 2, "RescaleIntercept": 50}, {"RescaleSlope": 1, "RescaleIntercept": 240}]
    files = [
        (f"{n}", dicom_bytes(dicom_slice(image, (0, 0, 6 * n), PixelPaddingValue=0, **scale)))
        for n, scale in enumerate(scales)
    ]
    voxels = read_one(*files).voxels
    assert np.unique(voxels[:, :4]).tolist() == [260]
    assert voxels[:, 4, 0, 0].tolist() == [260, 570, 500]
    blank = read_one(("a", dicom_bytes(dicom_slice(RAMP * 0, PixelPaddingValue=0))))
    assert np.unique(blank.voxels).tolist() == [0]


def test_grey_values_follow_the_header():
    scaled = read_one(("a", dicom_bytes(dicom_slice(RAMP, RescaleSlope=2, RescaleIntercept=-1000))))
    np.testing.assert_array_equal(scaled.voxels[0, ..., 0], RAMP * 2.0 - 1000)
    zero = read_one(("a", dicom_bytes(dicom_slice(RAMP, RescaleSlope=0, RescaleIntercept=5))))
    np.testing.assert_array_equal(zero.voxels[0, ..., 0], RAMP)
    assert any("slope in the header is 0" in note for note in zero.notes)
    inverted = read_one(("a", dicom_bytes(dicom_slice(RAMP, PhotometricInterpretation="MONOCHROME1"))))
    np.testing.assert_array_equal(inverted.voxels[0, ..., 0], RAMP.max() - RAMP)
    windowed = read_one(("a", dicom_bytes(dicom_slice(RAMP, WindowCenter=100, WindowWidth=50))))
    np.testing.assert_array_equal(windowed.voxels[0, ..., 0], RAMP)  # for the eye only
    assert windowed.window == (75, 125)


def test_burned_in_text_is_warned_about():
    scan = read_one(("a", dicom_bytes(dicom_slice(RAMP, BurnedInAnnotation="YES"))))
    assert any("text is burned into the picture" in note for note in scan.notes)


def test_millimetres_only_from_a_header():
    silent = {"PixelSpacing": None, "SliceThickness": None}
    assert read_one(("a", dicom_bytes(dicom_slice(RAMP, **silent)))).spacing is None
    lost = {"ImageOrientationPatient": None, "ImagePositionPatient": None}
    scan = read_one(("a", dicom_bytes(dicom_slice(RAMP, **lost))))
    assert scan.edges is None and scan.spacing == (6, 1, 1)


def test_an_enhanced_multiframe_file_is_sorted_by_its_frames_positions():
    from pydicom.dataset import Dataset

    planes = np.stack([np.full((20, 24), 100 + number, np.uint16) for number in range(4)])
    order = [2, 0, 3, 1]
    file = dicom_slice(planes[0], NumberOfFrames=4, PixelData=planes[order].tobytes(), ImagePositionPatient=None)
    file.PerFrameFunctionalGroupsSequence = []
    for number in order:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 5.0 * number]
        group.PlanePositionSequence = [place]
        file.PerFrameFunctionalGroupsSequence.append(group)
    scan = read_one(("a", dicom_bytes(file)))
    assert scan.voxels[:, 0, 0, 0].tolist() == [100, 101, 102, 103]
    assert scan.source is not None
    assert [one["frame"] for one in scan.source["references"]] == [2, 4, 1, 3]


def test_nothing_about_the_patient_leaves_the_reader_but_in_one_field(tmp_path):
    broken = dicom_slice(RAMP, PixelData=bytes(10))
    scans, problems = read_files([("a", dicom_bytes(dicom_slice(RAMP))), ("b", dicom_bytes(broken))])
    scans[0].save(tmp_path, 0)
    facts = json.loads((tmp_path / "scan_0.json").read_text())
    assert facts.pop("patient")["PatientName"] == "Doe^Jane"  # for a DICOM-SEG that is to be filed under the patient
    said = json.dumps(facts) + " ".join(problems)
    assert len(problems) == 1
    for secret in ("Doe", "SECRET", "1950"):
        assert secret not in said


def _pixel_bearing(folder: Path) -> list[Path]:
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            dataset = pydicom.dcmread(path, force=True, stop_before_pixels=False)
            if any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                found.append(path)
        except Exception:  # pydicom's own tests hold files that it refuses
            continue
    return found


@pytest.mark.filterwarnings("ignore")
def test_the_files_that_pydicom_ships_are_read_or_refused_in_words():
    data = importlib.util.find_spec("data_store")
    if data is None or data.origin is None:
        pytest.skip("pydicom-data is not installed: pip install -e .[dev]")
    folders = Path(pydicom.__file__).parent / "data" / "test_files", Path(data.origin).parent / "data"
    paths = [path for folder in folders for path in _pixel_bearing(folder)]
    read = 0
    for path in paths:
        if path.name == "color3d_jpeg_baseline.dcm":  # 120 colour frames, read in 4 s: not counted
            continue
        scans, problems = read_files([(path.name, path.read_bytes())])
        assert scans or (problems and path.name in problems[0])
        read += bool(scans)
    assert len(paths) >= 161
    assert read >= 150  # four more are masks without their series


# --- NIfTI


def test_nifti_is_turned_upright_with_its_sequences():
    scan = read_one(("a.nii", nifti_of(stack())))
    np.testing.assert_array_equal(scan.voxels, stack())
    assert (scan.spacing, scan.edges) == ((6, 1, 1), ("R", "L", "A", "P"))


def test_nifti_of_the_other_hand_is_mirrored():
    array = np.arange(4 * 5 * 3, dtype=np.int16).reshape(4, 5, 3)
    scan = read_one(("a.nii", nifti_bytes(array, np.diag([2.0, 3, 6, 1]))))  # columns to the right, rows to the front
    np.testing.assert_array_equal(scan.voxels[..., 0], array[::-1, ::-1].transpose(2, 1, 0))
    assert scan.spacing == (6, 3, 2)


@pytest.mark.parametrize(("unit", "spacing"), [("mm", (6, 1, 1)), ("meter", (6000, 1000, 1000)), (None, (6, 1, 1))])
def test_nifti_units(unit, spacing):
    scan = read_one(("a.nii", nifti_bytes(np.ones((9, 8, 7), np.int16), AXIAL, unit)))
    assert scan.spacing == pytest.approx(spacing)
    assert any("names no unit" in note for note in scan.notes) == (unit is None)


def test_units_hold_without_an_orientation_too():
    image = nibabel.Nifti1Image(np.ones((9, 8, 7), np.int16), None)
    image.header.set_zooms((500, 500, 3000))
    image.header.set_xyzt_units("micron")
    assert read_one(("a.nii", image.to_bytes())).spacing == pytest.approx((3, 0.5, 0.5))


def test_an_impossible_quaternion_is_no_orientation():
    image = nibabel.Nifti1Image(np.ones((9, 8, 7), np.int16), None)
    image.header.set_qform(AXIAL, 1)
    content = bytearray(image.to_bytes())
    content[256:260] = np.float32(5).tobytes()
    scan = read_one(("a.nii", bytes(content)))
    assert scan.edges is None and scan.spacing is None
    assert "The orientation in the header is impossible. It was ignored." in scan.notes


def test_nifti_without_orientation_claims_none():
    image = nibabel.Nifti1Image(np.ones((9, 8, 7), np.int16), None)
    scan = read_one(("a.nii", image.to_bytes()))
    assert scan.spacing is None and scan.edges is None and scan.affine is None
    assert scan.voxels.shape == (7, 8, 9, 1)


def test_nifti_scaling_and_gzip():
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(4, 5, 3), AXIAL)
    image.header.set_slope_inter(2, 10)
    content = bytearray(image.to_bytes())
    content[112:120] = np.array([2, 10], np.float32).tobytes()
    scan = read_one(("a.nii.gz", gzip.compress(bytes(content))))
    assert sorted(scan.voxels.ravel())[:2] == [10, 12]


def nifti_pair(array: np.ndarray) -> tuple[bytes, bytes]:
    """A header and its voxels."""
    pair = nibabel.Nifti1Pair(array, AXIAL)
    header, image = io.BytesIO(), io.BytesIO()
    pair.to_file_map({"header": nibabel.FileHolder(fileobj=header), "image": nibabel.FileHolder(fileobj=image)})
    return header.getvalue(), image.getvalue()


@pytest.mark.parametrize("first_voxels", [[1, 2, 3, 4], [8, 3, 5, 0]])  # the second as DICOM has them
@pytest.mark.parametrize("suffixes", [(".hdr", ".img"), (".hdr", ".img.gz"), (".hdr.gz", ".img.gz"), (".HDR", ".IMG")])
def test_a_header_and_its_picture_find_each_other_by_name(suffixes, first_voxels):
    array = np.arange(60, dtype=np.int16).reshape(4, 5, 3)
    array[:, 0, 0] = first_voxels
    files = [
        (f"a{suffix}", gzip.compress(content) if suffix.endswith(".gz") else content)
        for suffix, content in zip(suffixes, nifti_pair(array), strict=True)
    ]
    for order in (files, files[::-1]):
        scan = read_one(*order)
        np.testing.assert_array_equal(scan.voxels[..., 0], array.transpose(2, 1, 0))
    assert read_one(("a.zip", zip_bytes(files))).voxels.shape == (3, 5, 4, 1)


def test_half_a_pair_says_what_is_wrong():
    header, image = nifti_pair(np.ones((4, 5, 3), np.int16))
    damaged = b"\0" * 348
    assert read_files([("a.img.gz", gzip.compress(image))])[1] == [
        "a.img.gz: the .hdr file of the same name is missing. Upload both files."
    ]
    assert read_files([("a.hdr", damaged), ("a.img", image)])[1] == [
        "a.hdr: unknown file type; supported: DICOM, NIfTI, Analyze, MGZ, NRRD, MHA, AFNI, PAR/REC, MINC-1, TIFF, "
        "PNG, JPEG, HEIC, WebP, BMP, GIF, or a zip or tar of these. "
        "Export it as one of these.",
        "a.img: left out together with its .hdr file.",
    ]
    assert read_files([("a.hdr", header), ("a.img", image[:100])])[1] == [
        "a.hdr: 4 × 5 × 3 values need 120 bytes, but the file has 100. It is cut off, or its header is wrong. "
        "Copy it again.",
        "a.img: left out together with its .hdr file.",
    ]


def test_what_is_called_img_and_stands_alone_is_what_its_bytes_say():
    assert read_one(("a.img", dicom_bytes(dicom_slice(RAMP)))).file_format == "DICOM"
    assert read_one(("a.img.gz", gzip.compress(nifti_of(stack())))).file_format == "NIfTI"
    assert read_one(("b.img.gz", gzip.compress(png_bytes(slice_image())))).file_format == "PNG"


def test_the_files_that_nibabel_ships_are_read_or_refused_in_words():
    tests = Path(nibabel.__file__).parent
    names = ["anatomical.nii", "example4d.nii.gz", "example_nifti2.nii.gz", "functional.nii", "standard.nii.gz"]
    names += ["reoriented_anat_moved.nii", "resampled_anat_moved.nii", "row_major.dconn.nii", "0.dcm", "1.dcm"]
    paths = [tests / "tests" / "data" / name for name in names]
    paths += [*(tests / "nicom" / "tests" / "data").glob("*.dcm*")]
    if not paths[0].exists():
        pytest.skip("nibabel was installed without its tests")
    unread = []
    for path in paths:
        scans, problems = read_files([(path.name, path.read_bytes())])
        assert scans or (problems and path.name.removesuffix(".gz") in problems[0])
        unread += [] if scans else [path.name]
    without_pixels = {"csa_slice_norm.dcm", "slicethickness_empty_string.dcm"}
    assert set(unread) <= without_pixels | {"0.dcm", "1.dcm"}  # headers of mosaics over a picture of another size
    for name in names[:7]:
        path = tests / "tests" / "data" / name
        canonical = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata(dtype=np.float32)
        scan = read_one((path.name, path.read_bytes()))
        if scan.plane == "axial":
            theirs = canonical.reshape(*canonical.shape[:3], -1)[::-1, ::-1, :, : scan.voxels.shape[3]]
            theirs = theirs.transpose(2, 1, 0, 3)
            known = np.isfinite(theirs)
            np.testing.assert_allclose(scan.voxels[known], theirs[known], rtol=1e-5)


# --- together


def test_one_good_file_beside_a_bad_one():
    scans, problems = read_files([("bad.dcm", b"no"), ("good.png", png_bytes(slice_image()))])
    assert len(scans) == 1
    assert problems == [
        "bad.dcm: unknown file type; supported: DICOM, NIfTI, Analyze, MGZ, NRRD, MHA, AFNI, PAR/REC, MINC-1, TIFF, "
        "PNG, JPEG, HEIC, WebP, BMP, GIF, or a zip or tar of these. "
        "Export it as one of these."
    ]


def test_one_file_that_needs_too_much_memory_does_not_take_the_others_along(monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("unet.scans.formats.tiff.read_tiff", exhausted)
    [scan], [problem] = read_files([("a.tif", tiff_bytes(RAMP)), ("b.png", png_bytes(slice_image()))])
    assert scan.name == "b.png"
    assert problem == "a.tif: reading it needs more memory than one upload may use. Upload fewer or smaller slices."


def test_names_inside_a_zip_are_made_fit_for_a_sentence():
    name = "scan\n" + 500 * "a" + "7.png"
    [scan], _ = read_files([("a.zip", zip_bytes([(name, png_bytes(slice_image()))]))])
    assert scan.name == "…" + 74 * "a" + "7.png"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_entry_of_a_zip_does_not_take_the_others_along(method):
    picture = png_bytes(slice_image())
    archive = bytearray(zip_bytes([("bad.png", picture), ("good.png", picture)], method))
    archive[60:90] = b"\xff" * 30
    [scan], problems = read_files([("a.zip", bytes(archive))])
    assert scan.name == "good.png"
    assert problems == ["bad.png: damaged inside the zip; left out. Pack it again."]


def test_a_time_of_day_is_no_drive():
    picture = png_bytes(slice_image())
    assert read_one(("a.zip", zip_bytes([("scan 10:30/a.png", picture)]))).name == "scan 10:30/a.png"
    for name in ("C:/a.png", "c:a.png", "C:\\a.png"):
        assert read_files([("a.zip", zip_bytes([(name, picture)]))])[1] == [
            f"a.zip: the entry {name!r} is an unsafe path: it points outside the archive."
        ]


def test_junk_of_windows_is_left_out_in_silence():
    junk = [("scan\\Thumbs.db", b"x"), ("__MACOSX\\._a.png", b"x"), ("scan\\desktop.ini", b"x")]
    assert read_files([("a.zip", zip_bytes([*junk, ("a.png", png_bytes(slice_image()))])), *junk])[1] == []


def test_a_zip_is_the_same_as_its_files():
    files = dicom_study(stack())
    packed, _ = read_files([("a.zip", zip_bytes(files))])
    loose, _ = read_files(files)
    for one, other in zip(packed, loose, strict=True):
        np.testing.assert_array_equal(one.voxels, other.voxels)
