"""Evaluations and comparisons in Markdown, for the terminal, files and cards."""

import numpy as np

from unet.data.splits import published_splits
from unet.evaluation.protocol import ROWS
from unet.postprocessing import read_post_processing
from unet.reports import results, slice_results


def evaluation(report: dict) -> str:
    """Return a report of `evaluate --protocol full` as a Markdown page."""
    protocol = report["protocol"]
    rule = read_post_processing(protocol["post_processing"])
    facts = [
        ["patients", f"{len(report['patients'])} ({protocol.get('split') or 'as chosen'})"],
        ["command", f"`{protocol['command']}`" if "command" in protocol else ""],
        ["code", protocol.get("commit", "")],
        ["date", protocol.get("date", "")],
        ["engine", protocol["engine"]],
        ["published setting", f"threshold {protocol['threshold']:g}, post-processing: {rule}"],
        ["weights", f"SHA-256 `{protocol['sha256']}`"],
    ]
    return f"# {report['weights']}\n\n{table(['', ''], [f for f in facts if f[1]])}\n\n{scores(report)}\n"


def scores(report: dict) -> str:
    """Return the scores of one split as Markdown, without a heading; a short report gives the part it has."""
    rows = results.rows_of(report)
    lines = []
    for row in rows:
        s = results.row_summary(report, row)
        lines.append([ROWS[row], _number(s["mean"]), _number(s["median"]), _interval(s["ci95"])])
    count = sum(dice is not None for dice in results.dice_of(report, rows[0]).values())
    parts = [
        f"{count} patients.{_out_of_fold(report)}",
        table(["volume Dice", "mean", "median", "95 % interval"], lines),
        _peer(report),
        "The five worst: "
        + "; ".join(
            f"{r['patient']} {_number(r['volume_dice'])}"
            for r in results.by_patient(report, results.headline_row(report))[:5]
        )
        + f" ({ROWS[results.headline_row(report)]}).",
    ]
    if results.is_full(report):
        parts += [
            _slice_scores(report),
            _distances(report),
            _calibration(report),
            _disagreement(report),
            _groups(report),
        ]
    return "\n\n".join(part for part in parts if part)


def _out_of_fold(report: dict) -> str:
    """What a report of cross-validation says beyond its table."""
    if "out_of_fold" not in report.get("protocol", {}):
        return ""
    row = results.headline_row(report)
    return (
        " Each is scored by the network of five that was not trained on it, at the end of its training. "
        f"{results.dice_below(report, row)} patients are below 0.5. The mean of {results.NEW_GROUP} new patients of "
        f"this kind is to be expected in {_interval(results.interval_of_new_group(report, row))} (95 %, bootstrap)."
    )


def _peer(report: dict) -> str:
    """The peer's figures beside ours, for its ten patients only."""
    if set(report["patients"]) != set(published_splits()["test"]):
        return ""
    peer = results.PEER
    row = "peer" if results.is_full(report) else "largest_component"
    ours = results.row_summary(report, row)
    return (
        f"These ten are the validation cases of {peer['name']}, which reports {peer['mean']} mean and {peer['median']} "
        f"median with the largest component and without the first and last slice, {peer['caveat']}. Ours was trained "
        f"on {len(published_splits()['train'])} patients and chosen on {len(published_splits()['validation'])} others: "
        f"{_number(ours['mean'])} mean and {_number(ours['median'])} median ({ROWS[row]})."
    )


def _slice_scores(report: dict) -> str:
    lines, counts = [], {}
    for row in ("raw", "published"):
        counts = slice_results.slice_scores(report, row)
        lines.append(
            [
                ROWS[row],
                _percent(counts["sensitivity"]),
                _percent(counts["specificity"]),
                _percent(counts["false_positive_rate"]),
                _number(counts["dice_on_lesion_slices"]),
            ]
        )
    return (
        table(
            ["slices", "sensitivity", "specificity", "false positives on empty slices", "Dice on lesion slices"], lines
        )
        + f"\n\nPooled over {counts['lesion_slices']} slices that show a lesion and {counts['empty_slices']} that do "
        'not; a slice counts as "shows a lesion" where its mask has a pixel. Area under the ROC curve of the highest '
        f"probability of a slice: {_number(slice_results.area_under_roc(slice_results.roc(report)))}."
    )


def _distances(report: dict) -> str:
    patients = report["protocol"]["patients"].values()
    lines = []
    for row in ("raw", "published"):
        values = [p["hd95_pixels"][row] for p in patients if p["hd95_pixels"][row] is not None]
        if values:
            lines.append([ROWS[row], f"{np.mean(values):.1f}", f"{np.median(values):.1f}", f"{len(values)}"])
    return table(["HD95 within slices, pixels", "mean", "median", "patients"], lines) if lines else ""


def _calibration(report: dict) -> str:
    c = report["protocol"]["calibration"]
    return (
        "Expected calibration error over the pixels of the head, ten bins: "
        f"{_number(c['expected_calibration_error'])}; over those with a probability of 0.1 or more: "
        f"{_number(c['expected_calibration_error_above_0.1'])}."
    )


def _disagreement(report: dict) -> str:
    found = report["protocol"]["error_detection"]
    return (
        "Does flipping the slice tell where the mask is wrong? Wrong pixels among those in question, area under the "
        f"ROC curve: {_number(found['auc_disagreement'])} by the disagreement of the two passes, "
        f"{_number(found['auc_closeness_to_threshold'])} by closeness to the threshold. Rank correlation of a "
        f"patient's disagreement with 1 − volume Dice: {_number(results.disagreement_correlation(report))}."
    )


def _groups(report: dict) -> str:
    lines = []
    for by in ("institution", "grade", "size"):
        lines.extend(
            [by, r[by], str(r["patients"]), _number(r["mean"]), _number(r["median"])]
            for r in results.breakdown(report, by)
        )
    return table(["by", "group", "patients", "mean", "median"], lines) if lines else ""


def comparison(first: dict, second: dict) -> str:
    """Return two reports side by side as Markdown, paired by patient.

    Raises:
        DataError: no patient is in both.
    """
    lines = []
    for row in results.rows_of(first):
        if row in results.rows_of(second):
            c = results.compare(first, second, row)
            low, high = c["ci95"]
            lines.append(
                [
                    ROWS[row],
                    _number(c["first_mean"]),
                    _number(c["second_mean"]),
                    f"{c['difference']:+.3f}",
                    f"{low:+.3f} to {high:+.3f}",
                    f"{c['better']} / {c['worse']} of {c['patients']}",
                ]
            )
    names = [first["weights"], second["weights"]]
    return table(["volume Dice", *names, "difference", "95 % interval, paired", "better / worse"], lines)


def table(head: list[str], lines: list[list[str]]) -> str:
    """Return a Markdown table; a `|` in a cell becomes `/`."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows)


def _number(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _interval(bounds: list[float | None]) -> str:
    return f"{_number(bounds[0])} to {_number(bounds[1])}"
