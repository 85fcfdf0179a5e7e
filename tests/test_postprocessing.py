"""From probability to mask: threshold, small lesions, small against the largest."""

import numpy as np
import pytest

from unet.metrics import largest_component
from unet.postprocessing import PLAIN, PostProcessing, read_post_processing

pytestmark = pytest.mark.quick


@pytest.fixture
def probability():
    """Three lesions: 6 voxels at 0.6, 4 at 0.8, 1 at 0.9; nothing else."""
    values = np.zeros((3, 8, 8), np.float16)
    values[0, 0, 0:6] = 0.6
    values[2, 4, 0:4] = 0.8
    values[2, 7, 7] = 0.9
    return values


@pytest.mark.parametrize(
    "rule, voxels",
    [
        (PLAIN, [6, 0, 5]),
        (PostProcessing(min_voxels=2), [6, 0, 4]),
        (PostProcessing(min_voxels=7), [0, 0, 0]),
        (PostProcessing(0.1), [6, 0, 5]),  # from 0.6 voxels
        (PostProcessing(0.5), [6, 0, 4]),  # from 3
        (PostProcessing(0.7), [6, 0, 0]),  # from 4.2
        (PostProcessing(1), [6, 0, 0]),
        (PostProcessing(0.5, min_voxels=5), [6, 0, 0]),
    ],
    ids=str,
)
def test_rules_on_three_lesions(probability, rule, voxels):
    before = probability.copy()
    mask = rule.mask(probability, 0.5)
    assert mask.sum(axis=(1, 2)).tolist() == voxels
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(probability, before)


def test_lesions_touch_across_slices_and_corners():
    values = np.zeros((2, 4, 4), np.float16)
    values[0, 0, 0] = values[1, 1, 1] = values[1, 3, 3] = 1
    assert PostProcessing(min_voxels=2).mask(values, 0.5).sum() == 2


def test_largest_is_the_metric_s_largest():
    rng = np.random.default_rng(0)
    values = rng.random((5, 12, 12)).astype(np.float16)
    np.testing.assert_array_equal(
        PostProcessing(1).mask(values, 0.85), largest_component((values >= np.float16(0.85)).astype(np.uint8))
    )


@pytest.mark.parametrize("min_share", [0, 0.5, 1])
def test_nothing_stays_nothing(min_share):
    assert not PostProcessing(min_share, 5).mask(np.zeros((2, 4, 4), np.float16), 0.5).any()
    assert PostProcessing(min_share, 5).mask(np.zeros((0, 4, 4), np.float16), 0.5).shape == (0, 4, 4)


def test_a_single_slice_keeps_everything(probability):
    assert PostProcessing(1, 50).mask(probability[2:], 0.5).sum() == 5


def test_config_round_trip():
    rule = PostProcessing(0.4, 50, True)
    assert read_post_processing(rule.as_config()) == rule
    assert read_post_processing("none") == read_post_processing(None) == PLAIN
    assert str(PLAIN) == "none"
    assert str(rule) == "lesions below 40% of the largest dropped, lesions below 50 voxels dropped, flip averaging"


NO_RULES = [{"min_share": 1.5}, {"min_share": -0.1}, {"components": "all"}, {"min_voxels": -1}, {"blur": 1}, "some", 5]


@pytest.mark.parametrize("value", NO_RULES)
def test_a_rule_that_is_none_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        read_post_processing(value)
