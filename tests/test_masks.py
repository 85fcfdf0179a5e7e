"""The way back in: segmentations, contours and label maps become the expected mask, on the very voxels."""

import gzip
import io
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data.data_manager import get_testdata_file
from pydicom.sr.coding import Code

from tests import hostile_masks
from tests.segmentations import (
    DCIODVFY,
    OBLIQUE,
    contours_of,
    files_of,
    in_order,
    place,
    seg_bytes,
    segmentation,
    series,
    structure_set,
    valid,
)
from tests.upload_files import AXIAL, dicom_bytes, enhanced_slices, nifti_bytes
from unet.data.volume import FLAIR
from unet.export.dicom_seg import to_dicom_seg
from unet.export.result import Result, to_nifti
from unet.scans.assemble import build_volume
from unet.scans.expected_mask import MaskError
from unet.scans.mapping import Channel, channels, masks_left_out, suggest, suggest_mask
from unet.scans.reader import read_files
from unet.scans.sandbox import read_upload
from unet.scans.scan import Room
from unet.weights.network import find_weights

pytestmark = pytest.mark.quick
WEIGHTS = find_weights()
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")


def blobs(count=6, rows=24, columns=20) -> np.ndarray:
    """A lesion with a hole, and one of a single voxel on another slice."""
    mask = np.zeros((count, rows, columns), np.uint8)
    mask[1:4, 5:15, 3:12] = 1
    mask[2, 8:11, 6:9] = 0
    mask[-1, 20, 17] = 1
    return mask


def read(*files) -> tuple[list[Any], Any, Any, list[str]]:
    """Return the scans, the channel of FLAIR and that of the mask, and the problems."""
    scans, problems = read_files(list(files))
    flair = suggest(scans)[0][FLAIR]
    return scans, flair, suggest_mask(scans, flair), problems


def in_series(scans, flair, expected, datasets) -> tuple[np.ndarray, list[str]]:
    """Return the expected mask in the order of the data sets of the series, (slices, rows, columns), and the notes."""
    assert expected is not None
    volume, notes = build_volume(scans, (None, flair, None), expected)
    scan = scans[flair.scan]
    planes = scan.placement.inverse(volume.expected_mask)
    order = {reference["instance"]: number for number, reference in enumerate(scan.source["references"])}
    return planes[[order[one.SOPInstanceUID] for one in datasets]], notes


def names_of(scans, number):
    return [label.partition(" · ")[2] for channel, label in channels(scans).items() if channel.scan == number]


def test_dciodvfy_is_there_to_check_what_the_tests_write():
    if DCIODVFY is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools): no DICOM-SEG of the tests was checked by it")
    with pytest.raises(AssertionError):
        broken = segmentation(series(), {"Lesion": blobs()})
        del broken.SegmentSequence[0].SegmentAlgorithmType
        valid(_bytes(broken))


def _bytes(dataset) -> bytes:
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), OBLIQUE])
@pytest.mark.parametrize("form", ["dicom-seg", "nifti", "rtstruct"])
def test_out_and_in_again_gives_the_same_voxels(form, orientation, backwards):
    datasets, mask = series(orientation=orientation, backwards=backwards), blobs()
    scans, flair, none, _ = read(*files_of(datasets))
    assert none is None
    scan, (volume, _) = scans[flair.scan], build_volume(scans, (None, flair, None))
    order = {one.SOPInstanceUID: plane for one, plane in zip(datasets, mask, strict=True)}
    drawn = np.stack([order[reference["instance"]] for reference in scan.source["references"]])
    result = Result(scan, volume, scan.placement.forward(drawn), 0.5, WEIGHTS, "OpenVINO")
    file = {
        "dicom-seg": lambda: ("out_seg.dcm", valid(to_dicom_seg(result))),
        "nifti": lambda: ("out_predicted_mask.nii.gz", to_nifti(result)),
        "rtstruct": lambda: ("rt.dcm", structure_set(datasets, {"GTV": mask})),
    }[form]()
    scans, flair, expected, problems = read(*files_of(datasets), file)
    assert problems == [] and scans[flair.scan].name == "ax FLAIR"
    found, notes = in_series(scans, flair, expected, datasets)
    np.testing.assert_array_equal(found, mask)
    assert not any("resampled" in note for note in notes)


