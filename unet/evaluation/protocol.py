"""The published protocol: one pass over the patients measures everything that stands beside the weights.

Two ways of counting, as they are not the same: ours scores every slice; the peer's (brain-segmentation-pytorch) drops
the first and the last slice of each patient and keeps the largest component at 0.5. A slice on which nothing is
expected and nothing predicted is never counted as a Dice of 1: it is left out of averages of slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unet.data.clinical import ClinicalRecord, clinical_record, institution
from unet.data.patients import Patient
from unet.data.volume import Volume
from unet.evaluation.calibration import ErrorDetection, Reliability
from unet.evaluation.evaluate import (
    THRESHOLD,
    PatientScore,
    load_scorable,
    network_probability,
    report,
    rounded,
    summary,
)
from unet.inference.segmenter import Segmenter
from unet.language import mark
from unet.metrics import hausdorff_95, largest_component, volume_dice
from unet.postprocessing import PLAIN
from unet.preprocessing import head_mask, intensity_statistics
from unet.weights.network import Weights

VERSION = 1
THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(1, 20))
ROWS = {
    "raw": mark("raw at 0.5"),
    "largest_component": mark("0.5 + largest component"),
    "flip_averaging": mark("0.5 + flip averaging"),
    "published": mark("as published with the weights"),
    "peer_raw": mark("first and last slice dropped, raw at 0.5"),
    "peer": mark("first and last slice dropped, 0.5 + largest component (the peer's scoring)"),
    "peer_published": mark("first and last slice dropped, as published with the weights"),
}


@dataclass(frozen=True, eq=False)
class Passes:
    """What two passes of the network say of a volume, before any rule.

    Attributes:
        volume: read-only.
        direct, mirrored: (slices, height, width) float16 in [0, 1], without and with mirroring the slices.
        averaged: their mean, taken before rounding to float16.
    """

    volume: Volume
    direct: np.ndarray
    mirrored: np.ndarray
    averaged: np.ndarray

    def probability(self, flip_averaging: bool) -> np.ndarray:
        """Return the probability, (slices, height, width) float16, that weights with this setting work with."""
        return self.averaged if flip_averaging else self.direct


@dataclass(frozen=True)
class Measurement:
    """One patient: numbers for JSON, histograms to add up over patients, and what was wrong with the files."""

    patient_id: str
    dice: dict[str, float]
    numbers: dict
    reliability: Reliability
    error_detection: ErrorDetection
    problems: tuple[str, ...] = ()


def run_network(segmenter: Segmenter, patients: list[Patient]) -> Iterator[Passes | None]:
    """Yield None after each slice, so that a caller can show progress or stop, and a patient's passes at its end.

    Raises:
        DataError: a patient has no readable slice, or no expected mask at all.
    """
    for patient in patients:
        volume = load_scorable(patient)
        statistics = intensity_statistics(volume.images)
        both = np.zeros((2, *volume.images.shape[:3]), np.float16)
        averaged = np.zeros_like(both[0])
        for index, image in enumerate(volume.images):
            pair = [network_probability(segmenter, image, statistics, mirrored) for mirrored in (False, True)]
            both[:, index] = pair
            averaged[index] = (pair[0] + pair[1]) / 2
            yield None
        yield Passes(volume, both[0], both[1], averaged)


def measure(passes: Passes, weights: Weights, record: ClinicalRecord) -> Measurement:
    """Return everything the protocol asks of one patient; slices without an expected mask count on neither side."""
    volume, rule, threshold = passes.volume, weights.post_processing, weights.threshold
    expected, scored = volume.expected_mask, volume.has_mask
    probability = passes.probability(rule.flip_averaging)
    raw = PLAIN.mask(passes.direct, THRESHOLD)
    published = rule.mask(probability, threshold)
    inner = slice(1, -1)
    masks = {
        "raw": raw,
        "largest_component": largest_component(raw),
        "flip_averaging": PLAIN.mask(passes.averaged, THRESHOLD),
        "published": published,
    }
    inner_masks = {
        "peer_raw": raw[inner],
        "peer": largest_component(raw[inner]),
        "peer_published": rule.mask(probability[inner], threshold),
    }
    dice = {name: volume_dice(mask, expected, scored) for name, mask in masks.items()}
    dice |= {name: volume_dice(mask, expected[inner], scored[inner]) for name, mask in inner_masks.items()}
    head = head_mask(volume.images) & scored[:, np.newaxis, np.newaxis]
    reliability, detection = Reliability(), ErrorDetection()
    reliability.add(probability[head], expected[head])
    detection.add(
        passes.direct[head], passes.mirrored[head], probability[head], published[head], expected[head], threshold
    )
    numbers = {
        "institution": institution(volume.patient_id),
        "grade": record.grade,
        "expected_voxels": int(expected[scored].sum()),
        "predicted_voxels": {name: int(mask[scored].sum()) for name, mask in masks.items()},
        "dice": {name: rounded(value) for name, value in dice.items()},
        "hd95_pixels": {
            name: rounded(hausdorff_95(masks[name][scored], expected[scored])) for name in ("raw", "published")
        },
        "disagreement": rounded(_disagreement(passes, scored)),
        "dice_by_threshold": [rounded(volume_dice(rule.mask(probability, t), expected, scored)) for t in THRESHOLDS],
        "slices": _slices(passes, raw, published, probability),
    }
    return Measurement(volume.patient_id, dice, numbers, reliability, detection, volume.problems)


def _disagreement(passes: Passes, scored: np.ndarray) -> float:
    """By how much of the predicted volume the two passes differ: Σ |direct − mirrored| over their mean Σ."""
    direct, mirrored = passes.direct[scored].astype(np.float32), passes.mirrored[scored].astype(np.float32)
    total = float((direct + mirrored).sum() / 2)
    return float(np.abs(direct - mirrored).sum()) / total if total else float("nan")


def _slices(passes: Passes, raw: np.ndarray, published: np.ndarray, probability: np.ndarray) -> dict[str, list]:
    """A list for each column, a place for each slice; `expected` is null where there is no mask to score by."""
    expected, scored = passes.volume.expected_mask, passes.volume.has_mask

    def area(mask: np.ndarray) -> list[int]:
        return mask.sum(axis=(1, 2), dtype=int).tolist()

    return {
        "expected": [pixels if there else None for pixels, there in zip(area(expected), scored, strict=True)],
        "raw": area(raw),
        "raw_correct": area(raw & expected),
        "published": area(published),
        "published_correct": area(published & expected),
        "highest_probability": [round(float(highest), 4) for highest in probability.max(axis=(1, 2))],
    }


def full_report(measurements: list[Measurement], weights: Weights, engine: str, made_by: dict) -> dict:
    """Return the short report with everything else under `protocol`, JSON-able.

    Args:
        measurements: one a patient.
        weights: what was measured.
        engine: its name for people.
        made_by: command, commit and the like, copied as they are.
    """
    scores = [PatientScore(m.patient_id, m.dice["raw"], m.dice["largest_component"]) for m in measurements]
    reliability, detection = Reliability(), ErrorDetection()
    for m in measurements:
        for total, part in ((reliability, m.reliability), (detection, m.error_detection)):
            for name, value in vars(part).items():
                setattr(total, name, getattr(total, name) + value)
    return {
        **report(scores, weights.name),
        "protocol": {
            "version": VERSION,
            **made_by,
            "engine": engine,
            "sha256": weights.sha256,
            "size": weights.size,
            "threshold": weights.threshold,
            "post_processing": weights.post_processing.as_config(),
            "thresholds": list(THRESHOLDS),
            "rows": {name: summary([m.dice[name] for m in measurements]) for name in ROWS},
            "patients": {m.patient_id: m.numbers for m in measurements},
            "calibration": reliability.as_json(),
            "error_detection": detection.as_json(),
        },
    }


def evaluate_full(
    segmenter: Segmenter, patients: list[Patient], records: dict[str, ClinicalRecord]
) -> Iterator[Measurement | None]:
    """Yield None after each slice, and a patient's measurement at its end; errors as `run_network`."""
    for passes in run_network(segmenter, patients):
        if passes is None:
            yield None
        else:
            yield measure(passes, segmenter.weights, clinical_record(records, passes.volume.patient_id))
