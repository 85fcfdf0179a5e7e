"""Where the head lies on the T1 series, seen from FLAIR, in phantoms that were moved by known amounts."""

import numpy as np
import pytest

from tests.measure_movement import moved
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.volume import POST_CONTRAST, PRE_CONTRAST, Geometry, Volume
from unet.scans.movement import Displacement, apart, displacement, moved_onto_flair, say_apart

pytestmark = pytest.mark.quick
RIGHT, DOWN = 0.0, np.pi / 2  # directions


@pytest.fixture(scope="module")
def phantom() -> np.ndarray:
    """Twelve slices of a phantom, (12, 256, 256, 3)."""
    return load_volume(list_patients(DEMO_FOLDER)[0][4]).images[8:20].astype(np.float32)


def shifted(phantom: np.ndarray, movement: tuple[int, int, int], direction: float = RIGHT, which: int = PRE_CONTRAST):
    images = phantom.copy()
    images[..., which] = moved(images[..., which], movement, direction)
    return images


def volume_of(images: np.ndarray, spacing: tuple[float, float, float] | None = None) -> Volume:
    nothing = np.zeros(images.shape[:3], np.uint8)
    count = len(images)
    geometry = Geometry(spacing=spacing)
    return Volume("a", images, nothing, np.zeros(count, bool), np.arange(count), geometry=geometry)


def test_a_head_that_stayed_has_no_displacement(phantom):
    assert displacement(phantom, PRE_CONTRAST) == Displacement()
    assert displacement(phantom, POST_CONTRAST) == Displacement()


def test_a_copy_of_flair_has_not_moved(phantom):
    images = phantom.copy()
    images[..., PRE_CONTRAST] = images[..., 1]
    assert displacement(images, PRE_CONTRAST) == Displacement()


@pytest.mark.parametrize(
    ("direction", "row", "column"), [(RIGHT, 0, 8), (DOWN, 8, 0), (np.pi, 0, -8), (-np.pi / 2, -8, 0)]
)
def test_a_move_in_the_slice_is_measured_with_its_direction(phantom, direction, row, column):
    found = displacement(shifted(phantom, (8, 0, 0), direction), PRE_CONTRAST)
    assert (found.rows, found.columns, found.degrees, found.slices) == (row, column, 0, 0)
    assert found.distance == pytest.approx(4.0)  # of 128 pixels
    assert found.moved


@pytest.mark.parametrize("degrees", [6, -6])
def test_a_turn_is_measured(phantom, degrees):
    found = displacement(shifted(phantom, (0, degrees, 0)), PRE_CONTRAST)
    assert found.degrees == degrees
    assert found.moved


@pytest.mark.parametrize("slices", [1, -1])
def test_a_shift_across_slices_is_measured(phantom, slices):
    found = displacement(shifted(phantom, (0, 0, slices)), PRE_CONTRAST)
    assert (found.slices, found.moved) == (slices, True)


def test_a_small_move_is_left_alone(phantom):
    assert not displacement(shifted(phantom, (2, 0, 0)), PRE_CONTRAST).moved


def test_one_slice_and_other_sizes_are_measured(phantom):
    wide = np.pad(shifted(phantom, (0, 0, 0))[5:6], ((0, 0), (0, 0), (60, 60), (0, 0)))
    wide[..., POST_CONTRAST] = moved(wide[..., POST_CONTRAST], (12, 0, 0), DOWN)
    found = displacement(wide, POST_CONTRAST)
    assert found.rows == pytest.approx(12, abs=3)
    assert found.moved and not displacement(wide, PRE_CONTRAST).moved


@pytest.mark.parametrize("images", [np.zeros((3, 64, 64, 3)), np.arange(64.0)[:, None, None] * np.ones((2, 64, 64, 3))])
def test_pictures_without_edges_have_no_displacement(images):
    images = images + np.arange(3.0)
    assert apart(volume_of(images.astype(np.float32))) == {}


def test_what_is_said_has_millimetres_only_from_a_header(phantom):
    images = shifted(phantom, (8, 6, 1))
    found = apart(volume_of(images))
    assert list(found) == [PRE_CONTRAST]
    assert say_apart(found, volume_of(images)) == [
        "The head lies elsewhere on pre-contrast than on FLAIR, about 8 pixels, turned by about 6°, "
        "about 1 slice up or down: the patient may have moved."
    ]
    assert "about 16 mm, turned by about 6°, about 5 mm up or down" in say_apart(found, volume_of(images, (5, 2, 2)))[0]


@pytest.mark.parametrize("movement", [(8, 0, 0), (0, 6, 0), (12, 6, 1)])
def test_moved_back_is_where_it_was(phantom, movement):
    volume = volume_of(shifted(phantom, movement, DOWN))
    before = volume.images.copy()
    aligned, said = moved_onto_flair(volume)
    np.testing.assert_array_equal(volume.images, before)
    assert len(said) == 1 and said[0].startswith("Moved onto FLAIR: pre-contrast, ")
    np.testing.assert_array_equal(aligned.images[..., 1:], before[..., 1:])
    inside = np.s_[2:-2, 60:-60, 60:-60, PRE_CONTRAST]
    assert np.corrcoef(aligned.images[inside].ravel(), phantom[inside].ravel())[0, 1] > 0.9
    assert np.corrcoef(before[inside].ravel(), phantom[inside].ravel())[0, 1] < 0.8
    assert apart(aligned) == {}


def test_what_has_not_moved_is_left_as_it_is(phantom):
    volume = volume_of(phantom)
    aligned, said = moved_onto_flair(volume)
    assert aligned is volume and said == []
