"""Draw a skull around a brain that has lost its own, in what the network sees.

BraTS, HD-BET and FreeSurfer give brains without a skull. The network was trained on whole heads, and its masks of
stripped ones are worse, whatever they are normalised by. A plain ring, dark as bone and then bright as scalp, brings
most of it back: see docs/decisions.md.
"""

import cv2
import numpy as np

from unet.data.volume import FLAIR
from unet.language import mark
from unet.preprocessing import intensity_statistics
from unet.scans import budget
from unet.scans.slice_classifier import SliceKind, is_stripped

BONE, SCALP = 0.02, 0.05  # thickness as shares of the brain's width, chosen on training patients without skull
BONE_GREY, SCALP_GREY = -2.0, 3.0  # standard deviations of the brain above its mean, in every sequence
FAINT = 0.03  # of the brightest: less is the noise that compression leaves around a stripped brain

DRAWN = mark(
    "This head has no skull. The network was trained on whole heads, so its input has a drawn skull around the brain. "
    "The picture that is shown stays as it is."
)


def network_images(images: np.ndarray, kinds: dict[int, SliceKind]) -> np.ndarray:
    """Return what the network is given of a volume: a copy with a drawn skull if its own was removed, else itself.

    Args:
        images: (slices, height, width, 3), any non-negative unit.
        kinds: what `unet.scans.slice_classifier.classify` says of it.
    """
    return budget.SERVER.hold(with_drawn_skull(images)) if is_stripped(kinds) else images


def with_drawn_skull(images: np.ndarray) -> np.ndarray:
    """Return a stripped volume with a ring of bone and of scalp around the outline of every slice.

    Args:
        images: (slices, height, width, 3), any non-negative unit, dark around the brain.

    Returns:
        A float32 copy; the brain's own voxels stay as they are.
    """
    flair = images[..., FLAIR]
    darkest, brightest = float(flair.min()), float(np.percentile(flair, 99.5))
    brain = flair > darkest + FAINT * (brightest - darkest)
    statistics = intensity_statistics(images)
    bone, scalp = (np.maximum(statistics.mean + grey * statistics.std, 0) for grey in (BONE_GREY, SCALP_GREY))
    width = np.sqrt(brain.sum(axis=(1, 2)).max())
    drawn = images.astype(np.float32)
    for picture, inside in zip(drawn, brain, strict=True):
        away = _distance_from_outline(inside) / width
        picture[(away <= BONE) & ~inside] = bone
        picture[(away > BONE) & (away <= BONE + SCALP)] = scalp
    return drawn


def _distance_from_outline(brain: np.ndarray) -> np.ndarray:
    """Return how far each pixel lies outside the convex outline of a slice's brain; infinite where there is none."""
    specks = np.ones((3, 3), np.uint8)
    solid = cv2.morphologyEx(brain.astype(np.uint8), cv2.MORPH_OPEN, specks)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.full(brain.shape, np.inf)
    outline = np.zeros(brain.shape, np.uint8)
    cv2.fillPoly(outline, [cv2.convexHull(np.concatenate(contours))], 1)
    return cv2.distanceTransform(1 - outline, cv2.DIST_L2, 5)
