"""Five folds over the 88 training and validation patients, for cross-validation.

Eleven validation patients cannot tell a good recipe from a lucky one. With five networks, each trained on four folds,
every one of the 88 is scored by a network that has not seen it. The ten test patients are in no fold.

    python -m unet.data.folds --data DIR --seed 2026

makes `folds.json` again from the size of every patient's lesion.
"""

import argparse
import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from unet.data.clinical import institution
from unet.data.patients import Patient, find_data_root, list_patients, load_volume
from unet.data.slice_files import DataError
from unet.data.splits import published_splits, split_of
from unet.language import t, tn

FOLDS = 5
SEED = 2026
_FILE = Path(__file__).with_name("folds.json")


@cache
def published_folds() -> tuple[tuple[str, ...], ...]:
    """Return the patient ids of each of the five folds; no patient is in two, and no test patient in any."""
    return tuple(tuple(ids) for ids in json.loads(_FILE.read_text()))


def fold_of(patient_id: str) -> int | None:
    """Return the fold that a patient is in, or None.

    >>> fold_of("TCGA_CS_4944_20010208") is None  # a test patient
    True
    """
    return next((fold for fold, ids in enumerate(published_folds()) if patient_id in ids), None)


def fold_patients(patients: list[Patient], fold: int) -> tuple[list[Patient], list[Patient]]:
    """Return the patients of the other four folds, to train on, and those of this fold, to validate on.

    Args:
        patients: all that the folder holds; those in no fold are left out.
        fold: 0 to 4.

    Raises:
        DataError: there is no such fold, or the folder has no patient for one of the two groups.
    """
    check_number(fold)
    ordered = sorted(patients, key=lambda patient: patient.patient_id)
    training = [p for p in ordered if fold_of(p.patient_id) not in (None, fold)]
    validation = [p for p in ordered if fold_of(p.patient_id) == fold]
    if not training or not validation:
        raise DataError(
            t(
                "fold {fold} needs patients of the data set: this folder has {training} for training and "
                "{validation} for validation. Check --data.",
                fold=fold,
                training=len(training),
                validation=len(validation),
            )
        )
    return training, validation


def check_number(fold: int) -> None:
    """Refuse a number that is no fold.

    Raises:
        DataError: it is none of 0 to 4.
    """
    if fold not in range(FOLDS):
        raise DataError(t("fold {fold}: expected a number from 0 to {folds}", fold=fold, folds=FOLDS - 1))


def all_fold_patients(patients: list[Patient]) -> tuple[list[Patient], list[Patient]]:
    """Return the patients of all folds, to train on, and the published validation patients, whom a curve shows.

    Raises:
        DataError: the folder has none of them.
    """
    ordered = sorted(patients, key=lambda patient: patient.patient_id)
    training = [p for p in ordered if fold_of(p.patient_id) is not None]
    validation = [p for p in training if split_of(p.patient_id) == "validation"]
    if not validation:
        raise DataError(t("training on all patients needs the whole data set; this folder has no validation patient"))
    return training, validation


def check_fold(fold: int, training: list[str], validation: list[str]) -> None:
    """Refuse patients that do not fit a fold: its own may only validate, those of the other four may only train.

    Raises:
        DataError: a patient is on the wrong side or in no fold; the message names the first.
    """
    check_number(fold)
    for name, ids, fits in (
        (t("trained on"), training, lambda of: of not in (None, fold)),
        (t("validated on"), validation, lambda of: of == fold),
    ):
        if wrong := sorted(patient_id for patient_id in ids if not fits(fold_of(patient_id))):
            of = fold_of(wrong[0])
            place = t("is in no fold") if of is None else t("is in fold {of}", of=of)
            raise DataError(
                tn(
                    "{n} patient does not belong to fold {fold}: {wrong} {place} and would be {use}. "
                    "Train on the other four folds and validate on this one.",
                    "{n} patients do not belong to fold {fold}: {wrong} {place} and would be {use}. "
                    "Train on the other four folds and validate on this one.",
                    len(wrong),
                    fold=fold,
                    wrong=wrong[0],
                    place=place,
                    use=name,
                )
            )


def make_folds(lesion_voxels: dict[str, int], seed: int) -> list[list[str]]:
    """Deal patients into folds that are alike in institution, in lesion size and in number.

    In order of institution and size each run of five neighbours is dealt by chance, one to a fold. The order of sizes
    turns round from one institution to the next, so that neighbours are also alike where two institutions meet.

    Args:
        lesion_voxels: size of every patient's lesion.
        seed: of the deal; the same seed gives the same folds.

    Returns:
        Ids of each fold, sorted.
    """
    rng = np.random.default_rng(seed)
    ordered: list[str] = []
    for number, name in enumerate(sorted({institution(patient_id) for patient_id in lesion_voxels})):
        own = [patient_id for patient_id in lesion_voxels if institution(patient_id) == name]
        ordered += sorted(own, key=lambda one: (lesion_voxels[one], one), reverse=number % 2 == 1)
    folds: list[list[str]] = [[] for _ in range(FOLDS)]
    for first in range(0, len(ordered), FOLDS):
        for fold, patient_id in zip(rng.permutation(FOLDS), ordered[first : first + FOLDS], strict=False):
            folds[fold].append(patient_id)
    return [sorted(ids) for ids in folds]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help=t("folder with the patients; default: the one the app would find"))
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    wanted = {patient_id for split in ("train", "validation") for patient_id in published_splits()[split]}
    patients = [p for p in list_patients(find_data_root(args.data))[0] if p.patient_id in wanted]
    if len(patients) < len(wanted):
        raise SystemExit(
            t(
                "error: the folder holds {found} of the {wanted} patients. Check --data.",
                found=len(patients),
                wanted=len(wanted),
            )
        )
    sizes = {patient.patient_id: int(load_volume(patient).expected_mask.sum()) for patient in patients}
    folds = make_folds(sizes, args.seed)
    _FILE.write_text(json.dumps(folds, indent=1) + "\n")
    for number, ids in enumerate(folds):
        voxels = [sizes[patient_id] for patient_id in ids]
        counts = dict(sorted(Counter(patient_id.split("_")[1] for patient_id in ids).items()))
        print(
            t(
                "fold {number}: {count} patients, {counts}, mean lesion {voxels:.0f} voxels",
                number=number,
                count=len(ids),
                counts=counts,
                voxels=np.mean(voxels),
            )
        )


if __name__ == "__main__":
    _main()
