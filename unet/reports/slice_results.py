"""Tables of single slices, from the JSON of `python -m unet evaluate --protocol full`; a short report has none."""

import numpy as np

from unet.evaluation.evaluate import rounded
from unet.reports.results import Row, is_full


def slice_rows(report: dict) -> list[Row]:
    """Return a row a slice that has an expected mask; slice Dice is null where both masks are empty."""
    table = []
    for patient_id, numbers in report["protocol"]["patients"].items() if is_full(report) else ():
        columns = numbers["slices"]
        for index, values in enumerate(zip(*columns.values(), strict=True)):
            row = dict(zip(columns, values, strict=True))
            if row["expected"] is None:
                continue
            row |= {"patient": patient_id, "slice": index + 1}
            for name in ("raw", "published"):
                marked = row["expected"] + row[name]
                row[f"{name}_dice"] = 2 * row[f"{name}_correct"] / marked if marked else None
                row[f"{name}_wrong"] = marked - 2 * row[f"{name}_correct"]
            table.append(row)
    return table


def slice_scores(report: dict, row: str) -> dict:
    """Return the slice-level scores of `raw` or `published`: "this slice shows a lesion", pooled over all slices.

    A slice is called positive where its mask has a pixel. Dice on lesion slices is the mean over slices that show a
    lesion, 0 where it was missed; empty slices are not in it.
    """
    slices = slice_rows(report)
    lesion = [s for s in slices if s["expected"]]
    empty = [s for s in slices if not s["expected"]]

    def share(values: list) -> float | None:
        return rounded(np.mean(values)) if values else None

    alarms = share([s[row] > 0 for s in empty])
    return {
        "lesion_slices": len(lesion),
        "empty_slices": len(empty),
        "sensitivity": share([s[row] > 0 for s in lesion]),
        "specificity": None if alarms is None else rounded(1 - alarms),
        "false_positive_rate": alarms,
        "dice_on_lesion_slices": share([s[f"{row}_dice"] for s in lesion]),
    }


def roc(report: dict) -> list[Row]:
    """Return the slice-level ROC curve: a slice is positive where its highest probability reaches the threshold."""
    slices = slice_rows(report)
    score = np.array([s["highest_probability"] for s in slices])
    lesion = np.array([bool(s["expected"]) for s in slices])
    if not lesion.any() or lesion.all():
        return []
    thresholds = [float("inf"), *sorted(set(score.tolist()), reverse=True)]
    return [
        {
            "threshold": None if np.isinf(t) else t,
            "false_positive_rate": float((score[~lesion] >= t).mean()),
            "sensitivity": float((score[lesion] >= t).mean()),
        }
        for t in thresholds
    ]


def area_under_roc(curve: list[Row]) -> float:
    """Return the area under `roc`'s curve, by trapezoids; nan for an empty one."""
    if not curve:
        return float("nan")
    return float(np.trapezoid([r["sensitivity"] for r in curve], [r["false_positive_rate"] for r in curve]))


def worst_slices(report: dict, count: int = 12, per_patient: int = 2) -> list[Row]:
    """Return the slices with the most wrong pixels, missed or falsely marked, at most a few of each patient."""
    table: list[Row] = []
    for row in sorted(slice_rows(report), key=lambda r: r["published_wrong"], reverse=True):
        if row["published_wrong"] and sum(r["patient"] == row["patient"] for r in table) < per_patient:
            table.append(row)
        if len(table) == count:
            break
    return table
