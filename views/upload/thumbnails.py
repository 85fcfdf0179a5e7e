"""Small pictures of a scan, bright enough to judge, whatever window its header asks for."""

import cv2
import numpy as np

from unet import overlay
from unet.scans.scan import Scan

SIDE = 172  # pixels of the large picture of a card, and about half of it for the small ones beside it
GAP = 4  # pixels of black between them
_PROBED = 24  # slices in which the one with most head is looked for
_MIDDLE = 0.2  # of a slice's height and width that does not count for its brightness on each side: scalp is brightest


def fullest_slice(scan: Scan, channel: int = 0) -> int:
    """Return the index of the slice that shows most of the head: the one with most pixels that are not dark."""
    count = len(scan.voxels)
    probed = np.unique(np.linspace(0, count - 1, min(_PROBED, count)).round().astype(int))
    values = _thinned(scan, probed, slice(channel, channel + 1))
    low, high = np.percentile(values, [1, 99])
    filled = (values > low + 0.15 * (high - low)).mean(axis=(1, 2, 3))
    middle = -np.abs(probed - (count - 1) / 2)  # among equals
    return int(probed[np.lexsort((middle, filled))[-1]])


def picture(
    scan: Scan, index: int, height: int, channel: int | None = None, brightest: int | None = None
) -> np.ndarray:
    """Return one slice as (height, width, 3) uint8, in its true proportions.

    Black and white are percentiles of the middle of a slice, and the same for all slices with the same `brightest`:
    windows of headers differ from slice to slice, and some make a whole series white.

    Args:
        scan: whose channels are three colours, or sequences.
        index: of the slice, from 0.
        height: of the picture, in pixels.
        channel: shown in grey; by default three channels are shown in colour, else the first one.
        brightest: index of the slice that sets black and white; by default this one.
    """
    colour = channel is None and scan.voxels.shape[3] == 3
    which = slice(0, 3) if colour else slice(channel or 0, (channel or 0) + 1)
    shown, bright = _thinned(scan, [index, index if brightest is None else brightest], which)
    rows, columns = (slice(int(_MIDDLE * size), size - int(_MIDDLE * size)) for size in bright.shape[:2])
    low, high = np.percentile(bright[rows, columns], [0.5, 99.5])
    if high <= low:  # an empty middle
        low, high = float(bright.min()), float(bright.max())
    grey = overlay.to_display(shown, (float(low), float(high)))
    _, row, column = scan.spacing or (1, 1, 1)
    across = max(8, min(4 * height, round(height * shown.shape[1] * column / (shown.shape[0] * row))))
    shrinks = height < shown.shape[0]
    resized = cv2.resize(grey, (across, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized if colour else overlay.grey_to_rgb(resized)


def collage(scan: Scan) -> np.ndarray:
    """Return the fullest slice, and beside it one further down and one further up, (height, width, 3) uint8."""
    fullest, count = fullest_slice(scan), len(scan.voxels)
    large = picture(scan, fullest, SIDE)
    if count < 3:
        return large
    half = (SIDE - GAP) // 2
    others = [picture(scan, index, half, brightest=fullest) for index in (3 * (count - 1) // 4, (count - 1) // 4)]
    gap = np.zeros((GAP, others[0].shape[1], 3), np.uint8)
    small = np.vstack([others[0], gap, others[1]])
    return np.hstack([large, np.zeros((SIDE, GAP, 3), np.uint8), small])


def _thinned(scan: Scan, indices: list[int] | np.ndarray, channels: slice) -> np.ndarray:
    """Return slices with fewer rows and columns where they are large, as float32: a part will do, and saves memory."""
    step = max(1, min(scan.voxels.shape[1:3]) // 768)
    return np.stack([scan.voxels[index, ::step, ::step, channels] for index in indices]).astype(np.float32)
