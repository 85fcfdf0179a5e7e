"""One normalisation for every scanner, and masks that return to where they came from."""

import re

import numpy as np
import pytest

from unet.data.patients import list_patients, load_volume
from unet.letterbox import Letterbox
from unet.metrics import dice_score
from unet.preprocessing import head_mask, intensity_statistics, normalise

pytestmark = pytest.mark.quick


def disk(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return y**2 + x**2 < radius**2


INSIDE = disk(128, 45)


def head_in_air(noise: float) -> np.ndarray:
    """Three slices of a noisy disk with a bright lesion on FLAIR, in air of the given noise, uint8."""
    rng = np.random.default_rng(0)
    volume = noise * np.abs(rng.normal(size=(3, 128, 128, 3)))
    rng = np.random.default_rng(1)  # the same head whatever the air
    volume[:, INSIDE] = rng.normal(100, 15, (3, INSIDE.sum(), 3))
    volume[:, 50:66, 66:82, 1] += 90
    return np.clip(volume, 0, 255).astype(np.uint8)


# --- normalise


@pytest.mark.parametrize("gain, offset", [(1, 0), (0.25, 0), (40, 3)])
def test_head_has_mean_zero_and_deviation_one_whatever_the_unit(gain, offset):
    volume = head_in_air(4).astype(np.float32) * gain + offset
    normalised = normalise(volume)
    assert normalised.dtype == np.float32 and normalised.shape == (3, 128, 128, 3)
    inside = normalised[head_mask(volume)]
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(inside.std(axis=0), 1, atol=0.01)


def test_real_head_has_mean_zero_and_deviation_one(lgg_root):
    for patient in list_patients(lgg_root)[0]:
        images = load_volume(patient).images
        inside = normalise(images)[head_mask(images)]
        np.testing.assert_allclose(inside.mean(axis=0), 0, atol=0.02)
        np.testing.assert_allclose(inside.std(axis=0), 1, atol=0.02)


def test_each_channel_is_measured_by_itself():
    volume = head_in_air(4)
    darker = volume.copy()
    darker[..., 0] //= 4
    np.testing.assert_array_equal(normalise(volume)[..., 1:], normalise(darker)[..., 1:])
    assert np.abs(normalise(volume)[:, INSIDE, 0] - normalise(darker)[:, INSIDE, 0]).mean() < 0.1


@pytest.mark.parametrize("noise", [2, 5, 12, 20])
def test_noise_in_the_air_does_not_shift_the_brain(noise):
    # statistics over non-zero pixels shift this brain by about 1.0
    quiet, noisy = normalise(head_in_air(0))[:, INSIDE], normalise(head_in_air(noise))[:, INSIDE]
    np.testing.assert_allclose(np.median(noisy, axis=(0, 1)), np.median(quiet, axis=(0, 1)), atol=0.1)
    assert np.abs(noisy - quiet).max() < 0.15


@pytest.mark.parametrize("noise", [0, 5, 20])
def test_head_mask_finds_the_head(noise):
    found = head_mask(head_in_air(noise))
    assert found.shape == (3, 128, 128) and found.dtype == bool
    for slice_ in found:
        assert dice_score(slice_, INSIDE) > 0.97


def test_head_mask_of_a_constant_picture_is_empty():
    assert not head_mask(np.full((2, 16, 16, 3), 50, np.uint8)).any()


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_channel_becomes_zero(value):
    volume = head_in_air(4)
    volume[..., 2] = value
    normalised = normalise(volume)
    assert np.isfinite(normalised).all()
    assert not normalised[..., 2].any()
    assert normalised[..., 1].std() > 0.5


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_volume_becomes_zero(value):
    np.testing.assert_array_equal(normalise(np.full((1, 32, 32, 3), value, np.uint8)), 0)


def test_degenerate_slice_is_bounded():
    slice_ = np.full((1, 100, 100, 3), 100, np.float32)
    slice_[0, 0, :, 0] = 255  # 1 % of a channel: ten deviations above the rest
    normalised = normalise(slice_)[..., 0]
    assert normalised.max() == 5.0
    assert -0.2 < normalised.min() < 0
    one_pixel = np.full((1, 64, 64, 3), 10, np.uint8)
    one_pixel[0, 3, 3] = 11
    np.testing.assert_array_equal(normalise(one_pixel), 0)


def test_given_statistics_are_used_for_a_slice():
    volume = head_in_air(4)
    statistics = intensity_statistics(volume)
    np.testing.assert_array_equal(normalise(volume[1], statistics), normalise(volume)[1])
    foreign = normalise(np.full((8, 8, 3), 100_000, np.float32), statistics)
    assert np.isfinite(foreign).all() and foreign.max() <= 5


def test_normalise_does_not_change_its_input():
    volume = head_in_air(4).astype(np.float32)
    before = volume.copy()
    statistics = intensity_statistics(volume)
    normalise(volume)
    normalise(volume[0], statistics)
    np.testing.assert_array_equal(volume, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_raise(bad):
    volume = np.ones((1, 8, 8, 3), np.float32)
    volume[0, 2, 2, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        normalise(volume)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (2, 8, 8, 1), (2, 8, 8, 4), (1, 2, 8, 8, 3)])
def test_wrong_shape_raises_and_says_both(shape):
    with pytest.raises(ValueError, match=re.escape("expected (slices, height, width, 3)")) as raised:
        normalise(np.zeros(shape, np.float32))
    assert str(shape) in str(raised.value)


# --- Letterbox

SHAPES = [
    (256, 256, 128),
    (256, 256, 192),
    (240, 240, 256),
    (512, 512, 256),
    (255, 257, 256),
    (37, 61, 64),
    (61, 37, 64),
    (100, 200, 64),
    (300, 90, 128),
    (640, 480, 256),
    (513, 767, 256),
    (1000, 30, 256),
]


@pytest.mark.parametrize("height, width, size", SHAPES)
def test_lesion_returns_to_where_it_was_drawn(height, width, size):
    mask = np.zeros((height, width), np.float32)
    mask[height // 4 : height // 4 + height // 3, width // 3 : width // 3 + width // 3] = 1
    letterbox = Letterbox(height, width, size)
    laid = letterbox.forward(mask)
    assert laid.shape == (size, size)
    returned = letterbox.inverse(laid) >= 0.5
    assert returned.shape == (height, width)
    assert dice_score(returned, mask) >= 0.98


@pytest.mark.parametrize(
    "height, width, size, rows, columns",
    [
        (256, 256, 256, slice(0, 256), slice(0, 256)),
        (128, 128, 256, slice(0, 256), slice(0, 256)),
        (512, 512, 256, slice(0, 256), slice(0, 256)),
        (100, 200, 64, slice(16, 48), slice(0, 64)),
        (200, 100, 64, slice(0, 64), slice(16, 48)),
        (63, 64, 64, slice(0, 63), slice(0, 64)),
        (1, 640, 64, slice(31, 32), slice(0, 64)),
    ],
)
def test_picture_is_centred_without_distortion(height, width, size, rows, columns):
    laid = Letterbox(height, width, size).forward(np.ones((height, width), np.float32) * 3 + np.eye(height, width))
    inside = np.zeros((size, size), bool)
    inside[rows, columns] = True
    letterbox = Letterbox(height, width, size)
    marked = np.zeros((size, size), np.float32)
    marked[inside] = 1
    assert laid.shape == (size, size)
    assert (letterbox.top, letterbox.left) == (rows.start, columns.start)
    assert letterbox.scaled == (rows.stop - rows.start, columns.stop - columns.start)
    np.testing.assert_array_equal(
        letterbox.inverse(marked), 1
    )  # all of the inside and nothing of the border comes back


@pytest.mark.parametrize("height, width", [(64, 64), (64, 30), (31, 64), (64, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_round_trip_without_scaling_is_exact(height, width, dtype, channels):
    image = np.random.default_rng(0).integers(0, 256, (height, width, *channels)).astype(dtype)
    before = image.copy()
    letterbox = Letterbox(height, width, 64)
    laid = letterbox.forward(image)
    assert laid.shape == (64, 64, *channels) and laid.dtype == dtype
    np.testing.assert_array_equal(letterbox.inverse(laid), image)
    np.testing.assert_array_equal(image, before)


def test_border_repeats_the_darkest_value_of_each_channel():
    image = np.full((32, 64, 3), (5.0, 6.0, 7.0), np.float32)
    image[3, 3] = -1, 2, -3
    laid = Letterbox(32, 64, 64).forward(image)
    np.testing.assert_array_equal(laid[:16], np.broadcast_to(np.array([-1, 2, -3], np.float32), (16, 64, 3)))
    np.testing.assert_array_equal(laid[48:], np.broadcast_to(np.array([-1, 2, -3], np.float32), (16, 64, 3)))
    np.testing.assert_array_equal(laid[16:48], image)


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((256, 256), np.float32)
    stripes[::4] = 1
    np.testing.assert_allclose(Letterbox(256, 256, 64).forward(stripes), 0.25, atol=1e-6)
