"""Which sequence goes where, and what happens to one that lies elsewhere."""

import io

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from tests.hostile import slice_image, stack
from tests.upload_files import AXIAL, dicom_bytes, dicom_series, dicom_study, nifti_bytes, png_bytes
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST
from unet.scans.assemble import build_volume
from unet.scans.grids import fits
from unet.scans.mapping import Channel, doubt, left_out, suggest, suggest_mask
from unet.scans.reader import read_files
from unet.scans.scan import IngestError

pytestmark = pytest.mark.quick


def scans_of(*files):
    scans, problems = read_files(list(files))
    assert problems == []
    return scans


def test_series_of_a_study_find_their_places_by_name():
    scans = scans_of(*reversed(dicom_study(stack())))
    [mapping] = suggest(scans)
    assert [channel and scans[channel.scan].name for channel in mapping] == ["ax T1 pre", "ax FLAIR", "ax T1 post gd"]
    volume, notes = build_volume(scans, mapping)
    np.testing.assert_array_equal(volume.images, stack())
    assert notes == []
    assert (volume.geometry.spacing, volume.geometry.edges) == ((6, 1, 1), ("R", "L", "A", "P"))
    assert not volume.has_mask.any() and not volume.expected_mask.any()


def test_a_missing_sequence_is_replaced_by_flair_and_that_is_said():
    scans = scans_of(("flair.png", png_bytes(slice_image())))
    volume, notes = build_volume(scans, suggest(scans)[0])
    assert volume.missing_sequences == ("pre-contrast", "post-contrast")
    assert notes == ["Missing: pre-contrast, post-contrast. FLAIR is used instead, as in the data set."]


def test_three_unnamed_pictures_are_taken_in_the_data_sets_order():
    scans = scans_of(*((f"{n}.png", png_bytes(slice_image(seed=n))) for n in (1, 2, 3)))
    assert suggest(scans) == [(Channel(0, 0), Channel(1, 0), Channel(2, 0))]


def test_two_pictures_of_no_sequence_are_looked_at_one_by_one():
    scans = scans_of(("a.png", png_bytes(slice_image())), ("b.png", png_bytes(slice_image(side=80))))
    assert suggest(scans) == [(None, Channel(0, 0), None), (None, Channel(1, 0), None)]


def test_another_grid_is_resampled_to_where_it_lies():
    rng = np.random.default_rng(0)
    flair = rng.integers(0, 1000, (20, 22, 6)).astype(np.float32)
    finer = np.repeat(np.repeat(flair, 2, axis=0), 2, axis=1)
    affine = AXIAL.copy()
    affine[:, :2] /= 2
    affine[:3, 3] -= AXIAL[:3, :2].sum(axis=1) / 4  # a voxel's middle is where four smaller ones meet
    scans = scans_of(("t1.nii", nifti_bytes(finer, affine)), ("flair.nii", nifti_bytes(flair, AXIAL)))
    [mapping] = suggest(scans)
    volume, notes = build_volume(scans, mapping)
    inside = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(volume.images[..., PRE_CONTRAST][inside], volume.images[..., FLAIR][inside], rtol=1e-3)
    assert any("It was resampled onto the grid of FLAIR, 6 × 22 × 20" in note for note in notes)


def test_a_series_of_elsewhere_is_refused():
    elsewhere = AXIAL.copy()
    elsewhere[:3, 3] += 500
    array = np.ones((20, 20, 6), np.float32)
    scans = scans_of(("t1.nii", nifti_bytes(array[1:], elsewhere)), ("flair.nii", nifti_bytes(array, AXIAL)))
    with pytest.raises(IngestError, match="pre-contrast covers only 0% of the FLAIR volume"):
        build_volume(scans, (Channel(0, 0), Channel(1, 0), None))


def test_sizes_that_do_not_fit_are_refused():
    scans = scans_of(("a.png", png_bytes(slice_image(64))), ("b.png", png_bytes(slice_image(80))))
    assert not fits(*scans)
    with pytest.raises(IngestError, match="post-contrast: 1 × 80 × 80 voxels, but FLAIR has 1 × 64 × 64"):
        build_volume(scans, (None, Channel(0, 0), Channel(1, 0)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 10000), (15, 64)])
def test_too_small_is_no_slice(shape):
    scans = scans_of(("a.png", png_bytes(np.zeros(shape, np.uint8))))
    with pytest.raises(IngestError, match="expected 16 to 2048 a side"):
        build_volume(scans, suggest(scans)[0])


