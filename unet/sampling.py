"""Which slice the network learns from next.

The patient is drawn uniformly, then a slice: patients with many slices must not dominate, and lesions must not
drown in empty slices.
"""

from dataclasses import dataclass, replace

import numpy as np

from unet.augmentation import Augmentation, augment
from unet.data import DataError, Patient, Volume, load_volume
from unet.preprocessing import IntensityStatistics, intensity_statistics

LESION_SHARE = 0.65  # of the drawn slices show a lesion


@dataclass(frozen=True)
class Example:
    """A volume in memory with its statistics; float32 slices are made as they are drawn."""

    volume: Volume
    statistics: IntensityStatistics


class SliceSampler:
    """Draw training batches: the patient uniformly, then a slice with or without lesion.

    The batch of a step depends on the seed and the step alone, so a resumed run sees what it would have seen.
    """

    def __init__(self, examples: list[Example], batch_size: int, seed: int, augmentation: Augmentation):
        """Index the slices that have an expected mask.

        Raises:
            DataError: there is none.
        """
        self._examples, self._batch_size = examples, batch_size
        self._seed, self._augmentation = seed, augmentation
        self._slices = []
        for example in examples:
            scored = example.volume.has_mask
            lesion = example.volume.expected_mask.any(axis=(1, 2)) & scored
            self._slices.append((np.flatnonzero(lesion), np.flatnonzero(scored & ~lesion)))
        if not any(len(a) + len(b) for a, b in self._slices):
            raise DataError("no training slice has an expected mask; add the *_mask.tif files")

    def __len__(self) -> int:
        """Slices that can be drawn."""
        return sum(len(lesion) + len(empty) for lesion, empty in self._slices)

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return slices (B, size, size, 3) and masks (B, size, size, 1), float32."""
        rng = np.random.default_rng((self._seed, step))
        drawn = [self._draw(rng, size) for _ in range(self._batch_size)]
        slices, masks = zip(*drawn, strict=True)
        return np.stack(slices), np.stack(masks)[..., np.newaxis]

    def _draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        while True:
            which = rng.integers(len(self._examples))
            lesion, empty = self._slices[which]
            pool = lesion if rng.random() < LESION_SHARE else empty
            pool = pool if len(pool) else np.concatenate([lesion, empty])
            if len(pool):
                break
        index = rng.choice(pool)
        example = self._examples[which]
        image, mask = example.volume.images[index], example.volume.expected_mask[index]
        return augment(image, mask, example.statistics, size, self._augmentation, rng)


def load_examples(patients: list[Patient]) -> list[Example]:
    """Read patients into memory, about 7 MB each."""
    volumes = [load_volume(patient) for patient in patients]
    return [Example(volume, intensity_statistics(volume.images)) for volume in volumes]


def overfit_subset(examples: list[Example], slices: int = 16) -> list[Example]:
    """Keep that many slices with lesion, from as many patients: a network that cannot learn these has a bug."""
    kept = []
    for example in examples[:slices]:
        volume = example.volume
        index = volume.expected_mask.sum(axis=(1, 2)).argmax()
        only = replace(
            volume,
            images=volume.images[[index]],
            expected_mask=volume.expected_mask[[index]],
            has_mask=volume.has_mask[[index]],
            slice_numbers=volume.slice_numbers[[index]],
        )
        kept.append(Example(only, example.statistics))
    return kept
