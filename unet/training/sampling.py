"""The training and validation patients of a run, and which slice comes next.

The patient is drawn uniformly, then a slice: patients with many slices must not dominate, and lesions must not
drown in empty slices.
"""

from dataclasses import dataclass, replace

import numpy as np

from unet.context import input_channels, neighbour_places
from unet.data.patients import Patient, load_volume
from unet.data.slice_files import DataError
from unet.data.splits import split_of
from unet.data.volume import Volume
from unet.language import t
from unet.preprocessing import IntensityStatistics, intensity_statistics
from unet.training.augmentation import Augmentation, augment

LESION_SHARE = 0.65  # of the drawn slices show a lesion


@dataclass(frozen=True)
class Example:
    """A volume in memory with its statistics; float32 slices are made as they are drawn."""

    volume: Volume
    statistics: IntensityStatistics


class SliceSampler:
    """Draw training batches: the patient uniformly, then a slice with or without lesion.

    A slice depends on the seed, the step and its row in the batch alone, so a resumed run sees what it would have
    seen, and several workers can each draw their own rows of one batch.
    """

    def __init__(
        self, examples: list[Example], batch_size: int, seed: int, augmentation: Augmentation, context: int = 0
    ) -> None:
        """Index the slices that have an expected mask.

        Args:
            examples: volumes to draw from.
            batch_size: slices of a batch.
            seed: of every random choice.
            augmentation: how slices are changed.
            context: neighbours on each side that a slice brings along (`unet.context`).

        Raises:
            DataError: there is none.
        """
        # what makes another sampler of the same examples draw the same
        self.settings = {"batch_size": batch_size, "seed": seed, "augmentation": augmentation, "context": context}
        self.channels = input_channels(context)
        self._examples, self._batch_size = examples, batch_size
        self._seed, self._augmentation, self._context = seed, augmentation, context
        self._slices = []
        for example in examples:
            scored = example.volume.has_mask
            lesion = example.volume.expected_mask.any(axis=(1, 2)) & scored
            self._slices.append((np.flatnonzero(lesion), np.flatnonzero(scored & ~lesion)))
        if not any(len(a) + len(b) for a, b in self._slices):
            raise DataError(t("no training slice has an expected mask. Add the *_mask.tif files."))

    def __len__(self) -> int:
        """Slices that can be drawn."""
        return sum(len(lesion) + len(empty) for lesion, empty in self._slices)

    def batch(self, step: int, size: int, rows: range | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return slices (B, size, size, channels) and masks (B, size, size, 1), float32; all rows, or only some."""
        rows = range(self._batch_size) if rows is None else rows
        slices = np.empty((len(rows), size, size, self.channels), np.float32)
        masks = np.empty((len(rows), size, size, 1), np.float32)
        self.fill(slices, masks, step, rows)
        return slices, masks

    def fill(self, slices: np.ndarray, masks: np.ndarray, step: int, rows: range) -> None:
        """Write rows of a batch into arrays of the shapes that `batch` returns."""
        for place, row in enumerate(rows):
            rng = np.random.default_rng((self._seed, step, row))
            slices[place], masks[place, ..., 0] = self._draw(rng, slices.shape[1])

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
        images, mask = example.volume.images, example.volume.expected_mask[index]
        places = neighbour_places([index], len(images), self._context)[0]
        return augment(images[places], mask, example.statistics, size, self._augmentation, rng)


def split_patients(
    patients: list[Patient], seed: int, training: int | None = None, validation: int | None = None
) -> tuple[list[Patient], list[Patient]]:
    """Return training and validation patients; no patient is in both, and test patients are in neither.

    Patients of the data set keep their published split. In a folder with none of them a fifth, drawn by the seed,
    is for judging.

    Args:
        patients: those of one folder.
        seed: of every random choice.
        training: how many to train on, drawn by the seed; None takes all.
        validation: how many to validate on, likewise.

    Raises:
        DataError: nobody to learn from or to judge by, or fewer than asked for.
    """
    rng = np.random.default_rng(seed)
    by_split: dict[str, list[Patient]] = {}
    for patient in sorted(patients, key=lambda patient: patient.patient_id):
        by_split.setdefault(split_of(patient.patient_id), []).append(patient)
    learn, judge = by_split.get("training", []), by_split.get("validation", [])
    if not {"training", "validation", "test"} & set(by_split):
        everyone = [patient for group in by_split.values() for patient in group]
        order = rng.permutation(len(everyone))
        cut = max(1, round(len(everyone) / 5)) if validation is None else validation
        judge, learn = [everyone[i] for i in order[:cut]], [everyone[i] for i in order[cut:]]
    if not learn:
        raise DataError(t("this folder holds no patient of the published training split"))
    for name, group, count in (("training", learn, training), ("validation", judge, validation)):
        if count is not None and not 1 <= count <= len(group):
            raise DataError(
                t(
                    "{count} {name} patients wanted; this folder has {available}",
                    count=count,
                    name=name,
                    available=len(group),
                )
            )

    def draw(group: list[Patient], count: int | None) -> list[Patient]:
        chosen = group if count is None else [group[i] for i in rng.permutation(len(group))[:count]]
        return sorted(chosen, key=lambda patient: patient.patient_id)

    return draw(learn, training), draw(judge, validation)


def load_examples(patients: list[Patient]) -> list[Example]:
    """Read patients into memory, about 7 MB each."""
    volumes = [load_volume(patient) for patient in patients]
    return [Example(volume, intensity_statistics(volume.images)) for volume in volumes]


def patient_ids(examples: list[Example]) -> list[str]:
    """Return whose the examples are, in alphabetical order."""
    return sorted(example.volume.patient_id for example in examples)


def overfit_subset(examples: list[Example], slices: int = 16) -> list[Example]:
    """Keep that many slices with lesion, of as many patients: a network that cannot learn these has a bug.

    Every patient gives the slice with most lesion, then, if these are too few, the next one.

    Raises:
        DataError: there are not so many.
    """
    areas = [example.volume.expected_mask.sum(axis=(1, 2), dtype=int) for example in examples]
    ranked = [np.argsort(-area, kind="stable")[: np.count_nonzero(area)] for area in areas]
    order = sorted((place, which) for which, indices in enumerate(ranked) for place in range(len(indices)))
    if len(order) < slices:
        raise DataError(
            t(
                "{slices} slices with lesion wanted; these {count} patients have {available}. Ask for fewer.",
                slices=slices,
                count=len(examples),
                available=len(order),
            )
        )
    taken = [which for _, which in order[:slices]]
    kept = []
    for which in sorted(set(taken)):
        volume, indices = examples[which].volume, np.sort(ranked[which][: taken.count(which)])
        only = replace(
            volume,
            images=volume.images[indices],
            expected_mask=volume.expected_mask[indices],
            has_mask=volume.has_mask[indices],
            slice_numbers=volume.slice_numbers[indices],
        )
        kept.append(Example(only, examples[which].statistics))
    return kept
