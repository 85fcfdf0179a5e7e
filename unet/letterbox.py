"""Lay a picture of any size into the network's square, and bring masks back to the pixels they came from."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Letterbox:
    """Lay a picture of any size into the network's square without distortion, and masks back exactly.

    The longer side is scaled to `size`, the shorter one padded evenly. `inverse` crops and scales with the
    same numbers, so a pixel returns to where it came from.

    >>> letterbox = Letterbox(height=100, width=200, size=64)
    >>> letterbox.scaled, letterbox.top, letterbox.left
    ((32, 64), 16, 0)
    """

    height: int
    width: int
    size: int

    @classmethod
    def of(cls, shape: tuple[int, ...], size: int) -> "Letterbox":
        """Return the letterbox of an array of shape (height, width, …).

        >>> Letterbox.of((100, 200, 3), size=64)
        Letterbox(height=100, width=200, size=64)
        """
        height, width = shape[:2]
        return cls(height, width, size)

    @property
    def scaled(self) -> tuple[int, int]:
        """(height, width) in pixels inside the square."""
        scale = self.size / max(self.height, self.width)
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))

    @property
    def top(self) -> int:
        """Rows of padding above the picture, in pixels of the square."""
        return (self.size - self.scaled[0]) // 2

    @property
    def left(self) -> int:
        """Columns of padding left of the picture, in pixels of the square."""
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

        >>> rows, columns = Letterbox(height=2, width=4, size=16).cells(side=4)
        >>> rows.tolist(), columns.tolist()
        ([1, 2], [0, 1, 2, 3])
        """

        def along(length: int, scaled: int, start: int) -> np.ndarray:
            centres = (np.arange(length) + 0.5) * scaled / length + start
            return (centres * side / self.size).astype(np.int64)

        return along(self.height, self.scaled[0], self.top), along(self.width, self.scaled[1], self.left)


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Scale to (height, width): area averaging when shrinking by more than two, else linear."""
    if image.shape[:2] == shape:
        return image
    shrinks = image.shape[0] > 2 * shape[0]
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
