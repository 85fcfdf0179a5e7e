"""Reports and weight cards in Markdown, written from files only: what a card says, a command has printed."""

import csv
import json
import os
from pathlib import Path

import numpy as np

from unet import results
from unet.data import published_splits
from unet.postprocessing import read_post_processing
from unet.preprocessing import CLIP_PERCENTILES
from unet.protocol import ROWS
from unet.runs import RunFolder
from unet.weights import find_weights, load_arrays

NORMALISATION = (
    f"per volume and channel, {CLIP_PERCENTILES[0]:g} to {CLIP_PERCENTILES[1]:g} percentile and z-score over the head"
)
LICENCE = "CC BY-NC-SA 4.0"
ATTRIBUTION = (
    "Buda, Saha, Mazurowski, Computers in Biology and Medicine 109 (2019), doi:10.1016/j.compbiomed.2019.05.002; "
    "Mazurowski et al., Journal of Neuro-Oncology 133 (2017). The images are from TCGA-LGG on The Cancer Imaging "
    "Archive."
)
_TITLES = {"validation": "Validation", "test": "Test: the peer's ten", "phantoms": "Phantoms (synthetic, no person)"}


def complete_config(config: dict, run_folder: Path | None, notes: list[str]) -> dict:
    """Return a config with what made the weights, what they were made from and under which licence.

    Args:
        config: as it is; what it already says of its origin stays where nothing newer is known.
        run_folder: of the training run, with `spec.json` and `metrics.csv`, or None.
        notes: sentences for the card that only a person knows, such as how the images were packed.
    """
    origin, counts = dict(config.get("origin", {})), {}
    if run_folder:
        run = RunFolder(run_folder)
        spec = run.read_spec()
        origin = {
            key: spec[key]
            for key in ("command", "commit", "started", "hardware", "precision", "gpus", "versions")
            if key in spec
        }
        with run.metrics.open(newline="") as file:
            rows = list(csv.DictReader(file))
        # a run started before commands were shortened may name this machine's folders
        origin["command"] = " ".join(
            Path(word).name if os.path.isabs(word) else word for word in origin["command"].split()
        )
        origin |= {"hours": round(float(rows[-1]["seconds"]) / 3600, 2), "epochs": len(rows)}
        counts = {f"{split}_patients": len(spec[f"{split}_patients"]) for split in ("training", "validation")}
    return {
        **config,
        "normalisation": NORMALISATION,
        **counts,
        "test_patients": len(published_splits()["test"]),
        "post_processing": read_post_processing(config.get("post_processing")).as_config(),
        "origin": origin,
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
        "notes": notes or config.get("notes", []),
    }


