"""Reports and weight cards in Markdown, written from files only: what a card says, a command has printed."""

import csv
import json
from pathlib import Path

from unet.data.splits import published_splits
from unet.postprocessing import read_post_processing
from unet.preprocessing import CLIP_PERCENTILES
from unet.provenance import without_folders
from unet.reports import markdown, results
from unet.reports.markdown import table
from unet.training.run_folder import RunFolder
from unet.weights.arrays import load_arrays
from unet.weights.network import INT8_NAME, Weights, find_weights

NORMALISATION = (
    f"per volume and channel, clipped to percentiles {CLIP_PERCENTILES[0]:g} and {CLIP_PERCENTILES[1]:g}, z-score, "
    "statistics over the head"
)
LICENCE = "CC BY-NC-SA 4.0"
ATTRIBUTION = (
    "Buda, Saha, Mazurowski, Computers in Biology and Medicine 109 (2019), doi:10.1016/j.compbiomed.2019.05.002; "
    "Mazurowski et al., Journal of Neuro-Oncology 133 (2017). The images are from TCGA-LGG on The Cancer Imaging "
    "Archive."
)
_TITLES = {
    "out-of-fold": "Out of fold: this recipe on every training and validation patient",
    "validation": "Validation",
    "test": "Test: the peer's ten",
    "phantoms": "Phantoms (synthetic, no person)",
}


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
        origin["command"] = without_folders(origin["command"])
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
    found, out_of_fold = results.shipped_reports(folder), results.out_of_fold_report(folder)
    if out_of_fold:
        found = {"out-of-fold": out_of_fold, **found}
    sections = [
        f"# {weights.name}",
        f"The Attention U-Net of `unet/model.py` with {weights.filters} filters, {parameters:,} parameters, trained to "
        "outline FLAIR abnormality in low-grade glioma. For teaching and research; not for diagnosis.",
        "Written by `python -m unet card` from the files beside it.",
        table(["", ""], _facts(weights, config)),
        " ".join(config.get("notes", [])),
        "![Loss and validation Dice over the run](curve.png)" if (folder / "curve.png").exists() else "",
        "## Scores",
        "Volume Dice per patient on the native grid, every slice unless a row says otherwise, with a 95 % bootstrap "
        "interval of the mean over patients. The epoch and the post-processing were chosen on the validation patients, "
        "so the validation score is slightly optimistic; nothing was chosen on the test patients.",
        *(f"### {_TITLES[split]}\n\n{_made_by(report)}{markdown.scores(report)}" for split, report in found.items()),
        "## Licence and source",
        f"Trained on the LGG MRI segmentation data set, {config.get('licence', LICENCE)}, so these weights are for "
        "non-commercial use, with attribution, under the same terms: " + config.get("attribution", ATTRIBUTION),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _made_by(report: dict) -> str:
    """The command that a full report is from; a short one does not say."""
    protocol = report.get("protocol", {})
    words = [f"`{protocol['command']}`"] if "command" in protocol else []
    words += [protocol["engine"]] if "engine" in protocol else []
    words += [f"code {protocol['commit']}"] if "commit" in protocol else []
    words += [protocol["date"]] if "date" in protocol else []
    return ", ".join(words) + ".\n\n" if words else ""


def _openings(times: int) -> str:
    """How often the test patients were scored, in words; empty where nobody has counted."""
    return f"opened {'once' if times == 1 else f'{times} times'} under this name, at releases" if times else ""


def _facts(weights: Weights, config: dict) -> list[list[str]]:
    """What the card's first table says; what is not known has no line."""
    origin, tuning, int8 = config.get("origin", {}), config.get("tuning"), config.get("int8", {})
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
        [
            "data",
            f"LGG MRI segmentation, split by patient: {', '.join(counts)} (`unet/data/splits.json`)" if counts else "",
        ],
        [
            "made by",
            f"`{origin['command']}`, commit {origin.get('commit', 'unknown')}" if "command" in origin else "",
        ],
        ["ran", ", ".join(processors)],
        ["test patients", _openings(config.get("test_openings", 0))],
        ["chosen", f"epoch {config['epoch']}, the best on validation" if "epoch" in config else ""],
        [
            "8-bit",
            f"`{INT8_NAME}.xml` by `python -m unet quantise`: mean validation Dice {int8['validation_dice']} against "
            f"{int8['validation_dice_before']} in float"
            if "validation_dice" in int8
            else "",
        ],
        ["SHA-256", f"`{weights.sha256}` of `weights.npz`"],
    ]
    return [line for line in lines if line[1]]
