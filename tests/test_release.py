"""From a run folder to shipped weights with a card, on a network that is tiny and phantoms that are not."""

import csv
import json
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from unet.__main__ import main
from unet.data.patients import DEMO_FOLDER
from unet.data.slice_files import DataError
from unet.release import card as cards
from unet.release import ship
from unet.training.run_folder import RunFolder
from unet.weights import network as weights
from unet.weights.network import WEIGHTS_FOLDER

ORIGIN = {
    "command": "python train.py --data /somewhere/private/lgg --filters 16",
    "commit": "abc123",
    "hardware": "x86_64, 2 cores",
    "precision": "float32",
    "gpus": 0,
    "training_patients": ["A", "B", "C"],
    "validation_patients": ["D"],
}


@pytest.fixture(autouse=True)
def committed(monkeypatch):
    """Whoever changes the code runs these tests before committing it."""
    monkeypatch.setattr(ship, "code_version", lambda: "abc")


@pytest.fixture
def run_folder(tmp_path):
    """A finished run: two epochs, half an hour."""
    run = RunFolder(tmp_path / "runs" / "x")
    run.path.mkdir(parents=True)
    (run.path / "spec.json").write_text(json.dumps(ORIGIN))
    with run.metrics.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "seconds"])
        writer.writeheader()
        writer.writerows([{"epoch": 1, "seconds": 900}, {"epoch": 2, "seconds": 1800}])
    run.write_best(
        {"a/kernel": np.zeros((3, 4), np.float16), "a/bias": np.zeros(4, np.float32)},
        {"architecture": "attention-unet", "filters": 16, "size": 160, "threshold": 0.5, "epoch": 2},
    )
    return run.path


def test_card_of_a_run_says_what_made_it(run_folder, tmp_path):
    folder = tmp_path / "shipped"
    ship._copy_run(run_folder, str(folder))
    ship.write_card(str(folder), run_folder, ["A note."])
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# shipped\n")
    assert "16 filters, 16 parameters" in card
    assert "| data | LGG MRI segmentation, split by patient: 3 training, 1 validation, 10 test" in card
    assert "| made by | `python train.py --data lgg --filters 16`, commit abc123 |" in card
    assert "| ran | 0.5 hours, on x86_64, 2 cores, no GPU, float32, 2 epochs |" in card
    assert "A note." in card and "CC BY-NC-SA 4.0" in card
    config = json.loads((folder / "config.json").read_text())
    assert config["sha256"] in card
    assert "private" not in json.dumps(config) + card
    assert weights.find_weights(folder).post_processing == weights.PLAIN
    ship.write_card(str(folder), None, [])  # once more without the run: nothing is forgotten
    assert (folder / "README.md").read_text(encoding="utf-8") == card


