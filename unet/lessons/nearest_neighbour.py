"""A nearest-neighbour baseline: the score that a split by slice lets through.

It understands nothing. Asked for the mask of a slice, it recalls the most alike slice that it has seen and copies its
mask. Where slices of one patient lie on both sides of a split, that is enough for a fair score.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from unet.data.volume import Volume
from unet.language import t
from unet.metrics import dice_score

SIDE = 32  # pixels; enough to tell slices apart, and quick to compare


@dataclass(frozen=True, eq=False)
class Memory:
    """Slices of the baseline.

    Attributes:
        described: what is compared, (n, SIDE · SIDE · 3) float32, as from `describe`.
        masks: expected mask of each, (height, width) uint8 in {0, 1}.
        places: patient_id and slice_index of each.
    """

    described: np.ndarray
    masks: tuple[np.ndarray, ...]
    places: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return len(self.places)

    def without(self, patient_id: str) -> "Memory":
        """Return what is left of it without a patient."""
        kept = [number for number, place in enumerate(self.places) if place[0] != patient_id]
        return Memory(self.described[kept], tuple(self.masks[n] for n in kept), tuple(self.places[n] for n in kept))

    def recall(self, described: np.ndarray, place: tuple[str, int]) -> int:
        """Return the number of the most alike slice, leaving out the very slice that is asked about.

        Args:
            described: (SIDE · SIDE · 3,), a row of `describe`.
            place: patient_id and slice_index of that slice.

        Raises:
            ValueError: nothing was learned but the slice itself.
        """
        likeness = self.described @ described
        likeness[[number for number, own in enumerate(self.places) if own == place]] = -np.inf
        if not np.isfinite(likeness).any():
            raise ValueError(t("no other training slice: add a volume of two or more slices"))
        return int(likeness.argmax())

    def copied(self, number: int, shape: tuple[int, int]) -> np.ndarray:
        """Return a remembered mask, (height, width) uint8, stretched where the slice asked about is larger."""
        mask = self.masks[number]
        return mask if mask.shape == shape else cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def describe(images: np.ndarray) -> np.ndarray:
    """Return each slice as a vector whose product with another's is their likeness, in [-1, 1].

    It is the correlation of the shrunk pictures, mean of the three channels; a channel without contrast adds nothing.

    Args:
        images: (slices, height, width, 3), any unit.

    Returns:
        (slices, SIDE · SIDE · 3) float32.

    >>> slices = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
    >>> bool(np.isclose(*(row @ row for row in describe(slices))))
    True
    """
    small = np.stack(
        [cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    )
    channels = small.reshape(len(small), -1, 3)
    channels = channels - channels.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(channels, axis=1, keepdims=True)
    return (channels / np.where(norms > 0, norms, 1) / np.float32(np.sqrt(3))).reshape(len(small), -1)


def learn(volumes: Iterable[Volume]) -> Memory:
    """Return a memory of all slices whose expected mask is known."""
    described, masks, places = [np.empty((0, SIDE * SIDE * 3), np.float32)], [], []
    for volume in volumes:
        known = np.flatnonzero(volume.has_mask)
        described.append(describe(volume.images[known]) if len(known) else described[0])
        masks += [volume.expected_mask[index] for index in known]
        places += [(volume.patient_id, int(index)) for index in known]
    return Memory(np.concatenate(described), tuple(masks), tuple(places))


def scores(asked: Memory, memory: Memory) -> list[float]:
    """Return the slice Dice that copying from memory reaches, for each slice asked about that has a lesion.

    Raises:
        ValueError: nothing to recall for one of them.
    """
    found = []
    for described, expected, place in zip(asked.described, asked.masks, asked.places, strict=True):
        if expected.any():
            found.append(dice_score(memory.copied(memory.recall(described, place), expected.shape), expected))
    return found
