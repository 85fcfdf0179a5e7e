"""Tell what slices show: which sequence, which way up, with or without a skull, and whether it is a brain at all.

A small convolutional network: four times convolution, ReLU and pooling, then one layer for four answers. It is small
enough to run in NumPy, so that no library has to be loaded for it. `unet.training.slice_classifier` trains it.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES, copies_of_flair
from unet.language import mark, t
from unet.letterbox import Letterbox
from unet.paths import WEIGHTS_FOLDER
from unet.preprocessing import intensity_statistics, normalise
from unet.weights.arrays import WeightsError, file_sha256, load_arrays

FOLDER = WEIGHTS_FOLDER / "slice-classifier"
SIZE = 64  # pixels a side of what the network sees
LEVELS = 4  # times convolution and pooling
MAX_SLICES = 16  # of a volume that are looked at, evenly spaced over the middle two thirds
ANSWERS = {"sequence": slice(0, 3), "turn": slice(3, 7), "stripped": slice(7, 8), "brain": slice(8, 9)}
OUTPUTS = 9
SURE = 0.5  # a mean probability above this counts as an answer
OTHER_SEQUENCE = 0.7  # that FLAIR is a T1 or a T1 FLAIR; on validation the rightly named ones reach 0.68
_TURNS = (
    mark("The head lies on its side, with the nose to the left. The network was trained on heads with the nose up."),
    mark("The head is upside down. The network was trained on heads with the nose up."),
    mark("The head lies on its side, with the nose to the right. The network was trained on heads with the nose up."),
)


@dataclass(frozen=True, eq=False)
class SliceKind:
    """What one sequence of a volume shows: probabilities in [0, 1], means over the slices that were looked at.

    Attributes:
        sequence: (3,), that it is pre-contrast T1, FLAIR or post-contrast T1.
        turn: (4,), that it is turned by so many quarters, anticlockwise; 0 is upright, 2 upside down.
        stripped: that the skull was removed.
        brain: that these are axial slices of a brain in MRI.
    """

    sequence: np.ndarray
    turn: np.ndarray
    stripped: float
    brain: float


def classify(images: np.ndarray, folder: Path = FOLDER) -> dict[int, SliceKind]:
    """Classify each sequence of a volume.

    Args:
        images: (slices, height, width, 3), any non-negative unit; not changed.
        folder: of the trained network.

    Returns:
        By channel; without those that are a copy of FLAIR.

    Raises:
        WeightsError: the network is missing or was changed.
    """
    letterbox, statistics = Letterbox.of(images.shape[1:], SIZE), intensity_statistics(images)
    # slice by slice: those of an upload may be large
    squares = np.stack([letterbox.forward(normalise(images[i], statistics)) for i in middle_slices(len(images))])
    copies = copies_of_flair(images)
    channels = [c for c in (PRE_CONTRAST, FLAIR, POST_CONTRAST) if SEQUENCE_NAMES[c] not in copies]
    return {channel: _kind(logits(squares[..., [channel]], _arrays(folder))) for channel in channels}


def is_stripped(kinds: dict[int, SliceKind]) -> bool:
    """Return whether the skull was removed from a volume that `classify` has looked at."""
    return kinds[FLAIR].stripped > SURE


def doubts(kinds: dict[int, SliceKind]) -> list[str]:
    """Return a plain sentence for each way in which the slices do not show what they are taken for.

    Args:
        kinds: from `classify`, by channel.
    """
    flair = kinds[FLAIR]
    if flair.brain < SURE:
        return [t("These do not look like axial slices of a brain in MRI.")]
    found = []
    turn = int(flair.turn.argmax())
    if turn and flair.turn[turn] > SURE:
        found.append(t(_TURNS[turn - 1]))
    for channel, kind in kinds.items():
        other = 1 - kind.sequence[FLAIR] if channel == FLAIR else kind.sequence[FLAIR]
        if other > OTHER_SEQUENCE:
            found.append(
                t(
                    "The picture that is used as {taken} looks like {seen} ({probability:.0%}). Check which picture is "
                    "which.",
                    taken=t(SEQUENCE_NAMES[channel]),
                    seen="T1" if channel == FLAIR else "FLAIR",
                    probability=float(other),
                )
            )
    return found


def middle_slices(count: int) -> np.ndarray:
    """Return the indices of at most `MAX_SLICES` slices, evenly spaced over the middle two thirds of `count`.

    >>> middle_slices(6).tolist(), len(middle_slices(88))
    ([1, 2, 3, 4], 16)
    """
    middle = np.arange(count // 6, count - count // 6)
    return middle[np.linspace(0, len(middle) - 1, min(MAX_SLICES, len(middle))).round().astype(int)]


def logits(squares: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Run the network.

    Args:
        squares: (n, SIZE, SIZE, 1) z-scores.
        arrays: kernel and bias of each layer, as Keras lays them out.

    Returns:
        (n, OUTPUTS); `ANSWERS` says which is what.
    """
    x = squares.astype(np.float32)
    for level in range(1, LEVELS + 1):
        x = np.maximum(_convolve(x, arrays[f"conv_{level}/kernel"]) + arrays[f"conv_{level}/bias"], 0)
        count, height, width, filters = x.shape
        x = x.reshape(count, height // 2, 2, width // 2, 2, filters).max(axis=(2, 4))
    return x.reshape(len(x), -1) @ arrays["answers/kernel"] + arrays["answers/bias"]


def _convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve (n, h, w, c) with (3, 3, c, filters); zeros lie beyond the edge."""
    windows = sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2))
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


def _kind(outputs: np.ndarray) -> SliceKind:
    """Turn the network's outputs for some slices into mean probabilities."""

    def softmax(values: np.ndarray) -> np.ndarray:
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)

    def sigmoid(values: np.ndarray) -> float:
        return float((1 / (1 + np.exp(-values))).mean())

    parts = {name: outputs[:, where] for name, where in ANSWERS.items()}
    return SliceKind(
        softmax(parts["sequence"]), softmax(parts["turn"]), sigmoid(parts["stripped"]), sigmoid(parts["brain"])
    )


@cache
def _arrays(folder: Path) -> dict[str, np.ndarray]:
    """The trained numbers, verified as those of the large networks are."""
    facts, file = folder / "classifier.json", folder / "classifier.npz"
    try:
        wanted = json.loads(facts.read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            t("{folder} cannot be used: {error!r}. Check the project out again.", folder=facts, error=error)
        ) from None
    arrays, _ = load_arrays(file)
    if file_sha256(file) != wanted:
        raise WeightsError(
            t("{file} is not the one that its classifier.json describes. Check the project out again.", file=file)
        )
    return arrays
