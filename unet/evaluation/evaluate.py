"""How good are the weights? Volume Dice per patient, every slice, on the native grid.

A patient's slices are one volume: averaging slices would let large patients and easy empty slices decide.
This is the short form; `unet.evaluation.protocol` measures everything that is published with the weights.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsFloat

import numpy as np

from unet.data.patients import Patient, load_volume
from unet.data.slice_files import DataError
from unet.data.splits import published_splits, split_of
from unet.data.volume import Volume
from unet.inference.segmenter import Segmenter
from unet.language import t
from unet.metrics import bootstrap_interval, largest_component, volume_dice
from unet.postprocessing import PLAIN
from unet.preprocessing import IntensityStatistics, intensity_statistics

THRESHOLD = 0.5  # "raw at 0.5" whatever threshold the weights prefer, so that scores compare


@dataclass(frozen=True)
class PatientScore:
    """Volume Dice of one patient, in [0, 1] or nan where neither mask has a voxel; problems as of its `Volume`."""

    patient_id: str
    raw: float
    largest_component: float
    problems: tuple[str, ...] = ()


def evaluate(segmenter: Segmenter, patients: list[Patient]) -> Iterator[PatientScore]:
    """Yield the score of each patient as it is made.

    Slices without an expected mask are left out on both sides.

    Raises:
        DataError: a patient has no readable slice, or no expected mask at all.
    """
    for patient in patients:
        volume = load_scorable(patient)
        statistics = intensity_statistics(volume.images)
        probability = np.stack([network_probability(segmenter, image, statistics) for image in volume.images])
        predicted = PLAIN.mask(probability.astype(np.float16), THRESHOLD)
        yield PatientScore(
            patient.patient_id,
            volume_dice(predicted, volume.expected_mask, volume.has_mask),
            volume_dice(largest_component(predicted), volume.expected_mask, volume.has_mask),
            volume.problems,
        )


def load_scorable(patient: Patient) -> Volume:
    """Return a patient's volume.

    Raises:
        DataError: it has no readable slice, or no expected mask at all.
    """
    volume = load_volume(patient)
    if not volume.has_mask.any():
        raise DataError(
            t("{patient_id} has no expected masks; it cannot be scored. Leave it out.", patient_id=patient.patient_id)
        )
    return volume


def network_probability(
    segmenter: Segmenter, image: np.ndarray, statistics: IntensityStatistics, mirrored: bool = False
) -> np.ndarray:
    """Return what one pass of the network says of a slice, (height, width) float32, whatever the weights' own rule.

    Args:
        segmenter: the network.
        image: (height, width, 3).
        statistics: of its volume.
        mirrored: show the network the slice's mirror image, and turn the answer back.
    """
    if mirrored:
        return network_probability(segmenter, image[:, ::-1], statistics)[:, ::-1]
    return segmenter.predict(image, statistics, flip_averaging=False).probability


def report(scores: list[PatientScore], weights_name: str) -> dict:
    """Return scores as a JSON-able dict with mean, median and 95 % bootstrap interval over patients."""
    return {
        "weights": weights_name,
        "threshold": THRESHOLD,
        "patients": {
            score.patient_id: {"raw": rounded(score.raw), "largest_component": rounded(score.largest_component)}
            for score in scores
        },
        "raw": summary([score.raw for score in scores]),
        "largest_component": summary([score.largest_component for score in scores]),
    }


def summary(values: list[float]) -> dict:
    """Return mean, median and 95 % bootstrap interval of the mean of one score a patient; nan is left out."""
    known = [value for value in values if np.isfinite(value)] or [float("nan")]
    return {
        "mean": rounded(np.mean(known)),
        "median": rounded(np.median(known)),
        "ci95": [rounded(bound) for bound in bootstrap_interval(np.array(known))],
    }


def rounded(value: SupportsFloat) -> float | None:
    """Return a number for JSON, which has no nan: a score that could not be measured is null."""
    number = float(value)
    return round(number, 5) if math.isfinite(number) else None


def table(result: dict) -> str:
    """Return a report as text: patients from worst to best, then the summaries."""

    def cell(value: float | None) -> str:
        return "     –" if value is None else f"{value:6.4f}"

    lines = [f"{'volume Dice at 0.5':32} {'raw':>6}  {'largest component':>17}"]
    for patient_id, score in sorted(result["patients"].items(), key=lambda item: item[1]["raw"] or 0):
        lines.append(f"{patient_id:32} {cell(score['raw'])}  {cell(score['largest_component']):>17}")
    lines.extend(
        f"{name:32} {cell(result['raw'][name])}  {cell(result['largest_component'][name]):>17}"
        for name in ("mean", "median")
    )
    for name in ("raw", "largest_component"):
        low, high = result[name]["ci95"]
        lines.append(
            t(
                "95 % interval of the mean, {name}: {low} to {high}",
                name=name.replace("_", " "),
                low=cell(low).strip(),
                high=cell(high).strip(),
            )
        )
    return "\n".join(lines)


def keep_test_closed(patients: list[Patient]) -> None:
    """Refuse the test patients: whoever looks at their score while choosing has no test left.

    Raises:
        DataError: one of them is in the list.
    """
    if opened := [patient for patient in patients if split_of(patient.patient_id) == "test"]:
        raise DataError(
            t(
                "{tested} of these {count} patients are test patients. They are scored once for each "
                "release, and no choice may depend on them. Choose others with --split or --patients, or "
                "add --open-test.",
                tested=len(opened),
                count=len(patients),
            )
        )


def choose_patients(patients: list[Patient], patients_file: Path | None, split: str | None) -> list[Patient]:
    """Return the patients to score.

    Args:
        patients: all that the folder holds.
        patients_file: JSON, a list of ids, or an object of lists together with `split`.
        split: `train`, `validation` or `test` of the published lists, or a name in `patients_file`.

    Raises:
        DataError: the file is not such JSON, the split is not in it, or a patient is not in the folder.
    """
    wanted: object = published_splits()
    if patients_file:
        try:
            wanted = json.loads(patients_file.read_text())
        except (OSError, ValueError) as error:
            raise DataError(
                t(
                    "{patients_file} cannot be used: {error}. Expected JSON, a list of patient ids.",
                    patients_file=patients_file,
                    error=error,
                )
            ) from None
    if isinstance(wanted, dict):
        if not split and not patients_file:
            return patients
        if split is None or split not in wanted:
            raise DataError(
                t("--split {split}: expected one of {wanted}", split=split, wanted=", ".join(map(str, wanted)))
            )
        wanted = wanted[split]
    if not isinstance(wanted, list | tuple) or not wanted or not all(isinstance(one, str) for one in wanted):
        raise DataError(
            t(
                "{patients_file} holds no list of patient ids such as TCGA_CS_4941_19960909",
                patients_file=patients_file,
            )
        )
    if twice := [patient_id for patient_id in set(wanted) if wanted.count(patient_id) > 1]:
        raise DataError(
            t(
                "{patients_file} lists {twice} more than once. Leave one out: each patient counts once.",
                patients_file=patients_file,
                twice=min(twice),
            )
        )
    by_id = {patient.patient_id: patient for patient in patients}
    if missing := [str(patient_id) for patient_id in wanted if patient_id not in by_id]:
        raise DataError(
            t(
                "{count} of {wanted} patients are not in the folder; the first is {missing}. Check --data.",
                count=len(missing),
                wanted=len(wanted),
                missing=missing[0],
            )
        )
    return [by_id[patient_id] for patient_id in wanted]
