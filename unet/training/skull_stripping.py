"""Take the skull off a head, to train and to measure with; good enough for that, not to measure a brain."""

import cv2
import numpy as np
from scipy import ndimage

from unet.data.volume import FLAIR
from unet.preprocessing import head_mask

SLICE_STEP = 0.03  # of the head's width between slices; 5 of 170 mm are usual
RIM = 0.035  # of the head's width: scalp and bone at the least, and the bridges between scalp and brain
DEEP = 0.15  # of the head's width below its surface is brain, whatever it looks like


def strip_skull(images: np.ndarray) -> np.ndarray:
    """Return which voxels are brain.

    Bright tissue below the rim of the head, without the thin bridges to the scalp; of its pieces the one that reaches
    deepest, with its holes closed.

    Args:
        images: (slices, height, width, 3), heads with their skull, any non-negative unit.

    Returns:
        (slices, height, width) bool.
    """
    flair = images[..., FLAIR].astype(np.float32)
    outlines = [_filled(head) for head in head_mask(images)]
    width = max(1.0, float(np.sqrt(max(outline.sum(dtype=int) for outline in outlines))))
    # air lies above the last slice too: under the crown the scalp fills the middle of a slice
    head = np.pad(np.stack(outlines), ((0, 1), (0, 0), (0, 0)))
    depth = ndimage.distance_transform_edt(head, (SLICE_STEP * width, 1, 1))[:-1] / width
    deep = flair[depth > DEEP]
    smooth = ndimage.gaussian_filter(flair, (0, 0.8, 0.8))
    tissue = (smooth > 0.6 * (np.median(deep) if len(deep) else np.inf)) & (depth > RIM)
    radius = max(2, round(RIM * width))
    pieces, count = ndimage.label(np.stack([cv2.erode(plane.astype(np.uint8), _disc(radius)) for plane in tissue]))
    if not count:
        return np.zeros(flair.shape, bool)
    reach = ndimage.sum_labels(np.maximum(depth - 0.08, 0), pieces, range(1, count + 1))
    core = pieces == 1 + np.argmax(reach)
    return np.stack([_closed(piece, inside > 0.8 * RIM, radius) for piece, inside in zip(core, depth, strict=True)])


def _filled(plane: np.ndarray) -> np.ndarray:
    """The largest piece of a plane with its holes closed, uint8 in {0, 1}."""
    outline = np.zeros(plane.shape, np.uint8)
    contours, _ = cv2.findContours(plane.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if contours:
        cv2.drawContours(outline, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return outline


def _closed(piece: np.ndarray, inside: np.ndarray, radius: int) -> np.ndarray:
    """Grow a plane of the eroded brain back to its surface and close its furrows and holes."""
    grown = cv2.dilate(piece.astype(np.uint8), _disc(radius + 1)) * inside.astype(np.uint8)
    padded = np.pad(grown, 4 * radius)  # or closing would stop at the edge of the picture
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(2 * radius))
    return ndimage.binary_fill_holes(closed[4 * radius : -4 * radius, 4 * radius : -4 * radius])


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
