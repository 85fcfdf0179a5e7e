"""Tables behind the Results page, the cards and the figures, from the JSON of `python -m unet evaluate`.

A table is a list of rows, each a dict of a column's name to its value, ready for CSV. What a short report does not
hold (it has only Dice per patient) gives an empty table.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from unet.data.slice_files import DataError
from unet.evaluation.evaluate import rounded, summary
from unet.language import mark, t
from unet.metrics import bootstrap_interval

PEER = {
    "name": "brain-segmentation-pytorch",
    "mean": 0.909,
    "median": 0.923,
    "caveat": mark("the best of 100 epochs, chosen on these ten patients; trained on the other 100"),
}
EXPERTS = 0.84  # Dice between expert readers on this kind of lesion, as the data set's authors cite it
SIZES = ((0, 10_000, "small"), (10_000, 30_000, "medium"), (30_000, np.inf, "large"))  # thirds of the training patients
NEW_GROUP = 12  # patients that somebody else may try the network on
OUT_OF_FOLD = "out-of-fold.json"  # beside the weights whose recipe it measures
SPLITS = {"validation": "validation.json", "test": "test.json", "phantoms": "phantoms.json"}

Row = dict[str, Any]


def read_report(path: Path) -> dict:
    """Return a report as `evaluate` wrote it.

    Raises:
        DataError: it is not there, or is no such report.
    """
    try:
        report = json.loads(path.read_text())
        if not all(key in report for key in ("patients", "raw", "largest_component")):
            raise ValueError(t("it lacks patients, raw or largest_component"))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            t("{path} cannot be used: {error}. Expected the JSON of `python -m unet evaluate`.", path=path, error=error)
        ) from None
    return report


def shipped_reports(folder: Path) -> dict[str, dict]:
    """Return the reports beside a set of weights by split; those that are not there are left out."""
    return {split: read_report(folder / name) for split, name in SPLITS.items() if (folder / name).exists()}


def out_of_fold_report(folder: Path) -> dict | None:
    """Return the report on networks of the same recipe that had not seen their patients, or None."""
    return read_report(folder / OUT_OF_FOLD) if (folder / OUT_OF_FOLD).exists() else None


def to_json(report: dict) -> str:
    """Return a report as text, its long lists of numbers on one line each."""
    text = json.dumps(report, indent=1)
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def is_full(report: dict) -> bool:
    """Whether it was made with `--protocol full`."""
    return "protocol" in report


def rows_of(report: dict) -> list[str]:
    """Return the names of the scorings it has, such as `raw` and `peer`."""
    return list(report["protocol"]["rows"]) if is_full(report) else ["raw", "largest_component"]


def row_summary(report: dict, row: str) -> dict:
    """Return mean, median and ci95 of a scoring."""
    return report["protocol"]["rows"][row] if is_full(report) else report[row]


def headline_row(report: dict) -> str:
    """Return the scoring that the weights are published with."""
    return "published" if is_full(report) else "raw"


def dice_of(report: dict, row: str) -> dict[str, float | None]:
    """Return volume Dice by patient id."""
    if not is_full(report):
        return {patient_id: scores.get(row) for patient_id, scores in report["patients"].items()}
    return {patient_id: numbers["dice"][row] for patient_id, numbers in report["protocol"]["patients"].items()}


def dice_below(report: dict, row: str, limit: float = 0.5) -> int:
    """Return how many patients have a lower volume Dice."""
    return sum(dice is not None and dice < limit for dice in dice_of(report, row).values())


def interval_of_new_group(report: dict, row: str, count: int = NEW_GROUP) -> list[float | None]:
    """Return the 95 % interval in which the mean of so many new patients of the same kind is to be expected."""
    known = [dice for dice in dice_of(report, row).values() if dice is not None]
    return [rounded(bound) for bound in bootstrap_interval(np.array(known), group=count)]


def by_patient(report: dict, row: str) -> list[Row]:
    """Return a row a patient, from the worst to the best; patients that could not be scored come last."""
    details = report["protocol"]["patients"] if is_full(report) else {}
    table = []
    for patient_id, dice in dice_of(report, row).items():
        numbers = details.get(patient_id, {})
        voxels = numbers.get("predicted_voxels", {})
        table.append(
            {
                "patient": patient_id,
                "volume_dice": dice,
                **(
                    {
                        "institution": numbers["institution"],
                        "grade": numbers["grade"],
                        "expected_voxels": numbers["expected_voxels"],
                        "predicted_voxels": voxels["published"],
                        "hd95_pixels": numbers["hd95_pixels"]["published"],
                    }
                    if numbers
                    else {}
                ),
            }
        )
    return sorted(table, key=lambda r: (r["volume_dice"] is None, r["volume_dice"]))


def dice_by_threshold(report: dict) -> list[Row]:
    """Return mean and median volume Dice at each threshold, with the published rule otherwise."""
    if not is_full(report):
        return []
    curves = [numbers["dice_by_threshold"] for numbers in report["protocol"]["patients"].values()]
    table = []
    for place, threshold in enumerate(report["protocol"]["thresholds"]):
        scores = summary([float("nan") if curve[place] is None else curve[place] for curve in curves])
        low, high = scores["ci95"]
        table.append(
            {"threshold": threshold, "mean": scores["mean"], "median": scores["median"], "low": low, "high": high}
        )
    return table


def breakdown(report: dict, by: str) -> list[Row]:
    """Return mean and median volume Dice as published, with interval, by group.

    Args:
        report: of `python -m unet evaluate`; a short one gives no groups.
        by: `institution`, `grade` or `size`: thirds of the training patients' lesions, in voxels.
    """
    if not is_full(report):
        return []
    groups: dict[str, list[float]] = {}
    for numbers in report["protocol"]["patients"].values():
        name = _size_name(numbers["expected_voxels"]) if by == "size" else numbers[by] or "unknown"
        dice = numbers["dice"]["published"]
        groups.setdefault(name, []).append(float("nan") if dice is None else dice)
    if set(groups) == {"unknown"}:
        return []
    order = [_size_name(low) for low, _, _ in SIZES] if by == "size" else sorted(groups)
    table = []
    for name in (name for name in order if name in groups):
        scores = summary(groups[name])
        low, high = scores["ci95"]
        table.append(
            {
                by: name,
                "patients": len(groups[name]),
                "mean": scores["mean"],
                "median": scores["median"],
                "low": low,
                "high": high,
            }
        )
    return table


def _size_name(voxels: int) -> str:
    low, high, name = next(size for size in SIZES if size[0] <= voxels < size[1])
    if not low:
        return f"{name}, < {high:,}"
    return f"{name}, ≥ {low:,}" if np.isinf(high) else f"{name}, < {high:,}"


def reliability(report: dict) -> list[Row]:
    """Return the reliability curve: of the head's pixels in a bin of probability, the share that is lesion."""
    if not is_full(report):
        return []
    curve = report["protocol"]["calibration"]
    names = ("pixels", "mean_probability", "lesion_share")
    return [dict(zip(names, values, strict=True)) for values in zip(*(curve[name] for name in names), strict=True)]