def test_masks_come_back_from_the_process_that_reads_uploads():
    datasets = series()
    seg, rt = seg_bytes(segmentation(datasets, {"Lesion": blobs()})), structure_set(datasets, {"GTV": blobs()})
    scans, problems = read_upload([*files_of(datasets), ("seg.dcm", seg), ("rt.dcm", rt)])
    assert problems == []
    for number in (1, 2):
        found, _ = in_series(scans, Channel(0, 0), Channel(number, 0), datasets)
        np.testing.assert_array_equal(found, blobs())


@pytest.mark.parametrize("omit_empty", [False, True])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_segmentations_of_every_kind_are_read(kind, omit_empty):
    datasets = series(rows=23, columns=21)  # 483 bits a frame: the next one begins within a byte
    mask = blobs(rows=23, columns=21)
    drawn = mask * 0.8 + 0.1 if kind == "FRACTIONAL" else mask
    content = seg_bytes(segmentation(datasets, {"Lesion": drawn}, kind, omit_empty))
    scans, flair, expected, problems = read(*files_of(datasets), ("seg.dcm", content))
    assert problems == []
    seg = scans[expected.scan]
    assert (seg.file_format, seg.name, seg.guesses) == ("DICOM-SEG", "Segmentation", ("expected mask",))
    assert any("at least one half" in note for note in seg.notes) == (kind == "FRACTIONAL")
    np.testing.assert_array_equal(in_series(scans, flair, expected, datasets)[0], mask)


def test_frames_may_come_in_any_order():
    datasets, mask = series(rows=23, columns=21), blobs(rows=23, columns=21)
    core = mask.copy()
    core[:, :9] = 0
    seg = segmentation(datasets, {"Edema": mask, "Enhancing core": core})
    seg = in_order(seg, np.random.default_rng(0).permutation(int(seg.NumberOfFrames)))
    scans, flair, expected, _ = read(*files_of(datasets), ("seg.dcm", seg_bytes(seg)))
    np.testing.assert_array_equal(in_series(scans, flair, expected, datasets)[0], mask)
    assert names_of(scans, 6 if len(scans) > 2 else 1) == ["Edema + Enhancing core", "Edema", "Enhancing core"]
    second = Channel(expected.scan, 2)
    np.testing.assert_array_equal(in_series(scans, flair, second, datasets)[0], core)


def test_what_is_no_lesion_is_left_out_and_said():
    datasets, mask = series(), blobs()
    brain, ventricle = np.ones_like(mask), np.zeros_like(mask)
    ventricle[3, 10:12, 10:12] = 1
    codes = {"Left": (ANATOMY, Code("35764002", "SCT", "Brain ventricle"))}
    seg = segmentation(datasets, {"Whole brain": brain, "Left": ventricle, "Tumor": mask}, codes=codes)
    scans, flair, expected, _ = read(*files_of(datasets), ("seg.dcm", seg_bytes(seg)))
    np.testing.assert_array_equal(in_series(scans, flair, expected, datasets)[0], mask)
    assert scans[1].guesses == ("expected mask", "another picture", "another picture")
    assert "Not counted as lesion: Whole brain, Left." in scans[1].notes


def test_structures_that_do_not_fit_one_by_one_are_still_one_mask(monkeypatch):
    datasets, mask = series(), blobs()
    content = seg_bytes(segmentation(datasets, {"Edema": mask, "Core": mask[::-1]}))
    monkeypatch.setattr(Room.__init__, "__defaults__", (4 * mask.size * 3,))  # the series, and two channels
    scans, flair, expected, _ = read(*files_of(datasets), ("seg.dcm", content))
    assert scans[1].voxels.shape[3] == 1
    assert scans[1].notes[-1] == "The upload is too large to keep the structures one by one."
    np.testing.assert_array_equal(in_series(scans, flair, expected, datasets)[0], mask | mask[::-1])


