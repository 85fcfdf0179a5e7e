"""From a training run to shipped weights: tune on validation, evaluate by the protocol, write the card.

    python -m unet release --run-dir runs/x --weights NAME --data DIR

runs all of it; `tune`, `evaluate` and `card` are its parts.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from unet.data.clinical import read_clinical_table
from unet.data.patients import Patient, find_data_root, list_patients
from unet.data.slice_files import DataError
from unet.evaluation import evaluate as evaluation
from unet.evaluation import protocol
from unet.inference.segmenter import Segmenter
from unet.paths import DEMO_FOLDER
from unet.provenance import code_version, command_line
from unet.release import card as cards
from unet.release import out_of_fold, tuning
from unet.reports import markdown, results
from unet.training.run_folder import write_json
from unet.weights.arrays import WeightsError
from unet.weights.network import INT8_NAME, find_weights, weights_folder

Made = TypeVar("Made")


def evaluate_full(
    segmenter: Segmenter,
    patients: list[Patient],
    split: str | None,
    json_file: Path | None,
    page_file: Path | None,
    commit: str | None = None,
) -> dict:
    """Evaluate by the full protocol, print it, write it where asked, and return the report.

    Args:
        segmenter: the network, with the threshold and post-processing of its weights.
        patients: those to score, of one folder.
        split: name to write into the report, or None.
        json_file: where to write the report as JSON, or None.
        page_file: where to write it as Markdown, or None.
        commit: of the code, where it was asked for before files of the checkout were written.

    Raises:
        DataError: a patient cannot be scored.
    """
    records, _ = read_clinical_table(patients[0].folder.parent / "data.csv")
    measurements = _collect(protocol.evaluate_full(segmenter, patients, records), patients)
    made_by = {"split": split, **_origin(commit)}
    report = protocol.full_report(measurements, segmenter.weights, segmenter.engine_name, made_by)
    return _publish(report, json_file, page_file)


def evaluate_out_of_fold(
    runs: Path,
    rule_name: str,
    data: str | None,
    engine: str,
    json_file: Path | None,
    page_file: Path | None,
    keep: bool,
) -> dict:
    """Score every patient of the folds by the network that has not seen it; print, write and return the report.

    Args:
        runs: folder of `python -m unet cross-validate`.
        rule_name: weights whose threshold and post-processing apply.
        data: folder with the patients; None takes the one that the app would find.
        engine: as of `Segmenter`.
        json_file: where to write the report as JSON, or None.
        page_file: where to write it as Markdown, or None.
        keep: keep each patient's probabilities in its fold's run folder.

    Raises:
        DataError, TrainingError, WeightsError: patients, runs or weights that cannot be used.
    """
    networks, rule = out_of_fold.fold_networks(runs), find_weights(rule_name)
    groups = out_of_fold.patients_of_folds(list_patients(find_data_root(data))[0])
    weights = out_of_fold.combined_weights(networks, f"{runs.name}, out of fold", rule)
    measurements, engines = [], set()
    for network, patients in zip(networks, groups, strict=True):
        segmenter = Segmenter(out_of_fold.with_rule(network.weights, rule), engine)
        engines.add(segmenter.engine_name)
        measurements += _collect(out_of_fold.measure(segmenter, network, patients, keep), patients)
    about = {"rule_of": rule.name, "folds": [network.about() for network in networks]}
    made_by = {"split": "out of fold", "out_of_fold": about, **_origin()}
    report = protocol.full_report(measurements, weights, ", ".join(sorted(engines)), made_by)
    return _publish(report, json_file, page_file)


def _origin(commit: str | None = None) -> dict:
    """What a report says of the command that made it."""
    return {
        "command": command_line("python -m unet"),
        "commit": commit or code_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _collect(steps: Iterator[protocol.Measurement | None], patients: list[Patient]) -> list[protocol.Measurement]:
    """Return all measurements, printing each patient's as it is made."""
    measurements = []
    for measurement in _with_progress(steps, patients):
        measurements.append(measurement)
        print(f"{measurement.patient_id}  {measurement.dice['published']:.4f}", file=sys.stderr)
        for problem in measurement.problems:
            print(problem, file=sys.stderr)
    return measurements


def _publish(report: dict, json_file: Path | None, page_file: Path | None) -> dict:
    """Print a report, write it where asked, and return it."""
    page = markdown.evaluation(report)
    print(page)
    if json_file:
        json_file.write_text(results.to_json(report))
    if page_file:
        page_file.write_text(page, encoding="utf-8")
    return report


def tune(weights_name: str, data: str | None, engine: str, write: bool = True) -> None:
    """Choose threshold and post-processing on the validation patients and write them into config.json.

    Raises:
        DataError: the validation patients are not in the folder.
        WeightsError: the weights cannot be used.
    """
    segmenter = Segmenter(find_weights(weights_name), engine)
    patients = evaluation.choose_patients(list_patients(find_data_root(data))[0], None, "validation")
    found = tuning.Tuning()
    for passes in _with_progress(protocol.run_network(segmenter, patients), patients):
        found.add(passes)
    steps = found.search()
    settings = tuning.as_config(found, steps)
    print(f"{segmenter.weights.name}, {segmenter.engine_name}, {len(patients)} validation patients, every slice")
    print(tuning.table(steps))
    print(f"\nchosen: {tuning.chosen(steps)}")
    if write:
        config_file = segmenter.weights.path.with_name("config.json")
        write_json(config_file, {**json.loads(config_file.read_text()), **settings})


