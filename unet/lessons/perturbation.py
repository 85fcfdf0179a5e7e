"""Change a slice, or a mask, on purpose: to see what the network needs, and what a score makes of it."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from unet.preprocessing import IntensityStatistics


@dataclass(frozen=True)
class Change:
    """What is done to a slice before the network sees it; as it stands, nothing.

    Attributes:
        copied: (channel, source): the channel becomes a copy of the source, as the data set fills a missing sequence.
        brightness: factor on every intensity.
        contrast: factor on the distance from the head's mean.
        normalised_after: whether the whole scan changed in brightness and contrast, so that normalisation sees it too;
            else it is normalised by what was measured before.
        mirrored: left and right change places.
        angle: degrees, counter-clockwise.
        noise: standard deviation of Gaussian noise, in standard deviations of the head.
        patch: (row, column, side) in pixels: a square around that place is filled with the head's mean.
    """

    copied: tuple[int, int] | None = None
    brightness: float = 1.0
    contrast: float = 1.0
    normalised_after: bool = False
    mirrored: bool = False
    angle: float = 0.0
    noise: float = 0.0
    patch: tuple[int, int, int] | None = None

    def image(self, image: np.ndarray, statistics: IntensityStatistics) -> tuple[np.ndarray, IntensityStatistics]:
        """Return the changed slice, float32, and the statistics to normalise it by.

        Args:
            image: (height, width, 3) in any unit; not changed.
            statistics: of the volume the slice is from.
        """
        image, s = image.astype(np.float32), statistics
        if self.copied:
            channel, source = self.copied
            image = image.copy()
            image[..., channel] = image[..., source]
            low, high, mean, std = (np.array(values) for values in (s.low, s.high, s.mean, s.std))
            for values in (low, high, mean, std):
                values[channel] = values[source]
            s = IntensityStatistics(low, high, mean, std)
        gain = np.float32(self.brightness * self.contrast)
        offset = s.mean * np.float32(self.brightness * (1 - self.contrast))
        image = image * gain + offset
        if self.normalised_after:  # percentiles, mean and deviation follow a straight line
            s = IntensityStatistics(s.low * gain + offset, s.high * gain + offset, s.mean * gain + offset, s.std * gain)
        if self.noise:
            image = image + np.random.default_rng(0).standard_normal(image.shape, np.float32) * s.std * self.noise
        if self.patch:
            row, column, side = self.patch
            top, left = max(0, row - side // 2), max(0, column - side // 2)
            image[top : max(0, row - side // 2 + side), left : max(0, column - side // 2 + side)] = s.mean
        border = tuple(float(value) for value in image.min(axis=(0, 1)))
        return self._moved(image, cv2.INTER_LINEAR, border), s

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask, (height, width) in {0, 1}, moved along with the slice, as uint8."""
        return self._moved(mask.astype(np.uint8), cv2.INTER_NEAREST, 0)

    def _moved(self, picture: np.ndarray, interpolation: int, border: float | tuple[float, ...]) -> np.ndarray:
        if self.mirrored:
            picture = np.ascontiguousarray(picture[:, ::-1])
        if self.angle:
            height, width = picture.shape[:2]
            matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), self.angle, 1)
            picture = cv2.warpAffine(picture, matrix, (width, height), flags=interpolation, borderValue=border)
        return picture


def shifted(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask, (height, width), moved to the right, or by a negative number to the left.

    What leaves the picture is lost.

    >>> shifted(np.array([[1, 0, 1]]), 1).tolist(), shifted(np.array([[1, 0, 1]]), -2).tolist()
    ([[0, 1, 0]], [[1, 0, 0]])
    """
    moved = np.zeros_like(mask)
    width = mask.shape[1]
    if abs(pixels) >= width:
        return moved
    moved[:, max(0, pixels) : width + min(0, pixels)] = mask[:, max(0, -pixels) : width - max(0, pixels)]
    return moved


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask, (height, width), grown by so many pixels on every side, or shrunk by a negative number.

    >>> grown(np.array([[0, 1, 0, 0]]), 1).tolist(), grown(np.array([[0, 1, 1, 1, 0]]), -1).tolist()
    ([[1, 1, 1, 0]], [[0, 0, 1, 0, 0]])
    """
    if not mask.any():
        return mask.copy()
    if pixels >= 0:
        return np.asarray(ndimage.distance_transform_edt(mask == 0) <= pixels).astype(mask.dtype)
    return np.asarray(ndimage.distance_transform_edt(mask) > -pixels).astype(mask.dtype)


def half_as_wide(mask: np.ndarray) -> np.ndarray:
    """Return a mask, (height, width), shrunk to half its width and height, in the middle of as large a picture."""
    height, width = mask.shape
    small = cv2.resize(mask.astype(np.float32), (width // 2, height // 2), interpolation=cv2.INTER_AREA) >= 0.5
    result = np.zeros_like(mask)
    result[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2] = small
    return result
