"""Losses on logits, in float32. `expected_mask` and `logits` are (B, H, W, 1); the result is one number.

Written with `keras.ops`, so that TensorFlow and JAX compute the same. Where several devices share a batch, each holds a
part of it; `total` adds counts up over all of them, as the Dice of a batch is not the mean of its parts' Dice.
"""

from collections.abc import Callable
from typing import Any

import keras

Tensor = Any  # TensorFlow's or JAX's: Keras has no type for both
ops: Any = keras.ops

SMOOTHING = 1.0  # in numerator and denominator: an empty batch gives a finite gradient and loss 0 when right


def one_device(counts: Tensor) -> Tensor:
    """Return counts as they are: all of the batch is here."""
    return counts


def _overlap(expected_mask: Tensor, logits: Tensor, total: Callable) -> tuple[Tensor, Tensor, Tensor]:
    """Return true positives, false positives and false negatives of the whole batch, as soft counts."""
    probability = ops.sigmoid(logits)
    counts = total(ops.stack([ops.sum(probability * expected_mask), ops.sum(probability), ops.sum(expected_mask)]))
    true_positive, predicted, expected = counts[0], counts[1], counts[2]
    return true_positive, predicted - true_positive, expected - true_positive


def dice_loss(expected_mask: Tensor, logits: Tensor, total: Callable = one_device) -> Tensor:
    """1 − soft Dice over the whole batch: slices without lesion count through their false positives.

    Source: Milletari et al. (2016), arXiv:1606.04797.
    """
    true_positive, false_positive, false_negative = _overlap(expected_mask, logits, total)
    doubled = 2 * true_positive + SMOOTHING
    return 1 - doubled / (doubled + false_positive + false_negative)


def _cross_entropy(expected_mask: Tensor, logits: Tensor) -> Tensor:
    return ops.mean(ops.maximum(logits, 0) - logits * expected_mask + ops.log1p(ops.exp(-ops.abs(logits))))


def bce_dice_loss(expected_mask: Tensor, logits: Tensor, total: Callable = one_device) -> Tensor:
    """Binary cross-entropy, steady from the first step, plus `dice_loss`, blind to how rare lesions are."""
    return _cross_entropy(expected_mask, logits) + dice_loss(expected_mask, logits, total)


def slice_dice_loss(expected_mask: Tensor, logits: Tensor, total: Callable = one_device) -> Tensor:
    """1 − the mean soft Dice of the slices that show a lesion, each counting the same however small its lesion is.

    The batch's Dice hardly notices a lesion of 50 pixels beside one of 2,000. Slices without a lesion are left out:
    their Dice is 0 for a single false pixel. A batch of nothing else has loss 0.
    """
    probability = ops.sigmoid(logits)
    true_positive, predicted, expected = (
        ops.sum(pixels, axis=(1, 2, 3)) for pixels in (probability * expected_mask, probability, expected_mask)
    )  # (B,)
    shows_lesion = ops.cast(expected > 0, "float32")
    dice = (2 * true_positive + SMOOTHING) / (predicted + expected + SMOOTHING)
    sums = total(ops.stack([ops.sum((1 - dice) * shows_lesion), ops.sum(shows_lesion)]))
    return sums[0] / ops.maximum(sums[1], 1.0)


def bce_both_dice_loss(expected_mask: Tensor, logits: Tensor, total: Callable = one_device) -> Tensor:
    """As `bce_dice_loss`, half of its Dice being that of the single slices with lesion."""
    dice = dice_loss(expected_mask, logits, total) + slice_dice_loss(expected_mask, logits, total)
    return _cross_entropy(expected_mask, logits) + 0.5 * dice


def focal_tversky_loss(expected_mask: Tensor, logits: Tensor, total: Callable = one_device) -> Tensor:
    """(1 − Tversky index)^0.75 with misses at 0.7 and false positives at 0.3, over the whole batch.

    Source: Abraham and Khan (2018), arXiv:1810.07842.
    """
    true_positive, false_positive, false_negative = _overlap(expected_mask, logits, total)
    hit = true_positive + SMOOTHING
    # the tiny number keeps the gradient of the root finite at a perfect batch
    return (1 - hit / (hit + 0.3 * false_positive + 0.7 * false_negative) + 1e-7) ** 0.75


LOSSES = {"bce-dice": bce_dice_loss, "bce-both-dice": bce_both_dice_loss, "focal-tversky": focal_tversky_loss}
