"""Patients, volumes and masks: what is read, in which order, and what is said when something is wrong."""

import os
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from unet.data import patients as data
from unet.data.patients import PatientSummary, find_data_root, list_patients, load_volume, summarise
from unet.data.slice_files import DataError
from unet.data.splits import published_splits, split_of
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume

pytestmark = pytest.mark.quick

PATIENT = "TCGA_XX_0001_20000101"


@pytest.fixture(autouse=True)
def no_data_elsewhere(monkeypatch, tmp_path):
    """Look neither at the environment nor at the data of whoever runs the tests."""
    monkeypatch.delenv("UNET_DATA", raising=False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setattr(data, "PROJECT_FOLDER", tmp_path / "no-project")


def only_patient(root: Path):
    (patient,), problems = list_patients(root)
    assert problems == []
    return patient


def flat(value: int, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def empty_mask(size: int = 16) -> np.ndarray:
    return np.zeros((size, size), np.uint8)


# --- what is read


def test_slices_are_ordered_by_number(tmp_path, write_patient):
    numbers = (10, 2, 1, 11, 9, 3)
    write_patient(tmp_path, PATIENT, {n: flat(n) for n in numbers}, {n: empty_mask() for n in numbers})
    patient = only_patient(tmp_path)
    assert patient.slice_numbers == [1, 2, 3, 9, 10, 11]
    volume = load_volume(patient)
    assert volume.slice_numbers.tolist() == [1, 2, 3, 9, 10, 11]
    assert volume.images[:, 0, 0, 0].tolist() == [1, 2, 3, 9, 10, 11]  # each picture stayed with its number
    assert len(volume) == 6


def test_masks_become_zero_and_one(tmp_path, write_patient):
    mask = empty_mask()
    mask[2:5, 7:9] = 255
    write_patient(tmp_path, PATIENT, {1: flat(9), 2: flat(9)}, {1: mask, 2: empty_mask()})
    volume = load_volume(only_patient(tmp_path))
    assert volume.expected_mask.dtype == np.uint8
    assert volume.expected_mask.max() == 1
    assert volume.expected_mask.sum(axis=(1, 2)).tolist() == [6, 0]
    assert volume.expected_mask[0, 2:5, 7:9].all()
    assert volume.has_mask.tolist() == [True, True]
    assert volume.problems == ()


def test_channels_are_pre_contrast_flair_post_contrast(tmp_path):
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[...] = 10, 120, 240
    (tmp_path / PATIENT).mkdir()
    Image.fromarray(picture).save(tmp_path / PATIENT / f"{PATIENT}_1.tif")  # not OpenCV, so not its own inverse
    pixel = load_volume(only_patient(tmp_path)).images[0, 5, 5]
    assert (PRE_CONTRAST, FLAIR, POST_CONTRAST) == (0, 1, 2)
    assert pixel.tolist() == [10, 120, 240]


@pytest.mark.parametrize(
    "first_pixel, expected",
    [
        ((1, 2, 3), ()),
        ((1, 2, 2), ("post-contrast",)),
        ((2, 2, 3), ("pre-contrast",)),
        ((2, 2, 2), ("pre-contrast", "post-contrast")),
    ],
)
def test_missing_sequences_are_copies_of_flair(first_pixel, expected):
    images = np.full((2, 4, 4, 3), 7, np.uint8)
    images[0, 0, 0] = first_pixel
    volume = Volume("p", images, images[..., 0] * 0, np.ones(2, bool), np.arange(2))
    assert volume.missing_sequences == expected


def test_missing_sequences_are_compared_once_a_volume(monkeypatch):
    compared = []
    monkeypatch.setattr("unet.data.volume.copies_of_flair", lambda images: compared.append(len(images)) or ("FLAIR",))
    images = np.zeros((2, 4, 4, 3), np.uint8)
    volume = Volume("p", images, images[..., 0], np.ones(2, bool), np.arange(2))
    assert [volume.missing_sequences for _ in range(9)] == [("FLAIR",)] * 9
    assert compared == [2]
    assert replace(volume, images=images[:1]).missing_sequences == ("FLAIR",)
    assert compared == [2, 1]


def test_content_hash_changes_with_all_that_is_shown():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    volume = Volume("p", images, images[..., 0], np.ones(2, bool), np.arange(2))
    changed = images.copy()
    changed[1, 3, 3, 2] = 1
    assert volume.content_hash == replace(volume, images=images.copy()).content_hash
    masked = volume.expected_mask.copy()
    masked[0, 1, 1] = 1
    for other in (
        {"images": changed},
        {"expected_mask": masked},
        {"has_mask": np.array([True, False])},
        {"patient_id": "q"},
        {"slice_numbers": np.array([0, 2])},
    ):
        assert volume.content_hash != replace(volume, **other).content_hash, other
    assert volume.content_hash != replace(volume, images=images.reshape(4, 2, 4, 3)).content_hash
    assert re.fullmatch("[0-9a-f]{64}", volume.content_hash)


def test_other_files_in_a_case_folder_are_ignored(tmp_path, write_tiny_patient):
    folder = write_tiny_patient(tmp_path, PATIENT, (1, 2))
    (folder / "notes.txt").write_text("hello")
    (folder / f"{PATIENT}_1 (copy).tif").write_bytes(b"x")
    (folder / "TCGA_YY_0002_20000101_3.tif").write_bytes(b"x")
    volume = load_volume(only_patient(tmp_path))
    assert volume.slice_numbers.tolist() == [1, 2]
    assert volume.problems == ()


def test_summary_counts_lesions_and_names_the_missing_sequence(tmp_path, write_patient):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    picture[..., 2] = picture[..., 1]
    mask = empty_mask()
    mask[3, 3] = 255
    masks = {1: mask, 2: empty_mask(), 3: mask, 4: mask}
    folder = write_patient(tmp_path, PATIENT, dict.fromkeys(range(1, 6), picture), masks)
    assert summarise(only_patient(tmp_path)) == PatientSummary(5, 3, ("post-contrast",))
    (folder / f"{PATIENT}_4_mask.tif").write_bytes(b"II*")
    (folder / f"{PATIENT}_3.tif").write_bytes(b"II*")  # the one in the middle
    assert summarise(only_patient(tmp_path)) == PatientSummary(5, 2, ())


def test_real_patient(lgg_root):
    patients, problems = list_patients(lgg_root)
    assert problems == []
    complete, flair_only = (load_volume(patient) for patient in patients)
    assert complete.images.shape == (23, 256, 256, 3)
    assert complete.slice_numbers.tolist() == list(range(1, 24))
    assert complete.has_mask.all() and complete.problems == ()
    assert complete.missing_sequences == ()
    assert flair_only.images.shape == (28, 256, 256, 3)
    assert flair_only.missing_sequences == ("pre-contrast", "post-contrast")
    for volume in (complete, flair_only):
        assert sorted(np.unique(volume.expected_mask)) == [0, 1]
        flair = volume.images[..., FLAIR]
        assert flair[volume.expected_mask == 1].mean() > 1.15 * flair[flair > 20].mean()  # what the masks outline


# --- what is said when something is wrong


def test_gap_in_slice_numbers_is_said(tmp_path, write_tiny_patient):
    write_tiny_patient(tmp_path, PATIENT, (3, 4, 7, 9))
    volume = load_volume(only_patient(tmp_path))
    assert volume.slice_numbers.tolist() == [3, 4, 7, 9]
    (problem,) = volume.problems
    assert f"{PATIENT}: slice numbers 5, 6, 8 are missing" in problem
    assert "Download the folder again" in problem


def test_missing_mask_is_shown_but_not_scored(tmp_path, write_tiny_patient):
    folder = write_tiny_patient(tmp_path, PATIENT)
    (folder / f"{PATIENT}_2_mask.tif").unlink()
    volume = load_volume(only_patient(tmp_path))
    assert volume.has_mask.tolist() == [True, False, True]
    assert volume.expected_mask.sum(axis=(1, 2)).tolist() == [16, 0, 16]
    assert len(volume) == 3
    assert volume.problems == (f"{PATIENT}_2_mask.tif is missing. Slice 2 is shown but not scored.",)


def test_mask_of_another_size_is_not_used(tmp_path, write_tiny_patient):
    folder = write_tiny_patient(tmp_path, PATIENT)
    cv2.imwrite(str(folder / f"{PATIENT}_1_mask.tif"), np.full((20, 12), 255, np.uint8))
    volume = load_volume(only_patient(tmp_path))
    assert volume.has_mask.tolist() == [False, True, True]
    assert volume.expected_mask.sum(axis=(1, 2)).tolist() == [0, 16, 16]
    (problem,) = volume.problems
    assert f"{PATIENT}_1_mask.tif: 12×20 pixels, where its slice has 16×16" in problem
    assert "Download the mask again" in problem


@pytest.mark.parametrize("odd", [1, 2, 4])
def test_slice_of_another_size_is_left_out_wherever_it_is(tmp_path, write_patient, odd):
    images = {n: flat(n, 24 if n == odd else 16) for n in (1, 2, 3, 4)}
    write_patient(tmp_path, PATIENT, images, {n: empty_mask(image.shape[0]) for n, image in images.items()})
    volume = load_volume(only_patient(tmp_path))
    assert volume.slice_numbers.tolist() == [n for n in (1, 2, 3, 4) if n != odd]
    (problem,) = volume.problems
    assert f"{PATIENT}_{odd}.tif: 24×24 pixels, where the other slices have 16×16" in problem
    assert "Download the file again" in problem


def directory_last(picture: np.ndarray) -> bytes:
    return cv2.imencode(".tif", picture)[1].tobytes()


def directory_first(picture: np.ndarray, path: Path) -> bytes:
    """Uncompressed, with the sizes before the pixels, so that a cut file still says how large it should be."""
    Image.fromarray(picture).save(path / "whole.tiff", compression=None)
    encoded = (path / "whole.tiff").read_bytes()
    (path / "whole.tiff").unlink()
    assert int.from_bytes(encoded[4:8], "little") < 100  # where the directory starts
    return encoded


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize("layout", ["directory first", "directory last"])
@pytest.mark.parametrize("suffix", ["", "_mask"])
def test_truncated_file_is_named_and_the_rest_stays(tmp_path, write_tiny_patient, share, layout, suffix):
    folder = write_tiny_patient(tmp_path, PATIENT)
    shape = (16, 16) if suffix else (16, 16, 3)
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    whole = directory_first(picture, tmp_path) if layout == "directory first" else directory_last(picture)
    broken = folder / f"{PATIENT}_2{suffix}.tif"
    broken.write_bytes(whole)
    assert load_volume(only_patient(tmp_path)).problems == ()  # it is the cut that makes the difference
    broken.write_bytes(whole[: int(share * len(whole))])

    volume = load_volume(only_patient(tmp_path))
    (problem,) = volume.problems
    assert f"{broken.name}: {int(share * len(whole)):,} bytes, not a complete TIFF" in problem
    assert "Download it again" in problem
    if suffix:
        assert volume.slice_numbers.tolist() == [1, 2, 3]
        assert volume.has_mask.tolist() == [True, False, True]
    else:
        assert volume.slice_numbers.tolist() == [1, 3]
        assert volume.expected_mask.sum(axis=(1, 2)).tolist() == [16, 16]


@pytest.mark.parametrize("stored, expected", [(1, 16), (255, 16), (100, 16), (0, 0)])
def test_masks_may_be_stored_as_any_bright_or_dark_pair(tmp_path, write_patient, stored, expected):
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = stored
    write_patient(tmp_path, PATIENT, {1: np.full((16, 16, 3), 9, np.uint8)}, {1: mask})
    assert load_volume(only_patient(tmp_path)).expected_mask.sum() == expected


@pytest.mark.parametrize("suffix", ["", "_mask"])
def test_a_header_that_promises_a_giant_picture_is_named_and_the_rest_stays(tmp_path, write_tiny_patient, suffix):
    folder = write_tiny_patient(tmp_path, PATIENT)
    lying = bytearray(directory_last(np.zeros((16, 16), np.uint8)))
    directory = int.from_bytes(lying[4:8], "little")
    for entry in range(int.from_bytes(lying[directory : directory + 2], "little")):
        at = directory + 2 + 12 * entry
        if int.from_bytes(lying[at : at + 2], "little") in (256, 257):  # width and height
            lying[at + 2 : at + 12] = (
                (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + (100_000).to_bytes(4, "little")
            )
    (folder / f"{PATIENT}_2{suffix}.tif").write_bytes(lying)
    patient = only_patient(tmp_path)
    assert summarise(patient).slices == 3
    assert f"{PATIENT}_2{suffix}.tif" in load_volume(patient).problems[0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_real_slice_is_named(tmp_path, lgg_root, share):
    patient = list_patients(lgg_root)[0][0]
    whole = patient.images[10].read_bytes()
    cut = tmp_path / patient.images[10].name
    cut.write_bytes(whole[: int(share * len(whole))])
    volume = load_volume(replace(patient, images={**patient.images, 10: cut}))
    assert len(volume) == 22 and 10 not in volume.slice_numbers
    (problem,) = volume.problems
    assert problem.startswith(f"{cut.name}: ") and "Download it again" in problem


def test_file_that_cannot_be_opened_is_named(tmp_path, write_tiny_patient):
    folder = write_tiny_patient(tmp_path, PATIENT)
    (folder / f"{PATIENT}_2.tif").unlink()
    (folder / f"{PATIENT}_2.tif").mkdir()
    volume = load_volume(only_patient(tmp_path))
    assert volume.slice_numbers.tolist() == [1, 3]
    (problem,) = volume.problems
    assert problem.startswith(f"{PATIENT}_2.tif: cannot be opened") and "reading rights" in problem


def test_no_readable_slice_raises_and_names_the_files(tmp_path, write_tiny_patient):
    folder = write_tiny_patient(tmp_path, PATIENT, (1, 2))
    for number in (1, 2):
        (folder / f"{PATIENT}_{number}.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(DataError, match=rf"{PATIENT}: none of its 2 slices.*{PATIENT}_1\.tif.*{PATIENT}_2\.tif"):
        load_volume(only_patient(tmp_path))


def test_empty_case_folder_is_said_and_the_others_stay(tmp_path, write_tiny_patient):
    write_tiny_patient(tmp_path, "B")
    write_tiny_patient(tmp_path, "A")
    (tmp_path / "C").mkdir()
    patients, problems = list_patients(tmp_path)
    assert [patient.patient_id for patient in patients] == ["A", "B"]
    assert problems == ["C: no slices named C_<n>.tif in it; the folder is left out."]


def deny(monkeypatch, denied: Path):
    """Make a folder unreadable even for root, for whom rights do not count."""
    listing, allowed = Path.iterdir, os.access

    def iterdir(self):
        if self == denied:
            raise PermissionError(13, "Permission denied", str(self))
        return listing(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != denied and allowed(path, mode))


def test_unreadable_case_folder_is_said_and_the_others_stay(tmp_path, write_tiny_patient, monkeypatch):
    write_tiny_patient(tmp_path, "A")
    deny(monkeypatch, write_tiny_patient(tmp_path, "B"))
    patients, problems = list_patients(tmp_path)
    assert [patient.patient_id for patient in patients] == ["A"]
    assert problems == ["B: cannot be read, permission denied. Give yourself reading rights."]


@pytest.mark.parametrize("look", [find_data_root, list_patients])
def test_unreadable_root_says_so(tmp_path, write_tiny_patient, monkeypatch, look):
    write_tiny_patient(tmp_path / "mine", "A")
    deny(monkeypatch, tmp_path / "mine")
    with pytest.raises(DataError, match="mine,? cannot be read: permission denied.*chmod"):
        look(tmp_path / "mine")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="rights do not count for root")
def test_unreadable_root_says_so_for_real(tmp_path, write_tiny_patient):
    write_tiny_patient(tmp_path / "mine", "A")
    (tmp_path / "mine").chmod(0)
    try:
        with pytest.raises(DataError, match="permission denied"):
            find_data_root(tmp_path / "mine")
    finally:
        (tmp_path / "mine").chmod(0o700)


@pytest.mark.parametrize("look", [find_data_root, list_patients])
def test_root_without_patients_says_what_to_do(tmp_path, look):
    (tmp_path / "empty" / "pictures").mkdir(parents=True)
    with pytest.raises(DataError, match="empty,? holds no patients: expected sub-folders such as TCGA_.*download"):
        look(tmp_path / "empty")


@pytest.mark.parametrize("look", [find_data_root, list_patients])
def test_root_that_does_not_exist_says_so(tmp_path, look):
    with pytest.raises(DataError, match="typo,? does not exist. Check the spelling"):
        look(tmp_path / "typo")


def test_root_that_is_a_file_says_so(tmp_path):
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"archive\.zip, is a file; expected the unpacked folder"):
        find_data_root(tmp_path / "archive.zip")


# --- where the data are looked for


def test_explicit_folder_wins_and_nesting_does_not_matter(tmp_path, write_tiny_patient, monkeypatch):
    write_tiny_patient(tmp_path / "one" / "lgg-mri-segmentation" / "kaggle_3m", PATIENT)
    write_tiny_patient(tmp_path / "two", PATIENT)
    monkeypatch.setenv("UNET_DATA", str(tmp_path / "two"))
    assert find_data_root(tmp_path / "one") == tmp_path / "one" / "lgg-mri-segmentation" / "kaggle_3m"
    assert find_data_root(str(tmp_path / "one" / "lgg-mri-segmentation")).name == "kaggle_3m"
    assert find_data_root() == tmp_path / "two"


def test_wrong_unet_data_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match="UNET_DATA, .*typo, does not exist"):
        find_data_root()


def test_order_is_data_folder_then_newest_download_then_demo(tmp_path, write_tiny_patient, monkeypatch):
    assert find_data_root() == Path(__file__).resolve().parent.parent / "demo" / "kaggle_3m"

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    versions = tmp_path / "cache" / "datasets" / "mateuszbuda" / "lgg-mri-segmentation" / "versions"
    for version in ("2", "9", "10"):
        write_tiny_patient(versions / version / "kaggle_3m", PATIENT)
        (versions / f"{version}.complete").touch()
    (versions / "11").mkdir()  # a download that was cut short
    assert find_data_root() == versions / "10" / "kaggle_3m"

    monkeypatch.setattr(data, "PROJECT_FOLDER", tmp_path / "project")
    write_tiny_patient(tmp_path / "project" / "data" / "kaggle_3m", PATIENT)
    assert find_data_root() == tmp_path / "project" / "data" / "kaggle_3m"


# --- splits


def test_published_splits_are_disjoint():
    splits = published_splits()
    assert {split: len(ids) for split, ids in splits.items()} == {"train": 77, "validation": 11, "test": 10}
    assert len({patient_id for ids in splits.values() for patient_id in ids}) == 98


def test_test_patients_are_those_of_the_published_peer():
    assert sorted(published_splits()["test"]) == [
        "TCGA_CS_4944_20010208",
        "TCGA_CS_6667_20011105",
        "TCGA_CS_6668_20011025",
        "TCGA_DU_5851_19950428",
        "TCGA_DU_6404_19850629",
        "TCGA_DU_6408_19860521",
        "TCGA_DU_7014_19860618",
        "TCGA_HT_7616_19940813",
        "TCGA_HT_7692_19960724",
        "TCGA_HT_7879_19981009",
    ]


@pytest.mark.parametrize(
    "patient_id, split",
    [
        ("TCGA_CS_4941_19960909", "training"),
        ("TCGA_CS_5395_19981004", "validation"),
        ("TCGA_CS_4944_20010208", "test"),
        ("PHANTOM_ICBM_0001_20260101", "phantom"),
        ("TCGA_XX_0000_20000101", "unseen"),
        ("", "unseen"),
    ],
)
def test_split_of(patient_id, split):
    assert split_of(patient_id) == split
