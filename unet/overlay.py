"""Pictures from arrays: RGB uint8 in, RGB uint8 out, never changing what they are given.

The colours are Okabe and Ito's, told apart by colour-blind eyes (Wong 2011, doi:10.1038/nmeth.1618).
"""

from pathlib import Path

import cv2
import numpy as np

# by hue only: sky blue and orange are equally light, so without colour the outline has to tell
EXPECTED_COLOUR = (86, 180, 233)
PREDICTED_COLOUR = (230, 159, 0)
TRUE_POSITIVE_COLOUR = (0, 158, 115)
FALSE_POSITIVE_COLOUR = (230, 159, 0)
FALSE_NEGATIVE_COLOUR = (204, 121, 167)


def grey_to_rgb(image: np.ndarray) -> np.ndarray:
    """Return (height, width) grey values as (height, width, 3)."""
    return np.repeat(image[..., np.newaxis], 3, axis=-1)


def display_window(volume: np.ndarray, percentile: float = 99.8) -> tuple[float, float]:
    """Return the grey values shown as black and white: 0 to nearly the brightest, so that dark scans are seen."""
    return 0.0, max(1.0, float(np.percentile(volume, percentile)))


def to_display(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Map grey values to uint8, linear between the window's ends. For the eye only, never the network's input."""
    low, high = window
    return (np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255 + 0.5).astype(np.uint8)


def draw_mask(
    picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], opacity: float = 0.45, outline: bool = False
) -> np.ndarray:
    """Lay a mask over a picture.

    Args:
        picture: (height, width, 3) uint8.
        mask: (height, width) in {0, 1}.
        colour: RGB, 0 to 255.
        opacity: 0 leaves the picture, 1 hides it.
        outline: only the mask's own edge pixels, instead of its area, and less see-through: a line is easily lost.
    """
    if outline:
        through = 1 - opacity
        opacity = 1 - through * through * through
    where = (mask_edge(mask) if outline else mask).astype(bool)
    result = picture.copy()
    blend = picture[where] * (1 - opacity) + np.array(colour) * opacity
    result[where] = (blend + 0.5).astype(np.uint8)
    return result


def mask_edge(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask that touch its outside, as uint8 in {0, 1}; the picture's rim counts as outside."""
    mask = (mask > 0).astype(np.uint8)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask - inner


def draw_errors(
    picture: np.ndarray,
    predicted_mask: np.ndarray,
    expected_mask: np.ndarray,
    opacity: float = 0.45,
    outline: bool = False,
) -> np.ndarray:
    """Colour true positives, false positives and false negatives."""
    predicted, expected = predicted_mask.astype(bool), expected_mask.astype(bool)
    for where, colour in (
        (predicted & expected, TRUE_POSITIVE_COLOUR),
        (predicted & ~expected, FALSE_POSITIVE_COLOUR),
        (expected & ~predicted, FALSE_NEGATIVE_COLOUR),
    ):
        picture = draw_mask(picture, where, colour, opacity, outline)
    return picture


def colour_map(values: np.ndarray) -> np.ndarray:
    """Map (height, width) in [0, 1] to RGB on a fixed scale, viridis: 0 dark blue, 1 yellow."""
    grey = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1])


def draw_values(picture: np.ndarray, values: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Lay a map of values in [0, 1], a probability or an attention map, over a picture."""
    return (picture * (1 - opacity) + colour_map(values) * opacity + 0.5).astype(np.uint8)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write RGB or grey uint8 as PNG."""
    path.write_bytes(encode_png(picture))


def encode_png(picture: np.ndarray) -> bytes:
    """Return RGB or grey uint8 as the bytes of a PNG."""
    ordered = picture[..., ::-1] if picture.ndim == 3 else picture
    return cv2.imencode(".png", np.ascontiguousarray(ordered))[1].tobytes()
