"""One file of the data set: decode a slice or a mask."""

from pathlib import Path

import cv2
import numpy as np

from unet.language import t


class DataError(ValueError):
    """Data that cannot be used; the message names the file, what was found and what to do."""


def read_tiff(path: Path, flags: int) -> np.ndarray:
    """Decode one file of the data set; OpenCV reads from bytes, so any path spelling works."""
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(
            t(
                "{path}: cannot be opened ({strerror}). Check its reading rights.",
                path=path.name,
                strerror=error.strerror,
            )
        ) from None
    try:
        image = cv2.imdecode(encoded, flags) if encoded.size else None
    except cv2.error:  # for a header that promises more pixels than OpenCV takes
        image = None
    if image is None:
        raise DataError(
            t(
                "{path}: {encoded:,} bytes, not a complete TIFF. The file is left out. Download it again.",
                path=path.name,
                encoded=encoded.size,
            )
        )
    return image


def binary_mask(grey: np.ndarray) -> np.ndarray:
    """Return a stored mask as uint8 in {0, 1}: its bright half, or in a dark one, such as of 0 and 1, what is not 0.

    >>> binary_mask(np.array([0, 100, 255])), binary_mask(np.array([0, 1]))
    (array([0, 0, 1], dtype=uint8), array([0, 1], dtype=uint8))
    """
    return (grey > (127 if grey.max(initial=0) > 127 else 0)).astype(np.uint8)
