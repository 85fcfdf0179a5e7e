"""Fixtures that several test files share: small folders in the Kaggle layout, and a few real patients."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKED = PROJECT.parent / "shared" / "lgg"
REAL_PATIENTS = ("TCGA_CS_4941_19960909", "TCGA_HT_A616_19991226")  # 23 slices; 28 slices with FLAIR only


@pytest.fixture(autouse=True)
def own_main_module(monkeypatch):
    """Put `__main__` back after a test: Streamlit's AppTest leaves the page there, and processes that a later test
    starts would run that page as theirs."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def write_patient():
    """A function that writes a case folder; images are RGB, masks 0 or 255, both keyed by slice number."""

    def write(root: Path, patient_id: str, images: dict[int, np.ndarray], masks: dict[int, np.ndarray]) -> Path:
        folder = root / patient_id
        folder.mkdir(parents=True)
        for number, image in images.items():
            assert cv2.imwrite(str(folder / f"{patient_id}_{number}.tif"), np.ascontiguousarray(image[..., ::-1]))
        for number, mask in masks.items():
            assert cv2.imwrite(str(folder / f"{patient_id}_{number}_mask.tif"), mask)
        return folder

    return write


@pytest.fixture
def write_tiny_patient(write_patient):
    """A function that writes a case folder of 16 × 16 noise; every slice has a mask with a 4 × 4 lesion."""

    def write(root: Path, patient_id: str, numbers=(1, 2, 3)) -> Path:
        rng = np.random.default_rng(1)
        mask = np.zeros((16, 16), np.uint8)
        mask[4:8, 4:8] = 255
        images = {number: rng.integers(0, 256, (16, 16, 3), np.uint8) for number in numbers}
        return write_patient(root, patient_id, images, dict.fromkeys(numbers, mask))

    return write


@pytest.fixture(scope="session")
def lgg_root(tmp_path_factory) -> Path:
    """Two patients of the real data set, unpacked into the Kaggle layout."""
    if not (PACKED / "unpack.py").exists():
        pytest.skip(f"the packed data set is not beside the project, in {PACKED}")
    destination = tmp_path_factory.mktemp("lgg")
    chosen = [word for patient_id in REAL_PATIENTS for word in ("--patient", patient_id)]
    command = [sys.executable, PACKED / "unpack.py", destination, *chosen]
    subprocess.run(command, check=True, capture_output=True)
    return destination / "kaggle_3m"
