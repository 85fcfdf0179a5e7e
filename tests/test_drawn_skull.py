"""A stripped brain gets a ring of bone and scalp in what the network sees; everything else stays as it is."""

import cv2
import numpy as np
import pytest

from unet.scans.drawn_skull import network_images, with_drawn_skull
from unet.scans.slice_classifier import SliceKind

pytestmark = pytest.mark.quick


@pytest.fixture
def brain() -> np.ndarray:
    """A brain of 100 ± 20 with a radius of 150 pixels in the first of two slices, 0 around it."""
    disc = cv2.circle(np.zeros((400, 400), np.uint8), (200, 200), 150, 1, cv2.FILLED).astype(bool)
    images = np.zeros((2, 400, 400, 3), np.float32)
    images[0][disc] = np.random.default_rng(1).normal(100, 20, (int(disc.sum()), 3)).clip(20, 180)
    return images


def kind(stripped: float) -> SliceKind:
    return SliceKind(np.array([0.0, 1, 0]), np.array([1.0, 0, 0, 0]), stripped, 1.0)


def test_bone_is_dark_and_scalp_bright_in_every_sequence(brain):
    drawn = with_drawn_skull(brain)
    width = np.sqrt((brain[0, ..., 0] > 0).sum())  # 266 pixels
    right = 350  # the last column of the disc
    bone, scalp, air = (drawn[0, 200, right + round(share * width)] for share in (0.012, 0.045, 0.15))
    assert bone == pytest.approx([49, 49, 49], abs=2)  # two deviations below the mean of the head, edges included
    assert scalp == pytest.approx([171, 171, 171], abs=3)
    assert air.tolist() == [0, 0, 0]


def test_the_brain_and_empty_slices_stay_as_they_are(brain):
    drawn = with_drawn_skull(brain)
    inside = brain[0, ..., 0] > 0
    assert np.array_equal(drawn[0][inside], brain[0][inside])
    assert not drawn[1].any()


def test_noise_of_compression_around_a_brain_is_no_brain(brain):
    noisy = brain + np.random.default_rng(2).uniform(0, 2, brain.shape).astype(np.float32)
    assert with_drawn_skull(noisy)[0, 200, 362] == pytest.approx([171, 171, 171], abs=4)


def test_only_stripped_heads_are_drawn_on(brain):
    assert network_images(brain, {1: kind(0.4)}) is brain
    assert np.array_equal(network_images(brain, {1: kind(0.6)}), with_drawn_skull(brain))