def test_a_multiframe_series_takes_back_its_mask():
    planes = np.arange(4 * 24 * 20, dtype=np.uint16).reshape(4, 24, 20)
    file = enhanced_slices(planes)
    picture = "a.dcm", dicom_bytes(file)
    scans, flair, _, _ = read(picture)
    mask = blobs(4, 24, 20)
    volume, _ = build_volume(scans, (None, flair, None))
    content = valid(to_dicom_seg(Result(scans[0], volume, mask, 0.5, WEIGHTS, "OpenVINO")))
    scans, flair, expected, _ = read(picture, ("seg.dcm", content))
    volume, _ = build_volume(scans, (None, flair, None), expected)
    np.testing.assert_array_equal(volume.expected_mask, mask)


def test_a_brain_alone_is_no_mask_and_no_picture():
    datasets = series(SeriesDescription="7")
    seg = segmentation(datasets, {"Brain": np.ones((6, 24, 20))})
    scans, flair, expected, _ = read(*files_of(datasets), ("seg.dcm", seg_bytes(seg)))
    assert (scans[flair.scan].file_format, expected) == ("DICOM", None)


def test_the_sparse_segmentation_of_dcmqi_lies_on_its_series():
    path = get_testdata_file("liver.dcm", download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed: pip install -e .[dev]")
    seg = pydicom.dcmread(str(path))
    seg.SegmentSequence[0].SegmentLabel = "Lesion in the liver"
    corners = [group.PlanePositionSequence[0].ImagePositionPatient for group in seg.PerFrameFunctionalGroupsSequence]
    lowest = min(float(corner[2]) for corner in corners)
    datasets = [
        replace_geometry(one, seg, [*corners[0][:2], lowest - 2 + number])
        for number, one in enumerate(series(7, 512, 512))
    ]
    scans, flair, expected, problems = read(*files_of(datasets), ("liver.dcm", _bytes(seg)))
    assert problems == []
    found, _ = in_series(scans, flair, expected, datasets)
    wanted = np.zeros((7, 512, 512), np.uint8)
    for corner, plane in zip(corners, seg.pixel_array, strict=True):
        wanted[round(float(corner[2]) - lowest + 2)] = plane
    assert wanted.sum() > 1000
    np.testing.assert_array_equal(found, wanted)


def replace_geometry(dataset, seg, position):
    shared = seg.SharedFunctionalGroupsSequence[0]
    dataset.ImagePositionPatient = position
    dataset.ImageOrientationPatient = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    dataset.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
    dataset.SliceThickness = 1
    dataset.FrameOfReferenceUID = seg.FrameOfReferenceUID
    dataset.SeriesInstanceUID = seg.ReferencedSeriesSequence[0].SeriesInstanceUID
    return dataset


def test_a_segmentation_of_another_series_is_resampled_onto_flair():
    t1 = series(12, 48, 40, step=3.0, SeriesDescription="t1 gd", SeriesInstanceUID="1.2.3.9")
    for one in t1:  # twice as fine, on the same place
        one.PixelSpacing = [0.4, 0.45]
        one.ImagePositionPatient = [
            float(a) - b for a, b in zip(one.ImagePositionPatient, (0.225, 0.2, 1.5), strict=True)
        ]
    fine = np.repeat(np.repeat(np.repeat(blobs(), 2, 0), 2, 1), 2, 2)
    content = seg_bytes(segmentation(t1, {"Lesion": fine}))
    datasets = series()
    for files in ((*files_of(datasets), *files_of(t1, "t1")), files_of(datasets)):
        scans, flair, expected, _ = read(*files, ("seg.dcm", content))
        found, notes = in_series(scans, flair, expected, datasets)
        np.testing.assert_array_equal(found, blobs())
        assert "The expected mask has another grid" in notes[-1]


def test_a_missing_slice_of_the_series_is_missing_in_its_mask():
    datasets, mask = series(), blobs()
    content = seg_bytes(segmentation(datasets, {"Lesion": mask}))
    kept = [*datasets[:2], *datasets[3:]]
    scans, flair, expected, _ = read(*files_of(kept), ("seg.dcm", content))
    assert scans[flair.scan].places == (0, 1, 3, 4, 5)
    np.testing.assert_array_equal(in_series(scans, flair, expected, kept)[0], mask[[0, 1, 3, 4, 5]])


def test_a_mask_elsewhere_is_refused_in_words_and_the_picture_is_read():
    datasets = series()
    moved = series(FrameOfReferenceUID="1.2.99", SeriesInstanceUID="1.2.98")
    scans, flair, expected, _ = read(
        *files_of(datasets), ("seg.dcm", seg_bytes(segmentation(moved, {"Lesion": blobs()})))
    )
    assert expected is None
    assert masks_left_out(scans, flair) == [
        "Not used as mask: 2. Segmentation lies in another frame of reference than FLAIR."
    ]
    far = series(SeriesInstanceUID="1.2.97")
    for one in far:
        one.ImagePositionPatient = [float(value) + 500 for value in one.ImagePositionPatient]
    scans, flair, expected, _ = read(
        *files_of(datasets), ("seg.dcm", seg_bytes(segmentation(far, {"Lesion": blobs()})))
    )
    assert expected is None
    assert masks_left_out(scans, flair) == ["Not used as mask: 2. Segmentation lies outside the FLAIR volume."]
    assert build_volume(scans, (None, flair, None))[0].images.shape == (6, 24, 20, 3)


def test_a_mask_partly_or_wholly_outside_is_said():
    flair = nifti_bytes(np.arange(20 * 22 * 6, dtype=np.int16).reshape(20, 22, 6))
    mask = np.zeros((20, 22, 6), np.uint8)
    mask[:4, 5, 2] = 1
    half = AXIAL.copy()
    half[0, 3] += 2  # two voxels to the right of the patient
    scans, channel, expected, _ = read(("flair.nii", flair), ("a_mask.nii", nifti_bytes(mask, half)))
    volume, notes = build_volume(scans, (None, channel, None), expected)
    assert "50.0% of the expected mask lies outside the FLAIR volume and does not count." in notes
    assert volume.expected_mask.sum() == 2
    half[0, 3] += 2
    scans, channel, expected, _ = read(("flair.nii", flair), ("a_mask.nii", nifti_bytes(mask, half)))
    with pytest.raises(MaskError, match="the whole mask lies outside the FLAIR volume"):
        build_volume(scans, (None, channel, None), expected)


def test_a_mask_without_a_picture_is_no_picture():
    scans, problems = read_files([("seg.dcm", seg_bytes(segmentation(series(), {"Lesion": blobs()})))])
    assert scans == []
    assert problems == ["seg.dcm: a mask without its picture. Upload the series with it."]


def test_a_segmentation_beside_a_converted_picture_takes_its_own_grid():
    datasets, mask = series(), blobs()
    scans, _ = read_files(files_of(datasets))
    volume, _ = build_volume(scans, suggest(scans)[0])
    picture = gzip.decompress(to_nifti(Result(scans[0], volume, np.zeros((6, 24, 20), np.uint8), 0.5, WEIGHTS, "")))
    image = nibabel.Nifti1Image.from_bytes(picture)
    grey = nibabel.Nifti1Image(np.arange(image.get_fdata().size, dtype=np.int16).reshape(image.shape), image.affine)
    content = seg_bytes(segmentation(datasets, {"Lesion": mask}))
    scans, flair, expected, _ = read(("flair.nii", grey.to_bytes()), ("seg.dcm", content))
    volume, notes = build_volume(scans, (None, flair, None), expected)
    assert volume.expected_mask.sum() == mask.sum()
    np.testing.assert_array_equal(volume.expected_mask, scans[flair.scan].placement.forward(mask.transpose(2, 1, 0)))
    assert notes[-1] == "The expected mask covers a part of the FLAIR volume. The rest counts as free of lesion."


# --- contours


@pytest.mark.parametrize("edges", [False, True])
def test_contours_along_middles_and_along_edges_give_the_mask(edges):
    datasets, mask = series(orientation=OBLIQUE), blobs()
    content = structure_set(datasets, {"GTV": mask}, edges=edges)
    scans, flair, expected, problems = read(*files_of(datasets), ("rt.dcm", content))
    assert problems == [] and scans[expected.scan].notes == ()
    np.testing.assert_array_equal(in_series(scans, flair, expected, datasets)[0], mask)


def test_regions_that_are_no_lesion_are_left_out_and_margins_too():
    datasets, mask = series(), blobs()
    wide = np.zeros_like(mask)
    wide[1:4, 3:17, 2:14] = 1
    drawn = {"GTV": mask, "PTV 60": wide, "Brain": np.ones_like(mask), "BODY_1": np.ones_like(mask)}
    content = structure_set(datasets, drawn, {"BODY_1": "EXTERNAL", "PTV 60": "PTV"})
    scans, flair, expected, _ = read(*files_of(datasets), ("rt.dcm", content))
    assert scans[1].notes == ("Not counted as lesion: PTV 60, Brain, BODY_1.",)
    np.testing.assert_array_equal(in_series(scans, flair, expected, datasets)[0], mask)
    margin = Channel(expected.scan, 1)
    np.testing.assert_array_equal(in_series(scans, flair, margin, datasets)[0], wide)
    scans, _, expected, _ = read(*files_of(datasets), ("rt.dcm", structure_set(datasets, {"PTV 60": wide})))
    assert expected == Channel(1, 0)
    assert scans[1].notes == ("Only treatment volumes, which have a margin around the lesion: PTV 60.",)


def test_contours_off_the_slices_are_said():
    datasets = series()
    square = np.array([[3.0, 5], [11, 5], [11, 14], [3, 14]])
    on, between, outside = (place(datasets[2], square) + np.array([0, 0, off]) for off in (0, 2, 40))
    content = structure_set(datasets, {"GTV": [on, on, between + np.array([0.9 * 9, 0, 0]), outside, on[:1]]})
    scans, flair, expected, _ = read(*files_of(datasets), ("rt.dcm", content))
    assert scans[1].notes == (
        "1 point, open line or damaged contour is left out.",
        "1 contour lies on no slice of the picture and is left out.",
        "1 contour lies between slices. It is drawn on the nearest one.",
    )
    found, _ = in_series(scans, flair, expected, datasets)
    wanted = np.zeros((6, 24, 20), np.uint8)
    wanted[2, 5:15, 3:20] = 1
    np.testing.assert_array_equal(found, wanted)


def test_contours_of_a_series_that_is_not_there_are_refused():
    datasets = series()
    other = series(FrameOfReferenceUID="1.2.99", SeriesInstanceUID="1.2.98")
    scans, _, expected, problems = read(
        *files_of(datasets), ("rt.dcm", structure_set(other, {"GTV": contours_of(other, blobs())}))
    )
    assert (len(scans), expected) == (1, None)
    assert problems == [
        "rt.dcm: its contours were drawn on a series that this upload does not hold. Upload that series with it."
    ]


def test_hostile_contours_are_refused():
    datasets = series()
    huge = np.array([[3.0, 5, 1], [1e15, 5, 1], [-1e15, 1e15, 1]])
    scans, problems = read_files(
        [*files_of(datasets), ("rt.dcm", structure_set(datasets, {"GTV": [huge, place(datasets[1], huge[:, :2])]}))]
    )
    assert len(scans) == 1
    assert problems == ["rt.dcm: none of its 2 contours lies on a slice of the picture."]


@pytest.mark.parametrize("name", hostile_masks.corpus())
def test_hostile_masks_are_read_or_refused_and_the_series_is_read(name):
    scans, problems = read_files(hostile_masks.corpus()[name])
    assert (scans[0].file_format, scans[0].name) == ("DICOM", "ax FLAIR")
    assert len(scans) + len(problems) >= 2
    assert "is damaged and cannot be read" not in " ".join(problems)


# --- label maps


def test_a_segmentation_of_3d_slicer_lies_on_its_series():
    nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed")
    pytest.importorskip("unet.scans.formats.nrrd", reason="there is no reader of NRRD")
    datasets, mask = series(orientation=OBLIQUE), blobs()
    cropped = mask[1:4, 5:15, 3:12].transpose(2, 1, 0)  # Slicer keeps the box around the segments
    row, column = np.array(OBLIQUE, float).reshape(2, 3)
    origin = place(datasets[1], np.array([[3.0, 5]]))[0]
    step = np.subtract(datasets[1].ImagePositionPatient, datasets[0].ImagePositionPatient)
    header = {
        "space": "left-posterior-superior",
        "space directions": [row * 0.9, column * 0.8, step],
        "space origin": origin,
        "kinds": ["domain"] * 3,
        "Segment0_ID": "Segment_1",
        "Segment0_Name": "Lesion",
    }
    written = io.BytesIO()
    nrrd.write(written, np.ascontiguousarray(cropped), header)
    scans, flair, expected, problems = read(*files_of(datasets), ("a.seg.nrrd", written.getvalue()))
    assert problems == []
    mask[-1] = 0  # outside the box
    found, notes = in_series(scans, flair, expected, datasets)
    np.testing.assert_array_equal(found, mask)
    assert notes[-1] == "The expected mask covers a part of the FLAIR volume. The rest counts as free of lesion."


def test_a_volume_of_labels_is_a_mask_whatever_its_name():
    picture, labels = np.arange(20 * 22 * 6, dtype=np.int16).reshape(20, 22, 6), np.zeros((20, 22, 6), np.uint8)
    labels[5:9, 5:9, 2] = 1
    labels[6:8, 6:8, 2] = 4
    scans, flair, expected, _ = read(("flair.nii", nifti_bytes(picture)), ("Untitled.nii", nifti_bytes(labels)))
    assert scans[expected.scan].notes == ("Its only values are 0, 1, 4, so it is taken for a mask.",)
    volume, notes = build_volume(scans, (None, flair, None), expected)
    assert volume.expected_mask.sum() == 16
    assert notes[-1] == "The expected mask has the labels 1, 4. All of them count as lesion."


def test_a_brain_mask_stays_what_its_name_says():
    picture, brain = np.arange(20 * 22 * 6, dtype=np.int16).reshape(20, 22, 6), np.ones((20, 22, 6), np.uint8)
    brain[0] = 0
    scans, _, expected, _ = read(("flair.nii", nifti_bytes(picture)), ("brain_mask.nii", nifti_bytes(brain)))
    assert expected is None and scans[1].guesses == ("another picture",)


def test_a_mask_in_another_folder_than_the_only_picture_is_its_mask():
    mask = np.zeros((20, 24, 6), np.uint8)
    mask[3, 5, 2] = 1
    datasets = series()
    affine = np.diag([-0.9, -0.8, 6.0, 1])
    affine[:3, 3] = 30, 40, 5
    scans, flair, expected, _ = read(*files_of(datasets), ("result_mask.nii", nifti_bytes(mask, affine)))
    found, _ = in_series(scans, flair, expected, datasets)
    assert np.argwhere(found).tolist() == [[2, 5, 3]]