def test_pages_are_utf_8_where_another_encoding_is_the_default(run_folder, tmp_path, monkeypatch):
    def write_text(path, text, encoding="cp1252"):  # as on Windows
        path.write_bytes(text.encode(encoding))

    monkeypatch.setattr(Path, "write_text", write_text)
    folder = tmp_path / "shipped"
    ship._copy_run(run_folder, str(folder))
    ship.write_card(str(folder), run_folder, ["Größer."])
    assert "Größer." in (folder / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(ship.protocol, "evaluate_full", lambda *_: [])
    monkeypatch.setattr(ship.protocol, "full_report", lambda *_: {})
    monkeypatch.setattr(ship.markdown, "evaluation", lambda _: "Größer.")
    patient = Mock(folder=tmp_path / "patient", images=[])
    ship.evaluate_full(Mock(weights=None, engine_name=""), [patient], None, None, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == "Größer."


def test_new_weights_do_not_keep_the_scores_of_the_old(run_folder, tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "test.json").write_text("{}")
    ship._copy_run(run_folder, str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "metrics.csv", "weights.npz"]


def test_card_takes_full_and_short_evaluations(tmp_path):
    folder = tmp_path / "attention-unet-32"
    shutil.copytree(WEIGHTS_FOLDER / folder.name, folder)
    full = json.loads((folder / "validation.json").read_text())
    short = {key: full[key] for key in ("weights", "threshold", "patients", "raw", "largest_component")}
    (folder / "validation.json").write_text(json.dumps(short))
    card = cards.card(folder)
    assert f"| raw at 0.5 | {short['raw']['mean']:.3f} |" in card
    assert "0.909 mean and 0.923 median" in card and "trained on the other 100" in card


def test_shipped_card_is_what_the_command_writes():
    folder = WEIGHTS_FOLDER / "attention-unet-32"
    assert (folder / "README.md").read_text(encoding="utf-8") == cards.card(folder)


def test_release_on_phantoms_end_to_end(tmp_path, monkeypatch, capsys):
    """A phantom stands for the validation patients."""
    from unet.evaluation import evaluate

    ids = ("PHANTOM_ICBM_0003_20260103",)
    monkeypatch.setattr(evaluate, "published_splits", lambda: {"validation": ids})
    folder = tmp_path / "mine"
    shutil.copytree(WEIGHTS_FOLDER / "attention-unet-32", folder)
    for name in ("validation.json", "test.json", "phantoms.json", "README.md"):
        (folder / name).unlink(missing_ok=True)
    command = ["release", "--weights", str(folder), "--data", str(DEMO_FOLDER), "--splits", "validation"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "1 validation patients, every slice" in said and "chosen: 0.50" in said
    report = json.loads((folder / "validation.json").read_text())
    assert list(report["patients"]) == list(ids)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| as published with the weights | {report['protocol']['rows']['published']['mean']:.3f} |" in card
    assert "`python -m unet tune` on 1 validation patients" in card
    assert main([*command[:-1], "training"]) == 1
    assert main(["compare", str(folder / "validation.json"), str(folder / "validation.json")]) == 0
    assert "+0.000 to +0.000 | 0 / 0 of 1 |" in capsys.readouterr().out


def test_a_release_is_of_the_commit_that_it_began_with(tmp_path, monkeypatch):
    """What it writes into the checkout itself must not read as a change of the code."""
    folder = tmp_path / "mine"
    shutil.copytree(WEIGHTS_FOLDER / "attention-unet-32", folder)
    phantom = "PHANTOM_ICBM_0005_20260105"
    shutil.copytree(DEMO_FOLDER / phantom, tmp_path / "demo" / phantom)
    monkeypatch.setattr(ship, "DEMO_FOLDER", tmp_path / "demo")
    versions = iter(["abc", "abc-dirty"])
    monkeypatch.setattr(ship, "code_version", lambda: next(versions))
    monkeypatch.setattr("sys.argv", ["unet", "release", "--data", "/private/lgg", "--note", "it's (a) note"])
    ship.release(str(folder), None, None, ["phantoms"], "auto", [], choose=False)
    made = json.loads((folder / "phantoms.json").read_text())["protocol"]
    assert made["commit"] == "abc"
    words = ["release", "--data", "lgg", "--note", "it's (a) note"]
    assert shlex.split(made["command"]) == ["python", "-m", "unet", *words]


def test_a_release_of_changed_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "code_version", lambda: "abc-dirty")
    with pytest.raises(DataError, match="the checkout at abc has changed files"):
        ship.release(str(tmp_path), None, None, ["phantoms"], "auto", [])


def test_release_of_something_that_is_no_run_is_a_plain_error(tmp_path, capsys):
    assert main(["release", "--run-dir", str(tmp_path), "--weights", "x", "--data", str(DEMO_FOLDER)]) == 1
    assert "No weights in" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 1
    assert "a.json cannot be used" in capsys.readouterr().err


def test_release_counts_how_often_the_test_patients_were_opened(run_folder, tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    ship._copy_run(run_folder, str(folder))
    monkeypatch.setattr(ship, "Segmenter", lambda found, engine: SimpleNamespace(weights=found))
    monkeypatch.setattr(ship.evaluation, "choose_patients", lambda *_: [])
    scored = []

    def evaluate_full(segmenter, patients, split, json_file, *_):
        scored.append((split, json.loads((folder / "config.json").read_text()).get("test_openings")))
        json_file.write_text(json.dumps(json.loads((WEIGHTS_FOLDER / "attention-unet-32" / "test.json").read_text())))

    monkeypatch.setattr(ship, "evaluate_full", evaluate_full)
    arguments = (str(folder), None, str(DEMO_FOLDER))
    ship.release(*arguments, ["test", "validation"], "auto", [], choose=False)
    assert scored == [("validation", None), ("test", 1)]
    assert "| test patients | opened once under this name, at releases |" in (folder / "README.md").read_text()
    ship.release(*arguments, ["validation"], "auto", [], choose=False)
    ship._copy_run(run_folder, str(folder))  # a new network of the same name
    ship.release(*arguments, ["test"], "auto", [], choose=False)
    assert "| test patients | opened 2 times under this name, at releases |" in (folder / "README.md").read_text()


def test_scores_from_before_they_were_counted_are_one_opening(run_folder, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "test.json").write_text("{}")
    ship._copy_run(run_folder, str(folder))
    assert json.loads((folder / "config.json").read_text())["test_openings"] == 1
