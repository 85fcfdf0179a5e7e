"""Scores against values worked out by hand."""

import math

import numpy as np
import pytest

from unet.metrics import bootstrap_interval, dice_score, iou_score, largest_component, precision, recall, volume_dice

pytestmark = pytest.mark.quick

NAN = math.nan
SCORES = dice_score, iou_score, precision, recall


@pytest.mark.parametrize(
    "predicted, expected, dice, iou, precise, recalled",
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1, 1, 1, 1),
        ([1, 1, 0, 0], [0, 0, 1, 1], 0, 0, 0, 0),
        ([1, 1, 0, 0], [1, 0, 0, 0], 2 / 3, 1 / 2, 1 / 2, 1),
        ([1, 0, 0, 0], [1, 1, 1, 0], 1 / 2, 1 / 3, 1, 1 / 3),
        ([1, 1, 1, 0], [0, 1, 1, 1], 2 / 3, 1 / 2, 2 / 3, 2 / 3),
        ([1, 0, 0, 0], [0, 0, 0, 0], 0, 0, 0, NAN),
        ([0, 0, 0, 0], [1, 0, 0, 0], 0, 0, NAN, 0),
        ([0, 0, 0, 0], [0, 0, 0, 0], NAN, NAN, NAN, NAN),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
def test_table(predicted, expected, dice, iou, precise, recalled, dtype):
    predicted, expected = np.array(predicted, dtype), np.array(expected, dtype)
    found = [score(predicted.reshape(1, 2, 2), expected.reshape(1, 2, 2)) for score in SCORES]
    assert found == pytest.approx([dice, iou, precise, recalled], nan_ok=True)


def test_large_masks_do_not_overflow():
    mask = np.ones((300, 256, 256), np.uint8)
    assert [score(mask, mask) for score in SCORES] == [1, 1, 1, 1]


@pytest.mark.parametrize("score", SCORES)
def test_shapes_that_differ_raise_with_both(score):
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(4, 4\).*differ in shape"):
        score(np.zeros((2, 4)), np.zeros((4, 4)))


def test_largest_component_joins_across_slices():
    mask = np.zeros((3, 4, 8), np.uint8)
    mask[0, 0, 0:4] = 1  # 4 voxels in one slice
    mask[0:3, 2:4, 7] = 1  # 6 voxels, 2 in each slice
    kept = largest_component(mask)
    assert kept.dtype == np.uint8
    assert kept.sum() == 6 and kept[:, 2:4, 7].all()


def test_largest_component_joins_diagonals():
    mask = np.zeros((3, 5, 5), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = 1  # corner to corner
    mask[0, 4, 3:5] = 1
    kept = largest_component(mask)
    assert np.argwhere(kept).tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]


def test_largest_component_keeps_the_first_of_equals():
    mask = np.array([[[0, 1, 1, 0, 0, 1, 1]]], np.uint8)
    assert largest_component(mask).tolist() == [[[0, 1, 1, 0, 0, 0, 0]]]


def test_largest_component_of_nothing_and_everything():
    assert largest_component(np.zeros((2, 3, 3), np.uint8)).tolist() == np.zeros((2, 3, 3), int).tolist()
    assert largest_component(np.ones((2, 3, 3), bool)).sum() == 18


def test_largest_component_does_not_change_its_input():
    mask = np.array([[[1, 0, 1, 1]]], np.uint8)
    largest_component(mask)
    assert mask.tolist() == [[[1, 0, 1, 1]]]


def test_bootstrap_interval_is_that_of_the_mean():
    values = np.tile([0.8, 1.0], 50)  # mean 0.9, standard error 0.1 / √100 = 0.01
    assert bootstrap_interval(values) == pytest.approx((0.9 - 0.0196, 0.9 + 0.0196), abs=0.0015)
    assert bootstrap_interval(values, level=0.5) == pytest.approx((0.9 - 0.0067, 0.9 + 0.0067), abs=0.0015)


def test_bootstrap_interval_is_the_same_each_time_and_in_the_callers_generator_nothing_moves():
    values = np.array([0.31, 0.87, 0.92, 0.95, 0.64])
    np.random.seed(3)
    first = bootstrap_interval(values)
    drawn = np.random.random()
    np.random.seed(3)
    assert bootstrap_interval(values) == first
    assert np.random.random() == drawn
    assert 0.31 < first[0] < values.mean() < first[1] < 0.95


def test_bootstrap_interval_leaves_nan_out():
    assert bootstrap_interval(np.array([0.25, NAN, 0.25])) == (0.25, 0.25)
    assert bootstrap_interval(np.array([0.7])) == (0.7, 0.7)
    assert all(math.isnan(bound) for bound in bootstrap_interval(np.array([NAN, NAN])))
    assert all(math.isnan(bound) for bound in bootstrap_interval(np.array([])))


def test_slices_without_an_experts_mask_are_left_out_of_a_volumes_dice():
    expected = np.zeros((2, 2, 2), np.uint8)
    expected[0] = 1
    predicted = np.ones((2, 2, 2), np.uint8)
    assert volume_dice(predicted, expected, np.array([True, False])) == 1.0
    assert volume_dice(predicted, expected, np.array([True, True])) == pytest.approx(8 / 12)
    assert np.isnan(volume_dice(predicted * 0, expected, np.array([False, True])))
