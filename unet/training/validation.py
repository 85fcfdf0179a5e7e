"""Who may validate a run, and how an epoch is validated."""

from collections.abc import Callable

import numpy as np

from unet.context import with_neighbours
from unet.data.folds import check_fold
from unet.language import t, tn
from unet.letterbox import Letterbox
from unet.preprocessing import normalise
from unet.training.endings import TrainingError
from unet.training.run_folder import RunFolder
from unet.training.sampling import Example, patient_ids

NORM_SLICES = 1600  # at most, for the average's batch-norm statistics: over 320 a score varies by 0.0016
VALIDATION_SLICES = 16  # slices predicted at once


def check_examples(training: list[Example], validation: list[Example], allow_overlap: bool, fold: int | None) -> None:
    """Refuse patients that a run cannot be trained or validated with.

    Raises:
        TrainingError: nobody to train on, nobody with a lesion to validate on, or a patient in both lists.
        DataError: patients that do not fit the fold.
    """
    if not training or not validation:
        raise TrainingError(
            t(
                "{training} training and {validation} validation patients; a run needs both",
                training=len(training),
                validation=len(validation),
            )
        )
    if not any(example.volume.expected_mask.any() for example in validation):
        raise TrainingError(
            t("no validation slice shows a lesion, so epochs cannot be compared. Add patients with masks.")
        )
    both = set(patient_ids(training)) & set(patient_ids(validation))
    if both and not allow_overlap:
        raise TrainingError(
            tn(
                "{n} patient is in training and in validation: {first}. The score would measure memorisation. Remove "
                "the patient from one group.",
                "{n} patients are in training and in validation; the first is {first}. The score would measure "
                "memorisation. Remove them from one group.",
                len(both),
                first=min(both),
            )
        )
    if fold is not None:
        check_fold(fold, patient_ids(training), patient_ids(validation))


def check_same_patients(folder: RunFolder, training: list[Example], validation: list[Example]) -> None:
    """Refuse to resume a run with other patients than it began with.

    Raises:
        TrainingError: they are not those of `spec.json`.
    """
    spec = folder.read_spec()
    for name, examples in (("training", training), ("validation", validation)):
        if other := sorted(set(patient_ids(examples)) ^ set(spec[f"{name}_patients"])):
            raise TrainingError(
                t(
                    "{path} cannot be resumed with other {name} patients: {other} and {count} more differ "
                    "from spec.json. Resume with the same patients, or choose another folder.",
                    path=folder.path,
                    name=name,
                    other=other[0],
                    count=len(other) - 1,
                )
            )


def norm_batches(steps: int, batch_size: int = 8) -> int:
    """Return how many batches measure batch-norm statistics after an epoch of so many steps.

    As many, up to 40; in longer epochs half as many, which costs a seventh of the time.

    >>> norm_batches(8), norm_batches(60), norm_batches(425), norm_batches(425, batch_size=16)
    (8, 40, 200, 100)
    """
    return min(max(6, NORM_SLICES // batch_size), max(6, min(steps, 40), steps // 2))


def predict_volume(
    example: Example, size: int, context: int, predict: Callable[[np.ndarray], dict], between: Callable[[], None]
) -> np.ndarray:
    """Return the mask of a volume at threshold 0.5 on its native grid, (slices, height, width) uint8.

    Args:
        example: the volume with its statistics.
        size: side in pixels that the network sees.
        context: neighbours on each side that a slice brings along.
        predict: from normalised slices to the network's outputs.
        between: called before each part of the slices.
    """
    images = example.volume.images
    letterbox = Letterbox.of(images.shape[1:], size)
    slices = np.stack([letterbox.forward(slice_) for slice_ in normalise(images, example.statistics)])
    slices = with_neighbours(slices, context)
    parts = []
    for start in range(0, len(slices), VALIDATION_SLICES):
        between()
        outputs = predict(slices[start : start + VALIDATION_SLICES])
        parts.append(np.asarray(outputs["probability"])[..., 0])
    return np.stack([letterbox.inverse(probability) >= 0.5 for probability in np.concatenate(parts)]).astype(np.uint8)