def card(folder: Path) -> str:
    """Return the card of a folder of weights, from its config.json and the evaluations beside it.

    Raises:
        WeightsError: the weights are missing, truncated or changed.
        DataError: an evaluation cannot be read.
    """
    weights = find_weights(folder.resolve())
    config = json.loads((folder / "config.json").read_text())
    arrays, _ = load_arrays(weights.path)
    parameters = sum(array.size for array in arrays.values())
    reports = results.shipped_reports(folder)
    sections = [
        f"# {weights.name}",
        f"The Attention U-Net of `unet/model.py` with {weights.filters} filters, {parameters:,} parameters, trained to "
        "outline FLAIR abnormality in low-grade glioma. For teaching and research; not for diagnosis.",
        "Written by `python -m unet card` from the files beside it.",
        _table(["", ""], _facts(weights, config)),
        " ".join(config.get("notes", [])),
        "![Loss and validation Dice over the run](curve.png)" if (folder / "curve.png").exists() else "",
        "## Scores",
        "Volume Dice per patient on the native grid, every slice unless a row says otherwise, with a 95 % bootstrap "
        "interval of the mean over patients. The epoch and the post-processing were chosen on the validation patients, "
        "so their score is a little kind; nothing was chosen on the test patients.",
        *(f"### {_TITLES[split]}\n\n{scores(report)}" for split, report in reports.items()),
        "## Licence and source",
        f"Trained on the LGG MRI segmentation data set, {config.get('licence', LICENCE)}, so these weights are for "
        "non-commercial use, with attribution, under the same terms: " + config.get("attribution", ATTRIBUTION),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _facts(weights, config: dict) -> list[list[str]]:
    """What the card's first table says; what is not known has no line."""
    origin, tuning = config.get("origin", {}), config.get("tuning")
    low, high = tuning["difference_ci95"] if tuning else (None, None)
    counts = [
        f"{config[f'{split}_patients']} {split}"
        for split in ("training", "validation", "test")
        if f"{split}_patients" in config
    ]
    processors = [f"{origin['hours']:.1f} hours"] if "hours" in origin else []
    processors += [f"on {origin['hardware']}"] if "hardware" in origin else []
    processors += [f"{origin['gpus'] or 'no'} GPU"] if "gpus" in origin else []
    processors += [origin["precision"]] if "precision" in origin else []
    processors += [f"{origin['epochs']} epochs"] if "epochs" in origin else []
    lines = [
        ["input", f"pre-contrast, FLAIR, post-contrast, laid into {weights.size} × {weights.size}"],
        ["normalisation", config.get("normalisation", "")],
        ["threshold", f"{weights.threshold:g}"],
        ["post-processing", str(weights.post_processing)],
        [
            "both chosen by",
            f"`python -m unet tune` on {tuning['patients']} validation patients among {tuning['settings_tried']} "
            f"settings: {tuning['chosen_dice']:.3f} against {tuning['plain_dice']:.3f} for the plain one (0.5, none), "
            f"difference {tuning['difference']:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"
            if tuning
            else "",
        ],
        ["data", f"LGG MRI segmentation, split by patient: {', '.join(counts)} (`unet/splits.json`)" if counts else ""],
        [
            "made by",
            f"`{origin['command']}`, commit {origin.get('commit', 'unknown')}" if "command" in origin else "",
        ],
        ["ran", ", ".join(processors)],
        ["chosen", f"epoch {config['epoch']}, the best on validation" if "epoch" in config else ""],
        ["SHA-256", f"`{weights.sha256}` of `weights.npz`"],
    ]
    return [line for line in lines if line[1]]


def evaluation(report: dict) -> str:
    """Return a report of `evaluate --protocol full` as a Markdown page."""
    protocol = report["protocol"]
    rule = read_post_processing(protocol["post_processing"])
    facts = [
        ["patients", f"{len(report['patients'])} ({protocol.get('split') or 'as chosen'})"],
        ["command", f"`{protocol['command']}`" if "command" in protocol else ""],
        ["code", protocol.get("commit", "")],
        ["engine", protocol["engine"]],
        ["published setting", f"threshold {protocol['threshold']:g}, post-processing: {rule}"],
        ["weights", f"SHA-256 `{protocol['sha256']}`"],
    ]
    return f"# {report['weights']}\n\n{_table(['', ''], [f for f in facts if f[1]])}\n\n{scores(report)}\n"


def scores(report: dict) -> str:
    """Return the scores of one split as Markdown, without a heading; a short report gives the part it has."""
    rows = results.rows_of(report)
    lines = []
    for row in rows:
        s = results.row_summary(report, row)
        lines.append([ROWS[row], _number(s["mean"]), _number(s["median"]), _interval(s["ci95"])])
    count = sum(dice is not None for dice in results.dice_of(report, rows[0]).values())
    parts = [
        f"{count} patients.",
        _table(["volume Dice", "mean", "median", "95 % interval"], lines),
        _peer(report),
        "The five worst: "
        + "; ".join(
            f"{r['patient']} {_number(r['volume_dice'])}"
            for r in results.by_patient(report, results.headline_row(report))[:5]
        )
        + f" ({ROWS[results.headline_row(report)]}).",
    ]
    if results.is_full(report):
        parts += [_slice_scores(report), _distances(report), _calibration(report), _groups(report)]
    return "\n\n".join(part for part in parts if part)


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
        counts = results.slice_scores(report, row)
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
        _table(
            ["slices", "sensitivity", "specificity", "false positives on empty slices", "Dice on lesion slices"], lines
        )
        + f"\n\nPooled over {counts['lesion_slices']} slices that show a lesion and {counts['empty_slices']} that do "
        'not; a slice counts as "shows a lesion" where its mask has a pixel. Area under the ROC curve of the highest '
        f"probability of a slice: {_number(results.area_under_roc(results.roc(report)))}."
    )


def _distances(report: dict) -> str:
    patients = report["protocol"]["patients"].values()
    lines = []
    for row in ("raw", "published"):
        values = [p["hd95_pixels"][row] for p in patients if p["hd95_pixels"][row] is not None]
        if values:
            lines.append([ROWS[row], f"{np.mean(values):.1f}", f"{np.median(values):.1f}", f"{len(values)}"])
    return _table(["HD95 within slices, pixels", "mean", "median", "patients"], lines) if lines else ""


def _calibration(report: dict) -> str:
    c = report["protocol"]["calibration"]
    return (
        "Expected calibration error over the pixels of the head, ten bins: "
        f"{_number(c['expected_calibration_error'])}; over those with a probability of 0.1 or more: "
        f"{_number(c['expected_calibration_error_above_0.1'])}."
    )


def _groups(report: dict) -> str:
    lines = []
    for by in ("institution", "grade", "size"):
        for r in results.breakdown(report, by):
            lines.append([by, r[by], str(r["patients"]), _number(r["mean"]), _number(r["median"])])
    return _table(["by", "group", "patients", "mean", "median"], lines)


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
    return _table(["volume Dice", *names, "difference", "95 % interval, paired", "better / worse"], lines)


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows)


def _number(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _interval(bounds: list[float | None]) -> str:
    return f"{_number(bounds[0])} to {_number(bounds[1])}"