def compare(first: dict, second: dict, row: str) -> dict:
    """Return the paired difference second − first in volume Dice over the patients of both.

    Raises:
        DataError: no patient is in both, or one of them has no such scoring.
    """
    for report in (first, second):
        if row not in rows_of(report):
            raise DataError(
                t(
                    "{weights} has no scoring {row!r}; expected one of {rows_of}",
                    weights=report["weights"],
                    row=row,
                    rows_of=", ".join(rows_of(report)),
                )
            )
    one, two = dice_of(first, row), dice_of(second, row)
    pairs = [(dice, two[p]) for p, dice in one.items() if dice is not None and two.get(p) is not None]
    if not pairs:
        raise DataError(
            t(
                "{weights} and {other} were not scored on the same patients",
                weights=first["weights"],
                other=second["weights"],
            )
        )
    before, after = np.array(pairs, float).T
    gains = after - before
    return {
        "patients": len(pairs),
        "first_mean": rounded(before.mean()),
        "second_mean": rounded(after.mean()),
        "difference": rounded(gains.mean()),
        "ci95": [rounded(bound) for bound in bootstrap_interval(gains)],
        "better": int((gains > 0).sum()),
        "worse": int((gains < 0).sum()),
    }


def disagreement_correlation(report: dict) -> float:
    """Return Spearman's rank correlation over patients of the passes' disagreement with 1 − volume Dice, or nan."""
    from scipy.stats import spearmanr  # half a second to import, which pages should not wait for

    patients = report["protocol"]["patients"].values() if is_full(report) else ()
    pairs = [(p["disagreement"], p["dice"]["published"]) for p in patients]
    known = np.array([pair for pair in pairs if None not in pair])
    if len(known) < 3:
        return float("nan")
    return float(spearmanr(known[:, 0], 1 - known[:, 1]).statistic)
