"""What happens to the values of a picture before the network sees it.

One `normalise()` serves training, evaluation and the app. MRI has no unit: the same tissue has another grey
value in every scanner, so each volume and channel is clipped and z-scored by its own statistics, taken over
the head. Over all non-zero pixels the amount of noise in the air around the head would shift every value:
in 49 patients the brain's median on FLAIR then lies at z 0.99 ± 0.37, over the head at 0.01 ± 0.20.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from unet.data.volume import FLAIR
from unet.language import t

CLIP_PERCENTILES = (1.0, 99.5)
Z_LIMIT = 5.0  # a few standard deviations: one degenerate slice must not blow up batch normalisation
MIN_RELATIVE_STD = 0.05  # floor under the standard deviation, as a share of the clipped range
MIN_HEAD_SHARE = 0.02  # less head than this is no basis for statistics
MAX_PIXELS = 6_000_000  # of a volume that is measured; 91 slices of 256², more than any patient of the data set has
MAX_BRAIN_SIDE = 512  # pixels of a slice on which the brain is estimated; the work grows with the fourth power


@dataclass(frozen=True, eq=False)
class IntensityStatistics:
    """Per channel, (3,) float32: clipping bounds, mean and standard deviation over the head."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def head_mask(volume: np.ndarray) -> np.ndarray:
    """Tell the head from the air around it: smoothed FLAIR above 0.6 × Otsu's threshold.

    Args:
        volume: (slices, height, width, 3), any non-negative unit.

    Returns:
        (slices, height, width) bool; all False for a constant picture.

    Source: Otsu (1979), doi:10.1109/TSMC.1979.4310076.
    """
    sigma = volume.shape[2] / 128  # two pixels at 256
    smooth = np.stack([cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma) for image in volume[..., FLAIR]])
    low, high = float(smooth.min()), float(np.percentile(smooth, 99))
    if not high > low:
        return np.zeros(smooth.shape, bool)
    smooth -= low  # in place, as these arrays are the largest that reading an upload needs
    smooth /= high - low
    grey = (np.clip(smooth, 0, 1, out=smooth) * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(grey.reshape(len(grey), -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return grey > 0.6 * threshold


def thinned(volume: np.ndarray, max_side: int | None = None) -> tuple[np.ndarray, int]:
    """Leave out rows and columns of a large volume, so that measuring it takes bounded time and memory.

    Args:
        volume: (slices, height, width, 3).
        max_side: longest side of a slice that is left, in pixels; by default any.

    Returns:
        A view with every n-th row and column, at most about `MAX_PIXELS` pixels, and n.

    >>> thinned(np.zeros((88, 256, 256, 3), np.uint8))[1], thinned(np.zeros((10, 1024, 1024, 3), np.uint8))[1]
    (1, 2)
    """
    pixels, longest = math.prod(volume.shape[:3]), max(volume.shape[1:3])
    step = max(math.ceil(math.sqrt(pixels / MAX_PIXELS)), math.ceil(longest / (max_side or longest)))
    return volume[:, ::step, ::step], step


def brain_mask(volume: np.ndarray) -> np.ndarray:
    """Estimate the brain: the head with its holes closed, less a rim of scalp and skull (5 % of the width).

    Good enough to say "a tenth of the brain", not to measure atrophy. Large slices are estimated on a coarser grid.

    Args:
        volume: (slices, height, width, 3), any non-negative unit.

    Returns:
        (slices, height, width) bool.
    """
    (_, height, width), (volume, step) = volume.shape[:3], thinned(volume, MAX_BRAIN_SIDE)
    rim = 2 * round(0.05 * volume.shape[2]) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim))
    brain = np.zeros(volume.shape[:3], np.uint8)
    for head, inside in zip(head_mask(volume), brain, strict=True):
        contours, _ = cv2.findContours(head.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if contours:
            cv2.drawContours(inside, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
            inside[:] = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if step > 1:
        brain = brain.repeat(step, axis=1)[:, :height].repeat(step, axis=2)[:, :, :width]
    return brain.astype(bool)


def intensity_statistics(volume: np.ndarray) -> IntensityStatistics:
    """Measure a volume for `normalise`: 1st and 99.5th percentile, then mean and deviation between them.

    Taken over the head, or over every pixel where no head stands out; in a large volume over every second or third row
    and column. A constant channel gets deviation 1.

    Args:
        volume: (slices, height, width, 3), any unit; one slice is a volume of one.

    Raises:
        ValueError: another number of axes or channels, or values that are not finite.
    """
    if volume.ndim != 4 or volume.shape[-1] != 3:
        raise ValueError(t("a volume of shape {volume}; expected (slices, height, width, 3)", volume=volume.shape))
    if volume.dtype.kind == "f" and not all(np.isfinite(image).all() for image in volume):
        raise ValueError(t("the volume holds NaN or infinite values; replace them before normalising"))
    volume, _ = thinned(volume)
    head = head_mask(volume)
    voxels = volume[head] if head.mean() >= MIN_HEAD_SHARE else volume.reshape(-1, 3)
    voxels = voxels.astype(np.float32, copy=False)
    low, high = np.percentile(voxels, CLIP_PERCENTILES, axis=0).astype(np.float32)
    clipped = np.clip(voxels, low, high)
    std = np.maximum(clipped.std(axis=0), MIN_RELATIVE_STD * (high - low))
    return IntensityStatistics(low, high, clipped.mean(axis=0), np.where(std > 0, std, 1).astype(np.float32))


def normalise(volume: np.ndarray, statistics: IntensityStatistics | None = None) -> np.ndarray:
    """Clip and z-score a volume by its own statistics, or by given ones.

    Args:
        volume: (slices, height, width, 3), or (height, width, 3) with given statistics; not changed.
        statistics: of the whole volume, where this is only a part of it; None measures what is given.

    Returns:
        float32, same shape, 0 ± 1 over the head and within ±5 everywhere; a constant channel is 0.
    """
    s = statistics or intensity_statistics(volume)
    return np.clip((np.clip(volume.astype(np.float32), s.low, s.high) - s.mean) / s.std, -Z_LIMIT, Z_LIMIT)
