"""The shipped phantoms keep the promises of demo/README.md, and the script still makes them."""

import csv
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

DEMO = Path(__file__).resolve().parent.parent / "demo"
ROOT = DEMO / "kaggle_3m"
PRE_CONTRAST, FLAIR, POST_CONTRAST = 0, 1, 2
LESIONS = {  # how many separate lesions each has
    "PHANTOM_ICBM_0001_20260101": 1,
    "PHANTOM_ICBM_0002_20260102": 1,
    "PHANTOM_ICBM_0003_20260103": 2,
    "PHANTOM_ICBM_0004_20260104": 1,
    "PHANTOM_ICBM_0005_20260105": 1,
    "PHANTOM_ICBM_0006_20260106": 1,
}


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Volume (slices, height, width, 3) and mask (slices, height, width), read without the project's own reader."""
    stem = folder / folder.name
    planes = [read_picture(f"{stem}_{n}.tif")[..., ::-1] for n in range(1, 25)]
    masks = [read_picture(f"{stem}_{n}_mask.tif") for n in range(1, 25)]
    return np.stack(planes), np.stack(masks)


def read_picture(path: str) -> np.ndarray:
    picture = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    return picture


shipped = cache(lambda patient_id: read(ROOT / patient_id))
every_phantom = pytest.mark.parametrize("patient_id", LESIONS)


def test_folder_holds_these_phantoms_and_stays_small():
    assert sorted(path.name for path in ROOT.iterdir() if path.is_dir()) == list(LESIONS)
    assert sum(path.stat().st_size for path in DEMO.rglob("*.*") if path.is_file()) <= 10_000_000


def test_table_knows_every_phantom_and_nothing_about_it():
    with (ROOT / "data.csv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert [len(row) for row in rows] == [18] * 7
    assert (rows[0][0], rows[0][-1]) == ("Patient", "death01")
    assert [row[0] for row in rows[1:]] == [patient_id.rsplit("_", 1)[0] for patient_id in LESIONS]
    assert not any("".join(row[1:]) for row in rows[1:])


@every_phantom
def test_layout_is_the_data_sets(patient_id):
    volume, mask = shipped(patient_id)
    assert len(list((ROOT / patient_id).iterdir())) == 48
    assert (volume.shape, volume.dtype) == ((24, 256, 256, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((24, 256, 256), np.uint8)
    assert set(np.unique(mask)) == {0, 255}


@every_phantom
def test_number_of_lesions(patient_id):
    _, mask = shipped(patient_id)
    _, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert count == LESIONS[patient_id]


@every_phantom
def test_lesion_is_bright_on_flair_and_dark_before_contrast(patient_id):
    volume, mask = shipped(patient_id)
    lesion = mask > 0
    planes = lesion.any((1, 2))
    volume, mask, lesion = volume[planes], mask[planes], lesion[planes]
    far, near = (np.stack([cv2.dilate(plane, np.ones((n, n))) for plane in mask]) > 0 for n in (61, 7))
    brain = far & ~near & (volume[..., FLAIR] > 25)  # tissue around the lesion
    ratio = [np.median(volume[lesion, c]) / np.median(volume[brain, c]) for c in (PRE_CONTRAST, FLAIR)]
    assert ratio[0] < 0.95
    assert 1.25 < ratio[1] < 2.0  # real patients: 1.2 to 2.1


@every_phantom
def test_background_is_dark_like_a_scanners(patient_id):
    volume, _ = shipped(patient_id)
    zero = (volume == 0).mean((0, 1, 2))
    assert (zero > 0.02).all() and (zero < 0.40).all()
    corners = np.concatenate([volume[:, :40, :40], volume[:, -40:, -40:]])
    assert np.percentile(corners, 99) <= 8


def test_only_the_fourth_lacks_post_contrast():
    lacking = [p for p in LESIONS if np.array_equal(shipped(p)[0][..., POST_CONTRAST], shipped(p)[0][..., FLAIR])]
    assert lacking == ["PHANTOM_ICBM_0004_20260104"]


def test_fifth_is_small_with_a_long_run_of_slices_without_lesion():
    _, mask = shipped("PHANTOM_ICBM_0005_20260105")
    runs, _ = ndimage.label(~mask.any((1, 2)))
    assert np.bincount(runs)[1:].max() >= 10
    sizes = {patient_id: int((shipped(patient_id)[1] > 0).sum()) for patient_id in LESIONS}
    assert min(sizes, key=sizes.__getitem__) == "PHANTOM_ICBM_0005_20260105"
    assert max(sizes, key=sizes.__getitem__) == "PHANTOM_ICBM_0002_20260102"


def test_no_two_are_alike():
    assert len({shipped(patient_id)[0].tobytes() for patient_id in LESIONS}) == 6
    assert len({shipped(patient_id)[1].tobytes() for patient_id in LESIONS}) == 6


@pytest.mark.skipif(importlib.util.find_spec("nilearn") is None, reason="needs nilearn to make a phantom anew")
def test_script_makes_the_shipped_pixels_again(tmp_path):
    patient_id = "PHANTOM_ICBM_0005_20260105"
    command = [sys.executable, DEMO / "make_phantoms.py", "--output", tmp_path, "--seed", "2026", "--only", patient_id]
    subprocess.run(command, check=True, capture_output=True)
    volume, mask = read(tmp_path / "kaggle_3m" / patient_id)
    # another processor or library version may round a few voxels to the neighbouring grey, 2 away
    difference = np.abs(volume.astype(int) - shipped(patient_id)[0])
    assert difference.max() <= 2 and (difference > 0).mean() < 1e-3
    assert (mask != shipped(patient_id)[1]).sum() <= 10
    assert (tmp_path / "kaggle_3m" / "data.csv").read_bytes() == (ROOT / "data.csv").read_bytes()
