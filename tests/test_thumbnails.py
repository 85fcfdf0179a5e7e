"""Thumbnails show the head, whatever window a header asks for."""

import numpy as np
import pytest

from unet.scans.scan import Scan
from views.upload.thumbnails import SIDE, collage, fullest_slice, picture

pytestmark = pytest.mark.quick


def scan_of(voxels: np.ndarray, **changes) -> Scan:
    return Scan("a", "NIfTI", voxels.astype(np.float32), ("a",) * voxels.shape[3], 16, (None,), **changes)


def heads(*sizes: int) -> np.ndarray:
    """Discs of values 500 to 1,000 in black air, one for each slice."""
    y, x = np.mgrid[-32:32, -32:32]
    values = 750 + 250 * np.sin(x / 3)
    return np.stack([np.where(np.hypot(x, y) < size, values, 0) for size in sizes])[..., None]


def test_the_slice_with_most_head_is_shown():
    assert fullest_slice(scan_of(heads(5, 12, 30, 20, 3))) == 2
    assert fullest_slice(scan_of(heads(20, 20, 20))) == 1  # the middle one of equals


def test_a_header_that_asks_for_white_is_not_followed():
    scan = scan_of(heads(20, 30, 20), window=(0.0, 10.0))
    shown = picture(scan, 1, 64)
    inside = shown[20:44, 20:44]
    assert inside.std() > 40 and (inside == 255).mean() < 0.1
    assert shown[0, 0].max() == 0


def test_one_slice_sets_the_brightness_of_all():
    voxels = heads(30, 30, 30)
    voxels[0] *= 0.1
    scan = scan_of(voxels)
    dark = picture(scan, 0, 64, brightest=1)
    assert dark.max() < 60 < picture(scan, 0, 64).max()


def test_proportions_are_true():
    scan = scan_of(heads(20), spacing=(5.0, 1.0, 2.0))
    assert picture(scan, 0, 100).shape == (100, 200, 3)


def test_three_channels_are_colours_unless_one_is_asked_for():
    colours = np.concatenate([heads(30), 0 * heads(30), 0 * heads(30)], axis=3)
    shown = picture(scan_of(colours), 0, 64)
    assert shown[..., 0].max() == 255 and shown[..., 1].max() == 0
    grey = picture(scan_of(colours), 0, 64, channel=0)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


@pytest.mark.parametrize(("slices", "width"), [(1, SIDE), (2, SIDE), (9, SIDE + 4 + (SIDE - 4) // 2)])
def test_a_card_has_one_large_picture_and_two_small_ones(slices, width):
    assert collage(scan_of(heads(*[20] * slices))).shape == (SIDE, width, 3)


def test_an_empty_scan_is_black():
    assert collage(scan_of(np.zeros((3, 64, 64, 1)))).max() == 0
