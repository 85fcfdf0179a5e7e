"""Losses on logits, in float32. `expected_mask` and `logits` are (B, H, W, 1); the result is one number.

Where several replicas share a batch, each holds a part of it; counts are summed over all of them, as the Dice of a
batch is not the mean of its parts' Dice.
"""

import tensorflow as tf

SMOOTHING = 1.0  # in numerator and denominator: an empty batch gives a finite gradient and loss 0 when right


def _sum_over_replicas(counts):
    """Return `counts` of the whole batch, whichever part of it is here."""
    replica = tf.distribute.get_replica_context()
    if replica and replica.num_replicas_in_sync > 1:
        counts = replica.all_reduce(tf.distribute.ReduceOp.SUM, counts)
    return counts


def _overlap(expected_mask, logits):
    """Return true positives, false positives and false negatives of the whole batch, as soft counts."""
    probability = tf.sigmoid(logits)
    counts = tf.stack(
        [tf.reduce_sum(probability * expected_mask), tf.reduce_sum(probability), tf.reduce_sum(expected_mask)]
    )
    true_positive, predicted, expected = tf.unstack(_sum_over_replicas(counts))
    return true_positive, predicted - true_positive, expected - true_positive


def dice_loss(expected_mask, logits):
    """1 − soft Dice over the whole batch: slices without lesion count through their false positives.

    Source: Milletari et al. (2016), arXiv:1606.04797.
    """
    true_positive, false_positive, false_negative = _overlap(expected_mask, logits)
    doubled = 2 * true_positive + SMOOTHING
    return 1 - doubled / (doubled + false_positive + false_negative)


def bce_dice_loss(expected_mask, logits):
    """Binary cross-entropy, steady from the first step, plus `dice_loss`, blind to how rare lesions are."""
    bce = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(expected_mask, logits))
    return bce + dice_loss(expected_mask, logits)


def slice_dice_loss(expected_mask, logits):
    """1 − the mean soft Dice of the slices that show a lesion, each counting the same however small its lesion is.

    The batch's Dice hardly notices a lesion of 50 pixels beside one of 2,000. Slices without a lesion are left out:
    their Dice is 0 for a single false pixel. A batch of nothing else has loss 0.
    """
    probability = tf.sigmoid(logits)
    true_positive, predicted, expected = (
        tf.reduce_sum(pixels, axis=(1, 2, 3)) for pixels in (probability * expected_mask, probability, expected_mask)
    )  # (B,)
    shows_lesion = tf.cast(expected > 0, tf.float32)
    dice = (2 * true_positive + SMOOTHING) / (predicted + expected + SMOOTHING)
    missing, slices = tf.unstack(
        _sum_over_replicas(tf.stack([tf.reduce_sum((1 - dice) * shows_lesion), tf.reduce_sum(shows_lesion)]))
    )
    return tf.math.divide_no_nan(missing, slices)


def bce_both_dice_loss(expected_mask, logits):
    """As `bce_dice_loss`, half of its Dice being that of the single slices with lesion."""
    bce = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(expected_mask, logits))
    return bce + 0.5 * dice_loss(expected_mask, logits) + 0.5 * slice_dice_loss(expected_mask, logits)


def focal_tversky_loss(expected_mask, logits):
    """(1 − Tversky index)^0.75 with misses at 0.7 and false alarms at 0.3, over the whole batch.

    Source: Abraham and Khan (2018), arXiv:1810.07842.
    """
    true_positive, false_positive, false_negative = _overlap(expected_mask, logits)
    hit = true_positive + SMOOTHING
    # the tiny number keeps the gradient of the root finite at a perfect batch
    return (1 - hit / (hit + 0.3 * false_positive + 0.7 * false_negative) + 1e-7) ** 0.75


LOSSES = {"bce-dice": bce_dice_loss, "bce-both-dice": bce_both_dice_loss, "focal-tversky": focal_tversky_loss}
