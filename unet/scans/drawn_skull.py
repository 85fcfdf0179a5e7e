"""Draw a skull around a brain that has lost its own, for the network's eyes only.

BraTS, HD-BET and FreeSurfer give brains without skull. The network has learnt where a brain ends from the dark bone and
the bright scalp around it: without them its masks get worse, and normalising by other constants does not help. A
plain ring, dark and then bright, brings most of it back.
"""

import cv2
import numpy as np

from unet.data.volume import FLAIR
from unet.preprocessing import intensity_statistics

BONE, SCALP = 0.05, 0.05  # thickness as shares of the brain's width, chosen on stripped training patients
BONE_GREY, SCALP_GREY = -2.0, 3.0  # standard deviations of the brain from its mean, in every sequence


def with_drawn_skull(images: np.ndarray) -> np.ndarray:
    """Return a stripped volume with a ring of bone and of scalp around the outline of every slice.

    Args:
        images: (slices, height, width, 3), any non-negative unit, the same darkest value all around the brain.

    Returns:
        A float32 copy; the brain's own voxels stay as they are.
    """
    brain = images[..., FLAIR] > images[..., FLAIR].min()
    statistics = intensity_statistics(images)
    bone, scalp = (np.maximum(statistics.mean + grey * statistics.std, 0) for grey in (BONE_GREY, SCALP_GREY))
    width = np.sqrt(brain.sum(axis=(1, 2)).max())
    drawn = images.astype(np.float32)
    for picture, inside in zip(drawn, brain, strict=True):
        away = _distance_from_outline(inside) / width
        picture[(away <= BONE) & ~inside] = bone
        picture[(away > BONE) & (away <= BONE + SCALP)] = scalp
    return drawn


def _distance_from_outline(inside: np.ndarray) -> np.ndarray:
    """Pixels from the convex outline of what is inside, (height, width); infinite where there is nothing."""
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.full(inside.shape, np.inf)
    outline = np.zeros(inside.shape, np.uint8)
    cv2.fillPoly(outline, [cv2.convexHull(np.concatenate(contours))], 1)
    return cv2.distanceTransform(1 - outline, cv2.DIST_L2, 5)
