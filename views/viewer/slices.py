"""What every viewer knows of slices: channels and their windows, the slice to open first, what each level means."""

import re

import numpy as np
import streamlit as st

from unet import overlay
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume
from unet.language import mark

CHANNELS = {
    mark("FLAIR"): FLAIR,
    mark("Pre-contrast"): PRE_CONTRAST,
    mark("Post-contrast"): POST_CONTRAST,
    mark("RGB"): None,
}
SLICE_ORDER = {
    mark("axial"): mark("from the neck to the crown"),
    mark("coronal"): mark("from the nose to the back of the head"),
    mark("sagittal"): mark("from the patient's right to the left"),
    None: mark("in the order of the file"),
}
LEVEL_MEANINGS = {
    4: mark("Coarsest gate. The deepest features control it. It weights the first skip into the decoder."),
    3: mark("One level finer. It weights features of a few pixels in size."),
    2: mark("Finer again. The decoder's features from the levels below control it."),
    1: mark("Finest gate. It weights edges and texture just before the mask."),
}
PROBABILITY_MEANING = mark("The probability that a pixel is lesion. The threshold turns it into a mask.")


def slice_picture(volume: Volume, index: int, channel: str) -> np.ndarray:
    """Return a slice as (height, width, 3) uint8; the window is the same for all slices of a patient."""
    which = CHANNELS[channel]
    if which is None:
        return overlay.to_display(volume.images[index], window(volume, channel))
    return overlay.grey_to_rgb(overlay.to_display(volume.images[index, ..., which], window(volume, channel)))


def window(volume: Volume, channel: str) -> tuple[float, float]:
    """Return the intensities shown as black and white, the same for all slices."""
    which = CHANNELS[channel]
    images = volume.images if which is None else volume.images[..., which]
    return overlay.display_window(images[:, ::4, ::4])  # every fourth pixel says the same and keeps the slider quick


def linked_slice(count: int) -> int | None:
    """The slice that the link names, from 1 to `count`."""
    return slice_number(st.query_params.get("slice"), count)


def slice_number(text: str | None, count: int) -> int | None:
    """Return the number that a link names a slice by, from 1 to `count`, or None where it names none.

    >>> slice_number("13", 24), slice_number("25", 24), slice_number("x", 24), slice_number(None, 24)
    (13, None, None, None)
    """
    return int(text) if text and re.fullmatch("[0-9]{1,6}", text) and 1 <= int(text) <= count else None


def opening_slice(volume: Volume, predicted: np.ndarray) -> int:
    """Return the index with the largest predicted lesion, else the largest expected one, else the middle."""
    for mask in (predicted, volume.expected_mask):
        if mask.any():
            return int(mask.sum(axis=(1, 2)).argmax())
    return len(volume) // 2
