"""What happens to a picture before the network sees it, and how a mask finds its way back.

One `normalise()` serves training, evaluation and the app. MRI has no unit: the same tissue has another grey
value in every scanner, so each volume and channel is clipped and z-scored by its own statistics, taken over
the head. Over all non-zero pixels the amount of noise in the air around the head would shift every value:
in 49 patients the brain's median on FLAIR then lies at z 0.99 ± 0.37, over the head at 0.01 ± 0.20.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from unet.data.volume import FLAIR

CLIP_PERCENTILES = (1.0, 99.5)
Z_LIMIT = 5.0  # a few standard deviations: one degenerate slice must not blow up batch normalisation
MIN_RELATIVE_STD = 0.05  # floor under the standard deviation, as a share of the clipped range
MIN_HEAD_SHARE = 0.02  # less head than this is no basis for statistics


@dataclass(frozen=True)
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
    smooth = np.stack([cv2.GaussianBlur(np.float32(image), (0, 0), sigma) for image in volume[..., FLAIR]])
    low, high = float(smooth.min()), float(np.percentile(smooth, 99))
    if not high > low:
        return np.zeros(smooth.shape, bool)
    grey = np.uint8(np.clip((smooth - low) / (high - low), 0, 1) * 255)
    threshold, _ = cv2.threshold(grey.reshape(len(grey), -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return grey > 0.6 * threshold


def brain_mask(volume: np.ndarray) -> np.ndarray:
    """Estimate the brain: the head with its holes closed, less a rim of scalp and skull (5 % of the width).

    Good enough to say "a tenth of the brain", not to measure atrophy.

    Args:
        volume: (slices, height, width, 3), any non-negative unit.

    Returns:
        (slices, height, width) bool.
    """
    rim = 2 * round(0.05 * volume.shape[2]) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim))
    brain = np.zeros(volume.shape[:3], np.uint8)
    for head, inside in zip(head_mask(volume), brain, strict=True):
        contours, _ = cv2.findContours(np.uint8(head), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if contours:
            cv2.drawContours(inside, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
            inside[:] = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return brain.astype(bool)


def intensity_statistics(volume: np.ndarray) -> IntensityStatistics:
    """Measure a volume for `normalise`: 1st and 99.5th percentile, then mean and deviation between them.

    Taken over the head, or over every pixel where no head stands out. A constant channel gets deviation 1.

    Args:
        volume: (slices, height, width, 3), any unit; one slice is a volume of one.

    Raises:
        ValueError: another number of axes or channels, or values that are not finite.
    """
    if volume.ndim != 4 or volume.shape[-1] != 3:
        raise ValueError(f"a volume of shape {volume.shape}; expected (slices, height, width, 3)")
    if volume.dtype.kind == "f" and not np.isfinite(volume).all():
        raise ValueError("the volume holds NaN or infinite values; replace them before normalising")
    head = head_mask(volume)
    voxels = volume[head] if head.mean() >= MIN_HEAD_SHARE else volume.reshape(-1, 3)
    voxels = np.float32(voxels)
    low, high = np.percentile(voxels, CLIP_PERCENTILES, axis=0).astype(np.float32)
    clipped = np.clip(voxels, low, high)
    std = np.maximum(clipped.std(axis=0), MIN_RELATIVE_STD * (high - low))
    return IntensityStatistics(low, high, clipped.mean(axis=0), np.where(std > 0, std, 1).astype(np.float32))


def normalise(volume: np.ndarray, statistics: IntensityStatistics | None = None) -> np.ndarray:
    """Clip and z-score a volume by its own statistics, or by given ones.

    Args:
        volume: (slices, height, width, 3), or (height, width, 3) with given statistics; not changed.

    Returns:
        float32, same shape, 0 ± 1 over the head and within ±5 everywhere; a constant channel is 0.
    """
    s = statistics or intensity_statistics(volume)
    return np.clip((np.clip(np.float32(volume), s.low, s.high) - s.mean) / s.std, -Z_LIMIT, Z_LIMIT)


@dataclass(frozen=True)
class Fit:
    """Lay a picture of any size into the network's square without distortion, and masks back exactly.

    The longer side is scaled to `size`, the shorter one padded evenly. `inverse` crops and scales with the
    same numbers, so a pixel returns to where it came from.

    >>> fit = Fit(height=100, width=200, size=64)
    >>> fit.scaled, fit.top, fit.left
    ((32, 64), 16, 0)
    """

    height: int
    width: int
    size: int

    @property
    def scaled(self) -> tuple[int, int]:
        """(height, width) in pixels inside the square."""
        scale = self.size / max(self.height, self.width)
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))

    @property
    def top(self) -> int:
        return (self.size - self.scaled[0]) // 2

    @property
    def left(self) -> int:
        return (self.size - self.scaled[1]) // 2

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Return (size, size[, C]) from (height, width[, C]); the border repeats the picture's darkest values."""
        scaled = _resize(image, self.scaled)
        bottom, right = self.size - self.scaled[0] - self.top, self.size - self.scaled[1] - self.left
        if not (self.top or self.left or bottom or right):
            return scaled
        darkest = [float(value) for value in np.atleast_1d(scaled.min(axis=(0, 1)))]
        return cv2.copyMakeBorder(scaled, self.top, bottom, self.left, right, cv2.BORDER_CONSTANT, value=darkest)

    def inverse(self, image: np.ndarray) -> np.ndarray:
        """Return (height, width[, C]) from (size, size[, C]), float or uint8."""
        rows, columns = self.scaled
        inside = image[self.top : self.top + rows, self.left : self.left + columns]
        return _resize(inside, (self.height, self.width))

    def cells(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which cell of a (side, side) map over the square each row and each column of the picture is in.

        >>> rows, columns = Fit(height=2, width=4, size=16).cells(side=4)
        >>> rows.tolist(), columns.tolist()
        ([1, 2], [0, 1, 2, 3])
        """

        def along(length: int, scaled: int, start: int) -> np.ndarray:
            centres = (np.arange(length) + 0.5) * scaled / length + start
            return np.int64(centres * side / self.size)

        return along(self.height, self.scaled[0], self.top), along(self.width, self.scaled[1], self.left)


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Scale to (height, width): area averaging when shrinking by more than two, else linear."""
    if image.shape[:2] == shape:
        return image
    shrinks = image.shape[0] > 2 * shape[0]
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
