"""The report of a cross-validation: each patient by the network that has not seen it, and nothing that leaks."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from unet.__main__ import main
from unet.data.folds import FOLDS, fold_of, published_folds
from unet.data.splits import published_splits
from unet.evaluation.protocol import ROWS
from unet.metrics import bootstrap_interval
from unet.release import card, out_of_fold, ship
from unet.reports import markdown, results
from unet.training.config import TrainingConfig
from unet.training.run_folder import METRICS, RunFolder, write_json
from unet.weights.arrays import load_arrays
from unet.weights.network import find_weights

pytestmark = pytest.mark.filterwarnings("ignore:An input array is constant")  # the passes of each patient agree
CONFIG = TrainingConfig(filters=3, sizes=(16, 32), slices=8)


@pytest.fixture
def runs(tmp_path):
    """Five finished runs of one epoch, whose weights hold the number of their fold."""
    for fold, own in enumerate(published_folds()):
        run = RunFolder(tmp_path / "runs" / f"fold-{fold}")
        run.path.mkdir(parents=True)
        others = [patient_id for number, ids in enumerate(published_folds()) if number != fold for patient_id in ids]
        spec = {"config": asdict(replace(CONFIG, fold=fold))}
        write_json(run.path / "spec.json", {**spec, "training_patients": others, "validation_patients": list(own)})
        run.write_status({"state": "finished"})
        run.metrics.write_text(f"{','.join(METRICS)}\n{','.join('1' for _ in METRICS)}\n")
        about = {"architecture": "attention-unet", "filters": 3, "size": 32, "threshold": 0.5, "epoch": 1}
        run.write_best({"a": np.full(2, fold, np.float32)}, about)
    return tmp_path / "runs"


@pytest.fixture
def data(tmp_path, write_patient):
    """The 88 patients and one of the ten: three slices of one grey value each, a lesion of 4 × 4 on the first."""
    lesion = np.zeros((16, 16), np.uint8)
    lesion[4:8, 4:8] = 255
    for patient_id in (*(id_ for fold in published_folds() for id_ in fold), published_splits()["test"][0]):
        images = {number: np.full((16, 16, 3), 50 * number, np.uint8) for number in (1, 2, 3)}
        masks = {number: lesion * (number == 1) for number in (1, 2, 3)}
        write_patient(tmp_path / "data", patient_id, images, masks)
    return tmp_path / "data"


class Painter:
    """Draws what was expected; fold 4's network nothing at all; that of fold 0 a false positive on slice 3 as well."""

    engine_name = "none"

    def __init__(self, weights, engine):
        self.weights, self.fold = weights, int(load_arrays(weights.path)[0]["a"][0])

    def predict(self, image, statistics, flip_averaging):
        probability = np.zeros((16, 16), np.float32)
        if image.max() == 50 and self.fold != 4:
            probability[4:8, 4:8] = 0.75
        if image.max() == 150 and self.fold == 0:
            probability[0, :2] = 0.75
        return SimpleNamespace(probability=probability)


@pytest.fixture
def report(runs, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ship, "Segmenter", Painter)
    out = tmp_path / "report.json"
    words = ["--data", str(data), "--json", str(out), "--keep-probabilities"]
    assert main(["evaluate", "--out-of-fold", str(runs), *words]) == 0
    return results.read_report(out), capsys.readouterr().out


def test_every_patient_is_scored_once_by_the_network_that_has_not_seen_it(report):
    report, said = report
    dice = results.dice_of(report, "published")
    assert sorted(dice) == sorted(id_ for fold in published_folds() for id_ in fold)
    by_fold: dict[int | None, float] = {0: 32 / 34, 1: 1, 2: 1, 3: 1, 4: 0}
    assert dice == {patient_id: pytest.approx(by_fold[fold_of(patient_id)], abs=1e-5) for patient_id in dice}
    assert report["protocol"]["rows"]["published"]["median"] == 1
    assert results.dice_below(report, "published") == len(published_folds()[4]) == 17
    assert "17 patients are below 0.5." in said
    assert "| as published with the weights |" in said
    # 18 of the 176 empty slices carry the false positive of fold 0
    assert f"{18 / 176:.1%}" in said


