"""Scores of masks, in NumPy. Always say whether a Dice is per slice or per volume: they differ a lot."""

import numpy as np
from scipy import ndimage

from unet.language import t

TOUCHING = np.ones((3, 3, 3), bool)  # voxels that share a face, an edge or a corner belong together


def _counts(predicted_mask: np.ndarray, expected_mask: np.ndarray) -> tuple[int, int, int]:
    """Return the voxels in both masks, in the predicted and in the expected one."""
    if predicted_mask.shape != expected_mask.shape:
        raise ValueError(
            t(
                "predicted mask {predicted_mask} and expected mask {expected_mask} differ in shape",
                predicted_mask=predicted_mask.shape,
                expected_mask=expected_mask.shape,
            )
        )
    predicted, expected = predicted_mask.astype(bool), expected_mask.astype(bool)
    return int((predicted & expected).sum()), int(predicted.sum()), int(expected.sum())


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def dice_score(predicted_mask: np.ndarray, expected_mask: np.ndarray) -> float:
    """Return the Dice overlap of two binary masks, of a slice or of a whole volume.

    2|A ∩ B| / (|A| + |B|); two empty masks have no overlap to measure and give nan.

    Args:
        predicted_mask: shape (..., height, width), values {0, 1}.
        expected_mask: same shape.

    Returns:
        Overlap in [0, 1], unitless, or nan.

    Raises:
        ValueError: the shapes differ; the message gives both.

    Source: Dice (1945), doi:10.2307/1932409.

    >>> round(dice_score(np.array([[1, 1]]), np.array([[1, 0]])), 3)
    0.667
    """
    both, predicted, expected = _counts(predicted_mask, expected_mask)
    return _ratio(2 * both, predicted + expected)


def volume_dice(predicted_mask: np.ndarray, expected_mask: np.ndarray, has_mask: np.ndarray) -> float:
    """Return the Dice of a volume over the slices that an expert's mask was there for.

    Args:
        predicted_mask: (slices, height, width), values {0, 1}.
        expected_mask: same shape.
        has_mask: (slices,) bool; the other slices are left out on both sides.

    Returns:
        Overlap in [0, 1], or nan where neither mask has a voxel.

    >>> volume_dice(np.array([[[1]], [[1]]]), np.array([[[1]], [[0]]]), np.array([True, False]))
    1.0
    """
    return dice_score(predicted_mask[has_mask], expected_mask[has_mask])


def iou_score(predicted_mask: np.ndarray, expected_mask: np.ndarray) -> float:
    """Return intersection over union, |A ∩ B| / |A ∪ B|; arguments and errors as `dice_score`.

    >>> iou_score(np.array([[1, 1]]), np.array([[1, 0]]))
    0.5
    """
    both, predicted, expected = _counts(predicted_mask, expected_mask)
    return _ratio(both, predicted + expected - both)


def precision(predicted_mask: np.ndarray, expected_mask: np.ndarray) -> float:
    """Return the share of the predicted mask that is expected, nan where nothing is predicted.

    >>> precision(np.array([[1, 1]]), np.array([[1, 0]]))
    0.5
    """
    both, predicted, _ = _counts(predicted_mask, expected_mask)
    return _ratio(both, predicted)


def recall(predicted_mask: np.ndarray, expected_mask: np.ndarray) -> float:
    """Return the share of the expected mask that is predicted, nan where nothing is expected.

    >>> recall(np.array([[1, 1]]), np.array([[1, 0]]))
    1.0
    """
    both, _, expected = _counts(predicted_mask, expected_mask)
    return _ratio(both, expected)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected lesion of a volume (26 neighbours), drop the rest.

    Args:
        mask: (slices, height, width), values {0, 1}; not changed.

    Returns:
        Same shape, uint8; an empty mask stays empty, and of equal sizes the first in memory order stays.

    >>> largest_component(np.array([[[1, 0, 1, 1]]])).tolist()
    [[[0, 0, 1, 1]]]
    """
    labels, found = ndimage.label(mask, structure=TOUCHING)
    if not found:
        return np.zeros(mask.shape, np.uint8)
    sizes = np.bincount(labels.ravel())[1:]
    return (labels == 1 + sizes.argmax()).astype(np.uint8)


def hausdorff_95(predicted_mask: np.ndarray, expected_mask: np.ndarray) -> float:
    """Return the 95 % Hausdorff distance of two outlines within the slices, in pixels.

    On every slice that both masks mark, each edge pixel's distance to the other mask's edge; pooled over the volume,
    the 95th percentile each way, and the larger of the two. The data set gives no distance between slices, so none
    is measured across them; a slice that only one of the masks marks has no outline to compare with and is left to
    the slice-level scores.

    Args:
        predicted_mask: (slices, height, width), values {0, 1}.
        expected_mask: same shape.

    Returns:
        Pixels, or nan where no slice shows both.

    >>> a, b = np.zeros((2, 1, 8, 8)); a[0, 2:4, 2:4] = 1; b[0, 2:4, 5:7] = 1
    >>> hausdorff_95(a, b), hausdorff_95(a, a)
    (3.0, 0.0)
    """
    there, back = [], []
    for predicted, expected in zip(predicted_mask.astype(bool), expected_mask.astype(bool), strict=True):
        if predicted.any() and expected.any():
            edges = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, expected)]
            there.append(ndimage.distance_transform_edt(~edges[1])[edges[0]])
            back.append(ndimage.distance_transform_edt(~edges[0])[edges[1]])
    if not there:
        return float("nan")
    return float(max(np.percentile(np.concatenate(way), 95) for way in (there, back)))


def bootstrap_interval(
    values: np.ndarray, level: float = 0.95, draws: int = 10_000, group: int | None = None
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over patients; the same values give the same interval.

    Args:
        values: (patients,), one score each; nan is left out.
        level: coverage, in (0, 1).
        draws: resamples.
        group: patients in a resample; None takes as many as there are. A smaller group gives the interval in which
            the mean of so many new patients of this kind is to be expected.

    Source: Efron (1979), doi:10.1214/aos/1176344552.

    >>> bootstrap_interval(np.array([0.5, 0.5, 0.5]))
    (0.5, 0.5)
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    means = rng.choice(values, (draws, group or len(values))).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