def test_grids_that_share_their_axes_are_interpolated_as_tilted_ones_are():
    """One axis after the other, and all three at once by SciPy, give the same; outside is the lowest value."""
    wave = np.linspace(0, 40, 20 * 30 * 12, dtype=np.float32).reshape(20, 30, 12)
    source = 50 + 40 * np.sin(wave)
    finer = AXIAL.copy()
    finer[:3, :3] *= 0.7
    finer[:3, 3] += (3, -2, 1)
    scans = scans_of(
        ("t1.nii", nifti_bytes(source, AXIAL)), ("flair.nii", nifti_bytes(np.ones((28, 40, 16), np.float32), finer))
    )
    volume, notes = build_volume(scans, suggest(scans)[0])
    t1, flair = (next(scan for scan in scans if scan.name.startswith(name)) for name in ("t1", "flair"))
    assert t1.affine is not None and flair.affine is not None
    to_t1 = np.linalg.solve(t1.affine, flair.affine)
    wanted = ndimage.affine_transform(
        t1.voxels[..., 0], to_t1[:3, :3], to_t1[:3, 3], volume.images.shape[:3], order=1, cval=t1.voxels.min()
    )
    found = volume.images[..., PRE_CONTRAST]
    np.testing.assert_allclose(found / found.max(), wanted / wanted.max(), atol=1e-5)
    assert (wanted == t1.voxels.min()).any()
    assert any("It was resampled onto the grid of FLAIR" in note for note in notes)


def test_negative_and_tiny_values_become_grey_values():
    array = (np.random.default_rng(0).normal(size=(20, 20, 4)) / 1000).astype(np.float32)
    scans = scans_of(("flair.nii", nifti_bytes(array, AXIAL)))
    volume, notes = build_volume(scans, suggest(scans)[0])
    assert volume.images.min() == 0
    assert volume.images[..., POST_CONTRAST].max() == pytest.approx(1000)
    assert any("shifted to start at 0" in note for note in notes)


def with_mask(mask, name="flair_mask.png"):
    """A FLAIR picture of 64 × 64 and a file that is named like its mask."""
    return scans_of(("flair.png", png_bytes(slice_image())), (name, png_bytes(mask)))


def test_a_mask_is_no_sequence_and_is_scored_against():
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20, 30:35] = 255
    scans = with_mask(mask)
    assert suggest(scans) == [(None, Channel(0, 0), None)]
    assert suggest_mask(scans, Channel(0, 0)) == Channel(1, 0)
    volume, notes = build_volume(scans, (None, Channel(0, 0), None), Channel(1, 0))
    np.testing.assert_array_equal(volume.expected_mask[0], mask // 255)
    assert volume.has_mask.tolist() == [True]
    assert not any("labels" in note for note in notes)


def test_labels_of_a_mask_are_one_lesion():
    mask = np.zeros((64, 64), np.uint8)
    mask[10, :3] = 1, 2, 4
    volume, notes = build_volume(with_mask(mask), (None, Channel(0, 0), None), Channel(1, 0))
    assert volume.expected_mask.sum() == 3
    assert notes[-1] == "The expected mask has the labels 1, 2, 4. All of them count as lesion."


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (slice_image(seed=3), "41 different values from 0 to 139, so it is not a mask"),
        (np.full((64, 64), 7, np.uint8), "1 different values from 7 to 7"),
        (np.zeros((32, 64), np.uint8), "its grid of 1 × 32 × 64 voxels differs from that of FLAIR, 1 × 64 × 64"),
    ],
)
def test_what_is_no_mask_of_flair_is_refused_in_words(mask, message):
    scans = with_mask(mask)
    with pytest.raises(IngestError, match=message):
        build_volume(scans, (None, Channel(0, 0), None), Channel(1, 0))


def test_masks_alone_are_pictures():
    scans = scans_of(("a_mask.png", png_bytes(slice_image())))
    assert suggest(scans) == [(None, Channel(0, 0), None)]
    assert suggest_mask(scans, Channel(0, 0)) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("flair.png", ""),
        ("t1.png", "The name or header of 1. t1.png says pre-contrast, but it is used as FLAIR."),
        ("t2w.png", "The name or header of 1. t2w.png says another picture, but it is used as FLAIR."),
        ("7.png", "Neither the name nor the header of 1. 7.png says FLAIR, but it is used as FLAIR."),
    ],
)
def test_what_is_not_stated_to_be_flair_is_said(name, reason):
    scans = scans_of((name, png_bytes(slice_image())))
    [mapping] = suggest(scans)
    assert doubt(scans, mapping) == (reason and f"{reason} The mask is meaningless on any other sequence.")


def test_another_picture_is_no_choice_for_flair_where_one_may_be():
    scans = scans_of(("t2w.png", png_bytes(slice_image(seed=1))), ("7.png", png_bytes(slice_image(seed=2))))
    assert [mapping[FLAIR] for mapping in suggest(scans)] == [Channel([s.name for s in scans].index("7.png"), 0)]


def nifti(name, affine=AXIAL, shape=(20, 22, 6)):
    return name, nifti_bytes(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), affine)


def names_of(scans, mapping):
    return [channel and scans[channel.scan].name for channel in mapping]


def test_two_patients_are_two_pictures():
    other = "1.2.9", "1.2.9.5"
    files = [(f"A/{name}", content) for name, content in dicom_study(stack())]
    for name, content in dicom_study(stack()):
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = other
        dataset.SeriesInstanceUID += ".9"
        files.append((f"B/{name}", dicom_bytes(dataset)))
    scans = scans_of(*files)
    studies = [[(scans[one.scan].source or {})["study"] for one in mapping if one] for mapping in suggest(scans)]
    assert studies == [["1.2.3"] * 3, ["1.2.9"] * 3]