def test_report_says_which_networks_and_whose_rule(report, runs):
    about = report[0]["protocol"]["out_of_fold"]
    assert about["rule_of"] == "attention-unet-32"
    digests = [find_weights(runs / f"fold-{fold}" / "best").sha256 for fold in range(FOLDS)]
    assert about["folds"] == [
        {"fold": fold, "sha256": digest, "patients": len(published_folds()[fold])}
        for fold, digest in enumerate(digests)
    ]
    assert report[0]["weights"] == "runs, out of fold"
    assert list(report[0]["protocol"]["rows"]) == list(ROWS)


def test_an_epoch_that_the_scored_patients_have_chosen_is_refused(runs, data, capsys):
    with (runs / "fold-3" / "metrics.csv").open("a") as file:
        file.write(",".join("2" for _ in METRICS) + "\n")
    assert main(["evaluate", "--out-of-fold", str(runs), "--data", str(data)]) == 1
    said = capsys.readouterr().err
    assert "fold-3 holds the weights of epoch 1 of 2, which the patients to be scored have chosen" in said


def test_probabilities_are_kept_where_asked(report, runs):
    own = published_folds()[2]
    kept = sorted(path.stem for path in (runs / "fold-2" / "out-of-fold").iterdir())
    assert kept == sorted(own)
    with np.load(runs / "fold-2" / "out-of-fold" / f"{own[0]}.npz") as file:
        probability = file["probability"]
    assert (probability.dtype, probability.shape) == (np.uint8, (3, 16, 16))
    assert (probability[0, 4:8, 4:8] == 191).all() and probability.sum() == 16 * 191


def test_twelve_new_patients_scatter_more_than_eighty_eight(report):
    values = np.array(list(results.dice_of(report[0], "published").values()))
    low, high = bootstrap_interval(values)
    lower, higher = results.interval_of_new_group(report[0], "published")
    assert lower is not None and higher is not None
    assert lower < low < values.mean() < high < higher
    # of twelve, 17 in 88 of which score 0, the mean is about 0.79 ± 1.96 · 0.39 / √12
    assert (lower, higher) == (pytest.approx(0.57, abs=0.04), pytest.approx(0.99, abs=0.02))
    assert f"is to be expected in {lower:.3f} to {higher:.3f} (95 %, bootstrap)" in report[1]


def test_card_begins_its_scores_with_the_report(report, runs):
    folder = runs / "fold-0" / "best"
    (folder / results.OUT_OF_FOLD).write_text(results.to_json(report[0]))
    text = card.card(folder)
    assert "### Out of fold: this recipe on every training and validation patient" in text
    assert markdown.scores(report[0]) in text


def spec_of(runs, fold):
    return json.loads((runs / f"fold-{fold}" / "spec.json").read_text())


def test_a_network_that_has_seen_its_patients_is_refused(runs, data, capsys):
    spec = spec_of(runs, 1)
    spec["training_patients"].append(published_folds()[1][0])
    write_json(runs / "fold-1" / "spec.json", spec)
    assert main(["evaluate", "--out-of-fold", str(runs), "--data", str(data)]) == 1
    assert f"{published_folds()[1][0]} is in fold 1 and would be trained on" in capsys.readouterr().err


def test_folds_that_do_not_belong_together_are_refused(runs, data, capsys):
    def refused() -> str:
        assert main(["evaluate", "--out-of-fold", str(runs), "--data", str(data)]) == 1
        return capsys.readouterr().err

    spec = spec_of(runs, 3)
    other = {**spec, "config": {**spec["config"], "slices": 16}}
    write_json(runs / "fold-3" / "spec.json", other)
    assert "were trained with 2 different settings; expected one" in refused()
    write_json(runs / "fold-3" / "spec.json", {**spec, "config": {**spec["config"], "fold": 2}})
    assert "fold-3 validates on fold 2, its name says 3" in refused()
    write_json(runs / "fold-3" / "spec.json", spec)
    RunFolder(runs / "fold-3").write_status({"state": "training"})
    assert "fold-3 is training, not finished; run python -m unet cross-validate again" in refused()
    RunFolder(runs / "fold-3").write_status({"state": "finished"})
    (data / published_folds()[0][0]).rename(data.parent / "elsewhere")
    assert f"1 of 88 patients are not in the folder, such as {published_folds()[0][0]}. Check --data." in refused()


def test_networks_are_in_the_order_of_their_folds(runs):
    assert [network.fold for network in out_of_fold.fold_networks(runs)] == [0, 1, 2, 3, 4]
