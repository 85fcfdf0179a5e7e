"""Does the probability mean what it says, and does the disagreement of two passes tell where the mask is wrong?

Counted over the pixels of the head only: the air around it is easy, and would make any network look calibrated.
Everything is a histogram, so patients can be streamed and added up.
"""

from dataclasses import dataclass, field

import numpy as np

BINS = 10  # of the reliability curve, equally wide over [0, 1]
SURE_BELOW = 0.1  # most of the head is surely healthy; the second error leaves this first bin out
LEVELS = 64  # of the histograms behind the two areas under the curve
CANDIDATE = 0.05  # a pixel in question: one of the two passes says at least this


@dataclass(eq=False)
class Reliability:
    """Pixels by predicted probability: how many, their mean probability, and how many are lesion."""

    pixels: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    probability: np.ndarray = field(default_factory=lambda: np.zeros(BINS))
    lesion: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, probability: np.ndarray, expected: np.ndarray) -> None:
        """Count pixels: probability in [0, 1] and expected mask in {0, 1}, both of any one shape."""
        values = probability.astype(np.float64).ravel()
        bins = np.minimum(BINS - 1, (values * BINS).astype(int))
        self.pixels += np.bincount(bins, minlength=BINS)
        self.probability += np.bincount(bins, values, minlength=BINS)
        self.lesion += np.bincount(bins, expected.ravel(), minlength=BINS).astype(np.int64)

    def error(self, first_bin: int = 0) -> float:
        """Return the expected calibration error, the mean |probability − lesion share| of the bins, by their pixels.

        Args:
            first_bin: leave out the bins before it.

        Source: Guo et al. (2017), arXiv:1706.04599.

        >>> two = Reliability()
        >>> two.add(np.array([0.95, 0.95, 0.05, 0.05]), np.array([1, 0, 0, 0]))
        >>> round(two.error(), 3), round(two.error(first_bin=1), 3)
        (0.25, 0.45)
        """
        pixels = self.pixels[first_bin:]
        gaps = np.abs(self.probability - self.lesion)[first_bin:]
        return float(gaps.sum() / pixels.sum()) if pixels.sum() else float("nan")

    def as_json(self) -> dict:
        """Return the curve, a list for each column, and both errors; an empty bin has nulls."""

        def share(total: np.ndarray) -> list[float | None]:
            return [
                round(float(t / n), 4) if n else None for t, n in zip(total, self.pixels, strict=True)
            ]  # fmt: skip

        return {
            "pixels": self.pixels.tolist(),
            "mean_probability": share(self.probability),
            "lesion_share": share(self.lesion),
            "expected_calibration_error": _rounded(self.error()),
            "expected_calibration_error_above_0.1": _rounded(self.error(int(SURE_BELOW * BINS))),
        }


@dataclass(eq=False)
class ErrorDetection:
    """How well two maps find wrong pixels: the disagreement of two passes, and closeness to the threshold."""

    disagreement: np.ndarray = field(default_factory=lambda: np.zeros((2, LEVELS), np.int64))
    closeness: np.ndarray = field(default_factory=lambda: np.zeros((2, LEVELS), np.int64))
    wrong_elsewhere: int = 0

    def add(
        self,
        direct: np.ndarray,
        mirrored: np.ndarray,
        used: np.ndarray,
        mask: np.ndarray,
        expected: np.ndarray,
        threshold: float,
    ) -> None:
        """Count pixels; all arrays of one shape.

        Args:
            direct: probability of the pass over the slice as it is.
            mirrored: that of the pass over its mirror image, turned back.
            used: the probability behind the mask.
            mask: predicted, in {0, 1}.
            expected: the expected mask, in {0, 1}.
            threshold: of the mask.
        """
        wrong = mask != expected
        candidate = np.maximum(direct, mirrored) >= CANDIDATE
        self.wrong_elsewhere += int((wrong & ~candidate).sum())
        side = np.where(used >= threshold, 1 - threshold, threshold)  # distance from the threshold to 1 or to 0
        closeness = 1 - np.abs(used.astype(np.float32) - threshold) / side
        for histogram, values in (
            (self.disagreement, np.abs(direct.astype(np.float32) - mirrored.astype(np.float32))),
            (self.closeness, closeness),
        ):
            levels = np.minimum(LEVELS - 1, (np.clip(values[candidate], 0, 1) * LEVELS).astype(int))
            for row in (0, 1):
                histogram[row] += np.bincount(levels[wrong[candidate] == bool(row)], minlength=LEVELS)

    def as_json(self) -> dict:
        """Return the areas under the two ROC curves, and the share of wrong pixels by disagreement."""
        right, wrong = self.disagreement
        quarters = [slice(start, start + LEVELS // 16) for start in range(0, LEVELS, LEVELS // 16)]
        pixels = [int(right[q].sum() + wrong[q].sum()) for q in quarters]
        return {
            "auc_disagreement": _rounded(area_under_curve(*self.disagreement)),
            "auc_closeness_to_threshold": _rounded(area_under_curve(*self.closeness)),
            "pixels": pixels,
            "wrong_share": [
                round(int(wrong[q].sum()) / n, 4) if n else None for q, n in zip(quarters, pixels, strict=True)
            ],
            "wrong_pixels_in_question": int(wrong.sum()),
            "wrong_pixels_elsewhere": self.wrong_elsewhere,
        }


def area_under_curve(negatives: np.ndarray, positives: np.ndarray) -> float:
    """Return the area under the ROC curve of two histograms over the same rising levels; ties count half.

    >>> area_under_curve(np.array([2, 0]), np.array([0, 2])), area_under_curve(np.array([1, 1]), np.array([1, 1]))
    (1.0, 0.5)
    """
    if not negatives.sum() or not positives.sum():
        return float("nan")
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))


def _rounded(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None