@pytest.mark.parametrize(
    "names",
    [
        ("p1/flair.nii", "p1/t1.nii", "p2/flair.nii", "p2/t1ce.nii"),
        ("p1/FLAIR/a.nii", "p1/T1/a.nii", "p2/FLAIR/a.nii", "p2/T1gd/a.nii"),
        ("case_001_flair.nii", "case_001_t1.nii", "case_002_flair.nii", "case_002_t1ce.nii"),
        ("sub-01_FLAIR.nii", "sub-01_T1w.nii", "sub-02_FLAIR.nii", "sub-02_ce-gd_T1w.nii"),
    ],
)
def test_folders_and_names_tell_patients_apart(names):
    scans = scans_of(*map(nifti, names))
    assert [names_of(scans, mapping) for mapping in suggest(scans)] == [
        [names[1], names[0], None],
        [None, names[2], names[3]],
    ]
    second = next(mapping for mapping in suggest(scans) if scans[mapping[FLAIR].scan].name == names[2])
    assert left_out(scans, second) == [f"2. {names[1]} is of another examination than FLAIR and is left out."]


def test_one_flair_takes_the_sequences_of_its_folder_whatever_they_are_called():
    scans = scans_of(nifti("301_flair.nii"), nifti("401_t1.nii"), nifti("501_t1_gd.nii"))
    assert [names_of(scans, mapping) for mapping in suggest(scans)] == [
        ["401_t1.nii", "301_flair.nii", "501_t1_gd.nii"]
    ]


def test_an_axial_flair_comes_first_with_the_partner_that_lies_as_it_does():
    shape = (40, 40, 20)  # of one box, in slices of 2 mm
    axial = np.array([[-1.0, 0, 0, 128], [0, -1, 0, 128], [0, 0, 2, -60], [0, 0, 0, 1]])
    sagittal = np.array([[0, 0, 2.0, 89], [0, -1, 0, 128], [-1, 0, 0, -22], [0, 0, 0, 1]])
    scans = scans_of(
        nifti("t1_sag.nii", sagittal, shape),
        nifti("flair_sag.nii", sagittal, shape),
        nifti("flair_ax.nii", axial, shape),
        nifti("t1_ax.nii", axial, shape),
    )
    assert [scan.plane for scan in scans] == ["sagittal", "sagittal", "axial", "axial"]
    assert [names_of(scans, mapping) for mapping in suggest(scans)] == [
        ["t1_ax.nii", "flair_ax.nii", None],
        ["t1_sag.nii", "flair_sag.nii", None],
    ]


def test_a_partner_that_does_not_cover_is_left_out_and_named():
    moved = AXIAL.copy()
    moved[2, 3] += 30
    scans = scans_of(nifti("t1.nii", moved), nifti("flair.nii"))
    [mapping] = suggest(scans)
    assert names_of(scans, mapping) == [None, "flair.nii", None]
    assert left_out(scans, mapping) == ["1. t1.nii covers only 17% of the FLAIR volume and is left out."]


def test_a_mask_on_another_grid_is_resampled_and_that_is_said():
    flair, mask = np.ones((20, 22, 6), np.float32), np.zeros((40, 44, 6), np.uint8)
    mask[10:14, 20:24, 2] = 1
    affine = AXIAL.copy()
    affine[:, :2] /= 2
    affine[:3, 3] -= AXIAL[:3, :2].sum(axis=1) / 4
    scans = scans_of(("flair.nii", nifti_bytes(flair)), ("lesion_mask.nii", nifti_bytes(mask, affine)))
    flair_channel = suggest(scans)[0][FLAIR]
    expected = suggest_mask(scans, flair_channel)
    assert expected is not None
    volume, notes = build_volume(scans, (None, flair_channel, None), expected)
    found = np.argwhere(volume.expected_mask)
    assert (found.min(axis=0).tolist(), found.max(axis=0).tolist(), len(found)) == ([2, 10, 5], [2, 11, 6], 4)
    assert notes[-1].startswith("The expected mask has another grid, 6 × 44 × 40. It was resampled")


def test_sequences_are_resampled_to_the_true_places_of_a_series_with_a_gap():
    planes = np.stack([np.full((20, 22), 100 + 10 * number, np.uint16) for number in range(6)])
    t1 = dicom_series(planes, "ax T1", "1.2.3.4.1", shuffle=False)
    flair = dicom_series(planes, "ax FLAIR", "1.2.3.4.2", shuffle=False)
    whole, _ = read_files([*flair[:2], *flair[3:], *((f"t1/{name}", content) for name, content in t1)])
    [mapping] = suggest(whole)
    volume, _ = build_volume(whole, mapping)
    assert volume.images[:, 5, 5, PRE_CONTRAST].tolist() == [100, 110, 130, 140, 150]
    gap, _ = read_files([*flair, *((f"t1/{name}", content) for name, content in (*t1[:2], *t1[3:]))])
    [mapping] = suggest(gap)
    volume, _ = build_volume(gap, mapping)
    assert volume.images[:, 5, 5, PRE_CONTRAST].tolist() == [100, 110, 120, 130, 140, 150]
