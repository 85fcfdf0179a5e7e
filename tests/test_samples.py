"""The samples of the upload page are read as their labels say."""

import numpy as np
import pytest

from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST
from unet.scans.assemble import build_volume
from unet.scans.mapping import doubt, suggest, suggest_mask
from unet.scans.movement import apart
from unet.scans.reader import read_files
from unet.scans.samples import SAMPLES

pytestmark = pytest.mark.quick
BY_KEY = {sample.key: sample for sample in SAMPLES}


@pytest.fixture(scope="module")
def read():
    """A function that returns the scans and the volume of a sample, read once."""
    kept = {}

    def opened(key: str):
        if key not in kept:
            scans, problems = read_files(BY_KEY[key].make())
            assert problems == []
            [mapping] = suggest(scans)
            assert doubt(scans, mapping) == ""
            assert None not in mapping
            volume, notes = build_volume(scans, mapping, suggest_mask(scans, mapping[FLAIR]))
            assert notes == []
            kept[key] = scans, volume
        return kept[key]

    return opened


@pytest.mark.parametrize("key", BY_KEY)
def test_files_are_small_and_called_phantoms(key):
    files = BY_KEY[key].make()
    assert sum(len(content) for _, content in files) < 5_000_000
    assert all(name.startswith("phantom_") for name, _ in files)


def test_the_study_is_three_series_with_millimetres(read):
    scans, volume = read("dicom")
    assert [scan.name for scan in scans] == ["Ax T1", "Ax T2 FLAIR", "Ax T1 +C"]
    assert volume.geometry.spacing == (6.0, 0.92, 0.92)
    assert volume.geometry.edges == ("R", "L", "A", "P")
    np.testing.assert_array_equal(volume.images, load_volume(list_patients(DEMO_FOLDER)[0][1]).images * 8.0)


def test_nifti_comes_with_its_mask(read):
    _, volume = read("nifti")
    assert volume.has_mask.all()
    assert volume.expected_mask.sum() == 8_101  # of demo/README.md


def test_pictures_are_one_slice(read):
    scans, volume = read("png")
    assert [scan.file_format for scan in scans] == ["PNG"] * 3
    assert volume.images.shape == (1, 256, 256, 3)


def test_only_the_sample_that_moved_has_moved(read):
    assert set(apart(read("moved")[1])) == {PRE_CONTRAST, POST_CONTRAST}
    for key in ("dicom", "nifti", "png", "stripped"):
        assert apart(read(key)[1]) == {}


def test_the_stripped_head_is_black_around_the_brain(read):
    _, volume = read("stripped")
    assert (volume.images[:, :20] == 0).all() and (volume.images[:, :, :20] == 0).all()
    whole = load_volume(list_patients(DEMO_FOLDER)[0][1])
    lesion = whole.expected_mask[8:20] > 0
    assert (volume.images[lesion] > 0).all(axis=-1).mean() > 0.99
