"""Losses against values worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from unet.losses import LOSSES, bce_both_dice_loss, bce_dice_loss, dice_loss, focal_tversky_loss, slice_dice_loss

SURE, LN3 = 40.0, math.log(3)  # sigmoid(ln 3) = 3/4


def pixels(*values) -> tf.Tensor:
    """One slice a row: (B, 1, W, 1)."""
    return tf.constant(np.atleast_2d(values).astype(np.float32)[:, np.newaxis, :, np.newaxis])


EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


@pytest.mark.parametrize(
    "loss, expected_mask, logits, value",
    [
        # p = 3/4, 1/2: TP 0.75, FP 0.5, FN 0.25; Dice (1.5 + 1) / (1.5 + 1 + 0.75)
        (dice_loss, pixels(1, 0), pixels(LN3, 0), 0.230769),
        # mean(-ln 0.75, -ln 0.5) + 0.230769
        (bce_dice_loss, pixels(1, 0), pixels(LN3, 0), 0.721184),
        # (1 - 1.75 / (1.75 + 0.15 + 0.175)) ** 0.75
        (focal_tversky_loss, pixels(1, 0), pixels(LN3, 0), 0.248970),
        # nothing expected, 4 × 0.5 predicted: 1 - 1 / 3
        (dice_loss, pixels(0, 0, 0, 0), pixels(0, 0, 0, 0), 0.666667),
        # everything missed: 1 - 1 / 5, and -ln sigmoid(-40) = 40
        (dice_loss, pixels(1, 1, 1, 1), pixels(-SURE, -SURE, -SURE, -SURE), 0.8),
        (bce_dice_loss, pixels(1, 1, 1, 1), pixels(-SURE, -SURE, -SURE, -SURE), 40.8),
        # a miss costs more than a false positive: (0.7 / 1.7) ** 0.75, (0.3 / 1.3) ** 0.75
        (focal_tversky_loss, pixels(1), pixels(-SURE), 0.514028),
        (focal_tversky_loss, pixels(0), pixels(SURE), 0.332953),
        # a small lesion missed counts as much as a large one hit: (1 - 1 / 2) / 2, the batch as a whole 1 - 7 / 8
        (slice_dice_loss, pixels((1, 1, 1), (1, 0, 0)), pixels((SURE, SURE, SURE), (-SURE, -SURE, -SURE)), 0.25),
        (dice_loss, pixels((1, 1, 1), (1, 0, 0)), pixels((SURE, SURE, SURE), (-SURE, -SURE, -SURE)), 0.125),
        # slices without lesion are not counted, and a batch of nothing else has nothing to count
        (slice_dice_loss, pixels((1, 0), (0, 0)), pixels((LN3, 0), (SURE, SURE)), 0.230769),
        (slice_dice_loss, pixels(0, 0), pixels(SURE, SURE), 0.0),
        # 0.490415 of cross-entropy, and both kinds of Dice alike where there is one slice
        (bce_both_dice_loss, pixels(1, 0), pixels(LN3, 0), 0.721184),
        # over the whole batch: a right slice and an empty one with two false positives, 1 - 5 / 7
        (dice_loss, pixels((1, 1), (0, 0)), pixels((SURE, SURE), (SURE, SURE)), 0.285714),
    ],
)
def test_value(loss, expected_mask, logits, value):
    result = loss(expected_mask, logits)
    assert result.shape == () and result.dtype == tf.float32
    assert float(result) == pytest.approx(value, abs=2e-5)


@EVERY_LOSS
@pytest.mark.parametrize("expected_mask", [pixels(1, 0, 0, 1), pixels(0, 0, 0, 0), pixels(1, 1, 1, 1)])
def test_right_answer_costs_nothing(loss, expected_mask):
    assert float(loss(expected_mask, (2 * expected_mask - 1) * SURE)) == pytest.approx(0, abs=1e-4)


@EVERY_LOSS
def test_false_positives_on_empty_slices_cost(loss):
    assert float(loss(pixels(0, 0, 0), pixels(SURE, SURE, -SURE))) > 0.3


@EVERY_LOSS
@pytest.mark.parametrize("expected_mask", [pixels(0, 0, 0, 0), pixels(1, 0, 0, 1), pixels(1, 1, 1, 1)])
@pytest.mark.parametrize("scale", [0, 1, 40, 1000])
def test_gradient_is_finite(loss, expected_mask, scale):
    for sign in (1, -1):
        logits = tf.Variable((2 * expected_mask - 1) * float(sign * scale))
        with tf.GradientTape() as tape:
            value = loss(expected_mask, logits)
        gradient = tf.convert_to_tensor(tape.gradient(value, logits)).numpy()
        assert np.isfinite(float(value)) and np.isfinite(gradient).all()


@EVERY_LOSS
def test_gradient_points_towards_the_lesion(loss):
    logits = tf.Variable(pixels(0, 0, 0, 0))
    with tf.GradientTape() as tape:
        value = loss(pixels(1, 0, 1, 0), logits)
    assert (np.sign(tf.convert_to_tensor(tape.gradient(value, logits)).numpy().ravel()) == [-1, 1, -1, 1]).all()


def test_names_on_the_command_line():
    assert {
        "bce-dice": bce_dice_loss,
        "bce-both-dice": bce_both_dice_loss,
        "focal-tversky": focal_tversky_loss,
    } == LOSSES
