"""What is unlike the training set is said; phantoms, which are like it, are not."""

from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.scans.domain_check import compare, training_ranges, warnings_of
from unet.scans.scan import Scan


@pytest.fixture(scope="module")
def phantoms():
    return [load_volume(patient) for patient in list_patients(DEMO_FOLDER)[0][:3]]


def warned(volume) -> set[str]:
    return {finding.name for finding in compare(volume) if finding.warning}


def test_phantoms_look_familiar(phantoms):
    assert [warned(phantom) for phantom in phantoms] == [set()] * 3


def test_a_single_slice_looks_familiar(phantoms):
    assert warned(replace(phantoms[0], images=phantoms[0].images[12:13])) == set()


def test_an_inverted_picture_is_told(phantoms):
    assert "Bright rim of the picture" in warned(replace(phantoms[0], images=255 - phantoms[0].images))


def test_a_head_on_its_side_is_told(phantoms):
    turned = np.ascontiguousarray(np.rot90(phantoms[0].images, axes=(1, 2)))
    assert "Height to width of the head" in warned(replace(phantoms[0], images=turned))


def test_a_sagittal_slice_is_told_without_a_header(phantoms):
    images = phantoms[0].images
    cuts = [np.repeat(images[::-1, :, column], 6, axis=0) for column in range(100, 160, 10)]  # slices lie 6 mm apart
    sagittal = np.pad(np.stack(cuts), ((0, 0), (56, 56), (0, 0), (0, 0)))
    assert "Height to width of the head" in warned(replace(phantoms[0], images=sagittal))


def test_a_photo_is_told(phantoms):
    path = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    photo = cv2.imread(str(path))  # BGR
    assert photo is not None
    assert "Bright rim of the picture" in warned(replace(phantoms[0], images=photo[np.newaxis, ..., ::-1]))


def test_noise_is_told(phantoms):
    noise = np.random.default_rng(0).integers(0, 255, (1, 256, 256, 3), np.uint8)
    assert {"Roughness", "Symmetry of left and right"} <= warned(replace(phantoms[0], images=noise))


def test_an_empty_picture_is_told(phantoms):
    empty = replace(phantoms[0], images=np.zeros((2, 64, 64, 3), np.uint8))
    assert warned(empty) == {"Share of the picture filled by the head"}


def test_headers_are_believed():
    voxels = np.zeros((1, 16, 16, 1), np.float32)
    ct = Scan("a", "DICOM", voxels, ("a",), 12, modality="CT", plane="sagittal")
    assert warnings_of([], ct) == [
        "The header says CT, not MR. The network was trained on MRI only.",
        "These are sagittal slices. The network was trained on axial slices only.",
    ]
    assert warnings_of([], replace(ct, modality="MR", plane="axial")) == []


def test_ranges_are_of_every_measure(phantoms):
    assert len(training_ranges()) == len(compare(phantoms[0])) == 9
    assert all(low < high for low, high in training_ranges().values())