def write_card(weights_name: str, run_folder: Path | None, notes: list[str]) -> None:
    """Complete config.json and write README.md beside it, from the run and the evaluations.

    Raises:
        WeightsError: the weights cannot be used, or the run holds none of its own.
        DataError: an evaluation cannot be read.
    """
    folder = find_weights(weights_name).path.parent
    config = json.loads((folder / "config.json").read_text())
    try:
        write_json(folder / "config.json", cards.complete_config(config, run_folder, notes))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise WeightsError(f"{run_folder} does not say what made the weights: {error!r}") from None
    (folder / "README.md").write_text(cards.card(folder), encoding="utf-8")


def release(
    weights_name: str,
    run_folder: Path | None,
    data: str | None,
    splits: list[str],
    engine: str,
    notes: list[str],
    choose: bool = True,
) -> None:
    """Ship a run's best weights: copy them, tune, evaluate the splits by the full protocol, write the card.

    The test patients are scored last, when nothing is left to choose; config.json counts how often.

    Args:
        weights_name: folder in `weights/`.
        run_folder: None to tune and evaluate anew what is in `weights/` already.
        data: folder with the patients; None takes the one that the app would find.
        splits: of `validation`, `phantoms` and `test`.
        engine: as of `Segmenter`.
        notes: sentences for the card.
        choose: tune threshold and post-processing, or keep those of config.json.

    Raises:
        DataError, WeightsError: patients or weights that cannot be used; a split that is none; a checkout with
            changed files.
    """
    if unknown := [split for split in splits if split not in results.SPLITS]:
        raise DataError(f"--splits {unknown[0]}: expected some of {', '.join(results.SPLITS)}")
    commit = code_version()  # now: what is written from here on would make the checkout look changed
    if commit.endswith("-dirty"):
        raise DataError(
            f"the checkout at {commit.removesuffix('-dirty')} has changed files, so that no commit names the code of "
            "this release. Commit them first."
        )
    if run_folder:
        _copy_run(run_folder, weights_name)
    if choose:
        tune(weights_name, data, engine)
    segmenter = Segmenter(find_weights(weights_name), engine)
    folder = segmenter.weights.path.parent
    for split in sorted(splits, key=["phantoms", "validation", "test"].index):
        if split == "phantoms":
            patients = list_patients(DEMO_FOLDER)[0]
        else:
            patients = evaluation.choose_patients(list_patients(find_data_root(data))[0], None, split)
        if split == "test":
            _count_opening(folder)
        evaluate_full(segmenter, patients, split, folder / results.SPLITS[split], None, commit)
    write_card(weights_name, run_folder, notes)


def _openings(folder: Path) -> int:
    """Return how often the test patients were scored with weights of this folder, earlier ones included."""
    config = folder / "config.json"
    known = json.loads(config.read_text()) if config.exists() else {}
    return known.get("test_openings", int((folder / results.SPLITS["test"]).exists()))


def _count_opening(folder: Path) -> None:
    """Count before the score is seen: an evaluation that is cut off has been looked at, too."""
    config = folder / "config.json"
    write_json(config, {**json.loads(config.read_text()), "test_openings": _openings(folder) + 1})


def _copy_run(run_folder: Path, weights_name: str) -> None:
    """Lay the best weights of a run and its curve into `weights/`; what belonged to others before goes.

    How often the test patients were opened stays: the next network of a name is chosen by people who saw the last.
    """
    best = find_weights((run_folder / "best").resolve())
    folder = weights_folder(weights_name)
    folder.mkdir(parents=True, exist_ok=True)
    openings = _openings(folder)
    for name in (*results.SPLITS.values(), results.OUT_OF_FOLD, f"{INT8_NAME}.xml", f"{INT8_NAME}.bin"):
        (folder / name).unlink(missing_ok=True)
    sources = [best.path, best.path.with_name("config.json"), run_folder / "metrics.csv", run_folder / "curve.png"]
    for source in sources:
        if source.exists():
            shutil.copyfile(source, folder / source.name)
    if openings:
        write_json(
            folder / "config.json", json.loads((folder / "config.json").read_text()) | {"test_openings": openings}
        )


def _with_progress(steps: Iterable[Made | None], patients: list[Patient]) -> Iterator[Made]:
    """Pass on what is made of each patient, and show on the terminal how far it is."""
    slices, done = sum(len(patient.images) for patient in patients), 0
    for made in steps:
        if made is None:
            done += 1
            if sys.stderr.isatty():
                print(f"\r{done / max(1, slices):4.0%} ", end="", file=sys.stderr, flush=True)
        else:
            yield made
