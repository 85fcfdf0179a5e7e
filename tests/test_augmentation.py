"""Image and mask move together, chance comes from one generator, and nothing is changed in place."""

from dataclasses import replace

import numpy as np
import pytest

from unet.letterbox import Letterbox
from unet.metrics import dice_score
from unet.preprocessing import IntensityStatistics, intensity_statistics, normalise
from unet.training.augmentation import NO_AUGMENTATION, Augmentation, augment

pytestmark = pytest.mark.quick

PLAIN = IntensityStatistics(*(np.full(3, value, np.float32) for value in (0, 255, 0, 100)))  # 200 becomes 2.0


def lesion_slice(size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A slice that is 200 where its lopsided mask is 1, and 0 elsewhere."""
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 5 : size // 2] = 1
    mask[size // 2 : 3 * size // 4, size // 5 : size // 4] = 1
    return np.repeat(mask[..., np.newaxis] * np.uint8(200), 3, axis=-1), mask


def noisy_head(size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    image, mask = lesion_slice(size)
    image = image // 3 + rng.integers(0, 4, image.shape, np.uint8)
    image[10:-10, 20:-20] += rng.integers(60, 120, image[10:-10, 20:-20].shape, np.uint8)
    return image, mask


GEOMETRY = replace(NO_AUGMENTATION, flip=0.5, rotation=15, zoom=(0.85, 1.15), shift=0.06)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [128, 96])
def test_image_and_mask_move_together(seed, size):
    image, mask = lesion_slice()
    moved_image, moved_mask = augment(image, mask, PLAIN, size, GEOMETRY, np.random.default_rng(seed))
    assert moved_mask.any()
    for channel in range(3):
        assert dice_score(moved_image[..., channel] >= 1.0, moved_mask) > 0.99
    assert dice_score(moved_mask, Letterbox(128, 128, size).forward(mask)) < 0.97  # it did move


def test_shapes_and_values():
    image, mask = noisy_head()
    slice_, moved = augment(
        image, mask, intensity_statistics(image[None]), 64, Augmentation(), np.random.default_rng(0)
    )
    assert slice_.shape == (64, 64, 3) and slice_.dtype == np.float32
    assert moved.shape == (64, 64) and moved.dtype == np.float32
    assert set(np.unique(moved)) == {0.0, 1.0}


def test_same_generator_gives_the_same_example():
    image, mask = noisy_head()
    statistics = intensity_statistics(image[None])

    def example(seed):
        return augment(image, mask, statistics, 64, Augmentation(), np.random.default_rng(seed))

    for first, second, other in zip(example(5), example(5), example(6), strict=True):
        np.testing.assert_array_equal(first, second)
        assert (first != other).any()


def test_input_is_not_changed():
    image, mask = noisy_head()
    before = image.copy(), mask.copy()
    statistics = intensity_statistics(image[None])
    for seed in range(10):
        augment(image, mask, statistics, 64, replace(Augmentation(), missing=1), np.random.default_rng(seed))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("size", [128, 96, 64])
@pytest.mark.parametrize("height, width", [(128, 128), (128, 64), (64, 128)])
def test_no_augmentation_is_what_evaluation_does(size, height, width):
    image, mask = noisy_head()
    image, mask = image[:height, :width], mask[:height, :width]
    statistics = intensity_statistics(image[None])
    slice_, laid = augment(image, mask, statistics, size, NO_AUGMENTATION, np.random.default_rng(0))
    letterbox = Letterbox(height, width, size)
    expected = letterbox.forward(normalise(image, statistics))
    inside = (
        slice(letterbox.top + 1, letterbox.top + letterbox.scaled[0] - 1),
        slice(letterbox.left + 1, letterbox.left + letterbox.scaled[1] - 1),
    )
    np.testing.assert_allclose(slice_[inside], expected[inside], atol=1e-3)
    assert dice_score(laid, letterbox.forward(mask.astype(np.float32)) >= 0.5) > 0.99


def test_flip_mirrors_left_and_right():
    image, mask = lesion_slice()
    always = replace(NO_AUGMENTATION, flip=1)
    slice_, moved = augment(image, mask, PLAIN, 128, always, np.random.default_rng(0))
    np.testing.assert_array_equal(moved, mask[:, ::-1])
    np.testing.assert_allclose(slice_, image[:, ::-1] / np.float32(100), atol=1e-5)

    half = replace(NO_AUGMENTATION, flip=0.5)
    flipped = [augment(image, mask, PLAIN, 128, half, np.random.default_rng(s))[1] for s in range(200)]
    assert 70 <= sum(np.array_equal(one, mask[:, ::-1]) for one in flipped) <= 130


def orientation(mask: np.ndarray) -> float:
    """Angle of a mask's long axis against the vertical, degrees."""
    y, x = np.nonzero(mask)
    values, vectors = np.linalg.eigh(np.cov(x, y))
    along = vectors[:, values.argmax()]
    return float(np.rad2deg(np.arctan(along[0] / along[1])))


def test_rotation_turns_both_ways_up_to_its_limit():
    mask = np.zeros((128, 128), np.uint8)
    mask[24:104, 60:68] = 1
    image = np.repeat(mask[..., None], 3, axis=-1)
    turning = replace(NO_AUGMENTATION, rotation=15)
    angles = [
        orientation(augment(image, mask, PLAIN, 128, turning, np.random.default_rng(seed))[1]) for seed in range(60)
    ]
    assert -15.5 < min(angles) < -12 and 12 < max(angles) < 15.5


def test_zoom_and_shift_change_size_and_place():
    mask = np.zeros((128, 128), np.uint8)
    mask[48:80, 48:80] = 1
    image = np.repeat(mask[..., None], 3, axis=-1)

    def masks(**changes):
        settings = replace(NO_AUGMENTATION, **changes)
        return [augment(image, mask, PLAIN, 128, settings, np.random.default_rng(seed))[1] for seed in range(60)]

    sides = [np.sqrt(one.sum()) for one in masks(zoom=(0.5, 1.5))]
    assert 15 <= min(sides) < 20 and 44 < max(sides) <= 49
    rows = [np.nonzero(one)[0].mean() for one in masks(shift=0.1)]  # 12.8 pixels from 63.5
    assert 50 <= min(rows) < 54 and 73 < max(rows) <= 77
    assert {int(one.sum()) for one in masks(shift=0.1)} <= set(range(31 * 31, 33 * 33 + 1))


def test_gamma_bends_between_the_clipping_bounds():
    image = np.full((16, 16, 3), 51, np.uint8)  # a fifth of 255
    image[0], image[1] = 0, 255
    mask = np.zeros((16, 16), np.uint8)
    settings = replace(NO_AUGMENTATION, gamma=(2, 2))
    slice_, _ = augment(image, mask, PLAIN, 16, settings, np.random.default_rng(0))
    np.testing.assert_allclose(slice_[5, 5], 0.102, atol=1e-3)  # 255 × 0.2² / 100
    np.testing.assert_allclose(slice_[0, 5], 0, atol=1e-3)
    np.testing.assert_allclose(slice_[1, 5], 2.55, atol=1e-3)


def test_missing_sequences_become_flair():
    image = np.zeros((16, 16, 3), np.uint8)
    image[...] = 50, 100, 150
    mask = np.zeros((16, 16), np.uint8)
    settings = replace(NO_AUGMENTATION, missing=1)
    seen = [
        tuple(augment(image, mask, PLAIN, 16, settings, np.random.default_rng(seed))[0][8, 8].round(2).tolist())
        for seed in range(200)
    ]
    assert set(seen) == {(0.5, 1.0, 1.0), (1.0, 1.0, 1.0)}
    assert 90 <= seen.count((1.0, 1.0, 1.0)) <= 150  # 60 %


def test_each_channel_has_its_own_gamma():
    image = np.full((16, 16, 3), 51, np.uint8)
    settings = replace(NO_AUGMENTATION, gamma=(0.5, 2))
    slice_, _ = augment(image, np.zeros((16, 16), np.uint8), PLAIN, 16, settings, np.random.default_rng(0))
    assert len(set(slice_[5, 5].round(3).tolist())) == 3
    assert slice_.min() >= 0.1 and slice_.max() <= 1.15  # 255 × 0.2² / 100 and 255 × 0.2^0.5 / 100


def test_bias_is_a_smooth_gain_that_leaves_black_black():
    image = np.full((64, 64, 3), 100, np.uint8)
    image[:8] = 0
    mask = np.zeros((64, 64), np.uint8)
    settings = replace(NO_AUGMENTATION, bias=0.3)
    spreads = []
    for seed in range(40):
        slice_, moved = augment(image, mask, PLAIN, 64, settings, np.random.default_rng(seed))
        assert not moved.any() and slice_.dtype == np.float32
        np.testing.assert_allclose(slice_[:7], 0, atol=1e-6)
        gain = np.log(slice_[9:])
        assert np.abs(np.diff(gain, axis=1)).max() < 0.1  # no edges
        spreads.append(np.ptp(gain, axis=(0, 1)))
    assert 0.2 < np.mean(spreads) < 0.6
    assert max(map(max, spreads)) > 0.6
    strengths = np.array(spreads)
    assert (strengths.max(axis=1) / strengths.min(axis=1) > 1.5).mean() > 0.5  # channels differ


def test_bias_counts_from_the_scanners_zero():
    image, mask = noisy_head()
    statistics = intensity_statistics(image[None])
    settings = replace(NO_AUGMENTATION, bias=0.3)
    lit, _ = augment(image, mask, statistics, 128, settings, np.random.default_rng(3))
    plain, _ = augment(image, mask, statistics, 128, NO_AUGMENTATION, np.random.default_rng(3))
    zero = -statistics.mean / statistics.std
    unclipped = (np.abs(lit) < 5).all(axis=-1)
    ratio = ((lit - zero) / np.maximum(plain - zero, 0.05))[unclipped & (image.min(axis=-1) > 60)]
    assert 0.3 < ratio.min() < 0.99 or 1.01 < ratio.max() < 3
    assert ratio.min() > 0.2 and ratio.max() < 4


@pytest.mark.parametrize("contrast, air", [(1, -2.0), (0.75, -1.5), (1.25, -2.5)])
def test_bias_leaves_air_as_dark_as_the_contrast_made_it(contrast, air):
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = 150
    statistics = IntensityStatistics(*(np.full(3, value, np.float32) for value in (0, 255, 100, 50)))  # 0 becomes -2.0
    settings = replace(NO_AUGMENTATION, bias=0.4, contrast=(contrast, contrast))
    for seed in range(10):
        slice_, _ = augment(image, np.zeros((64, 64), np.uint8), statistics, 64, settings, np.random.default_rng(seed))
        np.testing.assert_allclose(slice_[:15], air, atol=1e-5)
        assert np.ptp(slice_[20:44, 20:44], axis=(0, 1)).max() > 0.01  # and the head is lit


def test_missing_sequences_are_flair_to_the_last_bit_as_in_the_data_set():
    image, mask = noisy_head()
    statistics = IntensityStatistics(
        np.array([0, 0, 0], np.float32),
        np.array([200, 255, 180], np.float32),
        np.array([90, 60, 40], np.float32),
        np.array([50, 40, 30], np.float32),
    )
    settings = replace(Augmentation(), missing=1, own_statistics=0)
    for seed in range(20):
        slice_, _ = augment(image, mask, statistics, 64, settings, np.random.default_rng(seed))
        np.testing.assert_array_equal(slice_[..., 2], slice_[..., 1])


def test_noise_is_added_and_bounded():
    image = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    deviations = [
        augment(image, mask, PLAIN, 64, replace(NO_AUGMENTATION, noise=0.15), np.random.default_rng(seed))[0].std()
        for seed in range(40)
    ]
    assert max(deviations) < 0.16
    assert 0.05 < np.mean(deviations) < 0.1


def test_own_statistics_forget_the_volume():
    image, mask = noisy_head()
    settings = replace(NO_AUGMENTATION, own_statistics=1)
    by_itself, _ = augment(image, mask, PLAIN, 128, settings, np.random.default_rng(0))
    np.testing.assert_allclose(by_itself, normalise(image[None])[0], atol=1e-4)


def test_values_stay_within_five_deviations():
    image, mask = noisy_head()
    narrow = IntensityStatistics(*(np.full(3, value, np.float32) for value in (0, 255, 100, 1)))
    slice_, _ = augment(image, mask, narrow, 64, Augmentation(own_statistics=0), np.random.default_rng(0))
    assert (slice_.min(), slice_.max()) == (-5, 5)


def test_bending_moves_image_and_mask_together():
    bending = replace(NO_AUGMENTATION, elastic=0.03)
    image, mask = lesion_slice()
    overlaps = []
    for seed in range(30):
        bent_image, bent_mask = augment(image, mask, PLAIN, 128, bending, np.random.default_rng(seed))
        assert dice_score(bent_image[..., 1] >= 1.0, bent_mask) > 0.99
        overlaps.append(dice_score(bent_mask, mask))
    assert 0.6 < min(overlaps) < 0.9  # it did move
    assert np.mean(overlaps) > 0.8


def test_contrast_scales_each_channel_around_its_mean():
    image = np.full((16, 16, 3), 120, np.uint8)
    shifted = IntensityStatistics(*(np.full(3, value, np.float32) for value in (0, 255, 100, 10)))  # 120 becomes 2.0
    settings = replace(NO_AUGMENTATION, contrast=(0.75, 1.25))
    drawn = np.array([
        augment(image, np.zeros((16, 16), np.uint8), shifted, 16, settings, np.random.default_rng(seed))[0][8, 8]
        for seed in range(40)
    ])  # fmt: skip
    assert 1.5 <= drawn.min() < 1.6 and 2.4 < drawn.max() <= 2.5
    assert (np.ptp(drawn, axis=1) > 0.05).mean() > 0.9


def test_blur_softens_edges_and_keeps_the_mask():
    image, mask = lesion_slice()
    plain, expected = augment(image, mask, PLAIN, 128, NO_AUGMENTATION, np.random.default_rng(0))
    steepest = []
    for seed in range(30):
        slice_, moved = augment(
            image, mask, PLAIN, 128, replace(NO_AUGMENTATION, blur=0.01), np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(moved, expected)
        assert slice_.sum() == pytest.approx(plain.sum(), rel=1e-3)
        steepest.append(np.abs(np.diff(slice_[..., 0], axis=1)).max())
    assert max(steepest) == pytest.approx(2.0, abs=0.2)  # hardly any
    assert min(steepest) < 0.8  # 128 × 0.01 pixels: an edge of 2 falls to 2 / (σ √(2π))
