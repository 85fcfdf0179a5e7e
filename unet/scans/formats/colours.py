"""What the colours of a single picture mean: three sequences, a grey picture with a tint or an arrow, or a mask."""

import numpy as np

from unet.language import t

DARK = 0.1  # of the brightest value: pixels below it are air and say nothing about colours
ALIKE = 0.97  # of a channel's variance that a line of another explains; 817 slices of the data set reach 0.94 at most
TRIMMED = 0.05  # of the pixels, those that fit worst: an arrow, a label
_PROBED = 20_000  # pixels that are looked at
_LABELS = 16  # a mask that was saved without loss has no more values


def grey_if_tinted(picture: np.ndarray, notes: list[str]) -> np.ndarray:
    """Return a picture whose three colours say the same, but for a tint, an arrow or a label, as one channel.

    Args:
        picture: (height, width, channels).
        notes: gets a sentence where channels are joined.
    """
    if picture.shape[2] != 3 or are_equal(picture) or not _is_tinted(picture):
        return picture
    notes.append(
        t(
            "A grey picture with a tint, or with something drawn on it in colour: read as one sequence. Marks on the "
            "picture change the mask."
        )
    )
    red, green, blue = np.moveaxis(
        picture, 2, 0
    )  # one by one: along an axis of three NumPy takes several times as long
    return ((red.astype(np.float32) + green + blue) / np.float32(3))[..., np.newaxis]


def mask_of_colours(picture: np.ndarray, lossy: bool, notes: list[str]) -> np.ndarray:
    """Return a picture that is named like a mask as one channel: what is not black is lesion, whatever its colour.

    A mask that was saved with loss has values between; those from half of the brightest up count.

    Args:
        picture: (height, width, channels).
        lossy: whether its format changes values.
        notes: gets a sentence where something was decided.
    """
    flat = picture.max(axis=2, keepdims=True)
    if picture.shape[2] > 1 and not are_equal(picture):
        notes.append(t("A mask in colours: each pixel that is not black counts as lesion."))
        flat = np.where(flat > 0, np.maximum(flat, 1), 0)
    if lossy and len(np.unique(flat)) > _LABELS:
        bright = flat >= flat.max() / 2
        notes.append(
            t(
                "The mask has values between black and white, as a JPEG has: those from half of the brightest up "
                "count as lesion. Save masks as PNG."
            )
        )
        flat = bright.astype(np.uint8) * np.uint8(255)
    return flat


def are_equal(picture: np.ndarray) -> bool:
    """Tell whether all channels, on the last axis, hold the same."""
    return bool((picture[..., 1:] == picture[..., :1]).all())


def _is_tinted(picture: np.ndarray) -> bool:
    pixels = picture.reshape(-1, 3)
    brightest = np.maximum(np.maximum(pixels[:, 0], pixels[:, 1]), pixels[:, 2])
    bright = np.flatnonzero(brightest > DARK * float(brightest.max()))
    pixels = pixels[bright[:: max(1, len(bright) // _PROBED)]].astype(np.float32)
    return len(pixels) > 100 and all(_explained(pixels[:, 1], pixels[:, other]) >= ALIKE for other in (0, 2))


def _explained(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of the variance of `second` that a line of `first` explains, the worst pixels left out."""
    kept, left = np.ones(len(first), bool), np.zeros(len(first), np.float32)
    for _ in range(3):
        x, y = first[kept], second[kept]
        if not x.var():
            return 0.0
        slope = ((x - x.mean()) * (y - y.mean())).mean() / x.var()
        left = np.abs(second - y.mean() - slope * (first - x.mean()))
        kept = left <= np.quantile(left, 1 - TRIMMED)
    variance = float(second[kept].var())
    return 1 - float((left[kept] ** 2).mean()) / variance if variance else 0.0
