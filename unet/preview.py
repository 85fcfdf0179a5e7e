"""Pictures of the same validation slices after each epoch: the mask as it appears, and where attention goes."""

import numpy as np

from unet import overlay
from unet.data import FLAIR
from unet.preprocessing import Fit, normalise
from unet.sampling import Example

PREVIEW_PATIENTS, ATTENTION_PATIENTS = 6, 3
LEVELS = (4, 3, 2, 1)  # of attention, coarsest first, as the decoder uses them


def lesion_slice(example: Example) -> int:
    """Return the index of the slice with most expected lesion."""
    return int(example.volume.expected_mask.sum(axis=(1, 2)).argmax())


def draw_masks(validation: list[Example], masks: list[np.ndarray]) -> np.ndarray:
    """Draw predicted against expected, a column for each of the first patients.

    Args:
        masks: per patient (slices, height, width) in {0, 1}.
    """
    pictures = []
    for example, mask in list(zip(validation, masks, strict=True))[:PREVIEW_PATIENTS]:
        index = lesion_slice(example)
        pictures.append(overlay.draw_errors(_flair(example), mask[index], example.volume.expected_mask[index]))
    return _side_by_side(pictures)


def draw_attention(validation: list[Example], predict, size: int) -> np.ndarray:
    """Draw the attention maps of the same slices: a row for each of the first patients, a column for each level.

    Args:
        predict: from slices (B, size, size, 3) to the network's outputs.
        size: side in pixels that the network runs at.
    """
    rows = []
    for example in validation[:ATTENTION_PATIENTS]:
        image = example.volume.images[lesion_slice(example)]
        fit = Fit(*image.shape[:2], size)
        outputs = predict(fit.forward(normalise(image, example.statistics))[np.newaxis])
        pictures = []
        for level in LEVELS:
            values = np.float32(outputs[f"attention_{level}"])[0, ..., 0]
            square = np.kron(values, np.ones((2**level, 2**level), np.float32))  # as the network upsamples it
            pictures.append(overlay.draw_values(_flair(example), fit.inverse(square), 0.65))
        rows.append(np.hstack(pictures))
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _flair(example: Example) -> np.ndarray:
    flair = example.volume.images[lesion_slice(example), ..., FLAIR]
    return overlay.grey_to_rgb(overlay.to_display(flair, overlay.display_window(flair)))


def _side_by_side(pictures: list[np.ndarray]) -> np.ndarray:
    height = max(len(picture) for picture in pictures)
    return np.hstack([np.pad(p, ((0, height - len(p)), (0, 0), (0, 0))) for p in pictures])
