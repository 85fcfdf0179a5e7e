"""Changes to a slice and to a mask, with the numbers worked out by hand."""

import numpy as np
import pytest

from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST
from unet.lessons.perturbation import Change, grown, half_as_wide, shifted
from unet.preprocessing import IntensityStatistics, intensity_statistics, normalise

pytestmark = pytest.mark.quick

IMAGE = np.random.default_rng(0).integers(0, 200, (32, 48, 3), np.uint8)
STATISTICS = IntensityStatistics(
    np.array([1, 2, 3], np.float32),
    np.array([150, 160, 170], np.float32),
    np.array([50, 60, 70], np.float32),
    np.array([10, 20, 30], np.float32),
)


def test_no_change_changes_nothing():
    image, statistics = Change().image(IMAGE, STATISTICS)
    assert (image == IMAGE).all()
    assert (statistics.mean == STATISTICS.mean).all()
    assert Change().mask(np.eye(4)).tolist() == np.eye(4).tolist()


@pytest.mark.parametrize(
    "change",
    [Change(copied=(0, 1)), Change(brightness=2), Change(mirrored=True, angle=30), Change(noise=1, patch=(5, 5, 4))],
)
def test_the_slice_itself_is_left_as_it_was(change):
    image, low = IMAGE.copy(), STATISTICS.low.copy()
    change.image(image, STATISTICS)
    assert (image == IMAGE).all()
    assert (STATISTICS.low == low).all()


def test_a_copied_sequence_is_normalised_like_its_source():
    image, statistics = Change(copied=(POST_CONTRAST, FLAIR)).image(IMAGE, STATISTICS)
    assert (image[..., POST_CONTRAST] == IMAGE[..., FLAIR]).all()
    assert (image[..., PRE_CONTRAST] == IMAGE[..., PRE_CONTRAST]).all()
    assert statistics.mean.tolist() == [50, 60, 60]
    assert statistics.std.tolist() == [10, 20, 20]
    normalised = normalise(image, statistics)
    assert (normalised[..., POST_CONTRAST] == normalised[..., FLAIR]).all()


def test_brightness_and_contrast():
    pixel = np.array([[[50, 80, 70]]], np.float32)
    assert Change(brightness=2).image(pixel, STATISTICS)[0].tolist() == [[[100, 160, 140]]]
    assert Change(contrast=2).image(pixel, STATISTICS)[0].tolist() == [[[50, 100, 70]]]


def test_normalising_after_takes_brightness_and_contrast_out():
    volume = np.random.default_rng(1).gamma(2, 30, (3, 32, 32, 3)).astype(np.float32)
    measured = intensity_statistics(volume)
    change = Change(brightness=1.5, contrast=0.7, normalised_after=True)
    image, statistics = change.image(volume[1], measured)
    assert np.abs(normalise(image, statistics) - normalise(volume[1], measured)).max() < 1e-4
    # and these are the numbers that measuring the changed volume gives
    whole = np.stack([change.image(slice_, measured)[0] for slice_ in volume])
    again = intensity_statistics(whole)
    for name in ("low", "high", "mean", "std"):
        assert np.allclose(getattr(again, name), getattr(statistics, name), rtol=1e-3), name


def test_a_patch_has_the_mean_of_the_head():
    image, _ = Change(patch=(10, 20, 4)).image(IMAGE, STATISTICS)
    assert (image[8:12, 18:22] == [50, 60, 70]).all()
    assert (image[12:] == IMAGE[12:]).all()
    corner, _ = Change(patch=(0, 0, 6)).image(IMAGE, STATISTICS)
    assert (corner[:3, :3] == [50, 60, 70]).all()
    assert (corner[3:] == IMAGE[3:]).all()


def test_noise_is_the_same_each_time_and_as_strong_as_asked():
    noisy, _ = Change(noise=0.5).image(np.zeros((100, 100, 3)), STATISTICS)
    assert (noisy == Change(noise=0.5).image(np.zeros((100, 100, 3)), STATISTICS)[0]).all()
    assert noisy.std(axis=(0, 1)) == pytest.approx([5, 10, 15], rel=0.03)


def test_slice_and_mask_move_together():
    mask = np.zeros((33, 33), np.uint8)
    mask[4:8, 20:26] = 1
    image = np.repeat(mask[..., np.newaxis] * np.uint8(100), 3, axis=-1)
    for change in (Change(mirrored=True), Change(angle=90), Change(mirrored=True, angle=-45)):
        moved, _ = change.image(image, STATISTICS)
        assert ((moved[..., 0] > 50) == change.mask(mask).astype(bool)).mean() > 0.99
    assert (Change(mirrored=True).mask(mask) == mask[:, ::-1]).all()
    assert (Change(angle=90).mask(mask) == np.rot90(mask)).all()


def test_masks_moved_and_grown():
    mask = np.zeros((9, 9), np.uint8)
    mask[4, 4] = 1
    assert np.argwhere(shifted(mask, 3)).tolist() == [[4, 7]]
    assert np.argwhere(shifted(mask, -4)).tolist() == [[4, 0]]
    for width in (9, 16, 20):
        full = np.ones((2, width), np.uint8)
        assert shifted(full, 20).tolist() == shifted(full, -20).tolist() == [[0] * width] * 2
    assert [int(grown(mask, n).sum()) for n in (0, 1, 2)] == [1, 5, 13]
    assert (grown(grown(mask, 2), -2) == mask).all()
    assert not grown(mask, -1).any()
    assert not grown(np.zeros((3, 3), np.uint8), 5).any()


def test_half_as_wide_is_a_quarter_of_the_area():
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 40:60] = 1
    half = half_as_wide(mask)
    assert half.shape == (64, 64)
    assert int(half.sum()) == 100
