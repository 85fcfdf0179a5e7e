"""The folds of a cross-validation: killed, resumed, skipped when finished, handed to a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest

import train
from unet import __main__ as command_line
from unet.data.folds import published_folds
from unet.jobs import cross_validation
from unet.training.run_folder import RunFolder

PROJECT = Path(__file__).resolve().parent.parent
RECIPE = ["--filters=2", "--sizes=16", "--slices=24", "--epoch-slices=8", "--precision=float32", "--learning-rate=1e-2"]


@pytest.fixture
def patients(tmp_path, write_tiny_patient) -> Path:
    """Two tiny patients of every fold."""
    for fold in published_folds():
        for patient_id in fold[:2]:
            write_tiny_patient(tmp_path / "data", patient_id)
    return tmp_path / "data"


def curves(run_dir: Path) -> list[list[dict]]:
    """What each epoch of the first two folds measured, without what a clock measured."""
    found = [RunFolder(cross_validation.fold_folder(run_dir, fold)).read_metrics() for fold in (0, 1)]
    return [[{name: row[name] for name in row if "seconds" not in name} for row in rows] for rows in found]


def test_killed_twice_and_resumed_gives_the_same_folds_and_the_same_curves(tmp_path, patients):
    run_dir, whole = tmp_path / "killed", tmp_path / "whole"
    for fold in (0, 1):
        words = [f"--fold={fold}", f"--run-dir={cross_validation.fold_folder(whole, fold)}", f"--data={patients}"]
        assert train.main([*RECIPE, *words]) == 0
    command = [sys.executable, "-m", "unet", "cross-validate", f"--data={patients}", "--folds=0,1", *RECIPE]
    command.append(f"--run-dir={run_dir}")
    for fold, rows in ((0, 1), (1, 2)):
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, start_new_session=True)
        metrics = cross_validation.fold_folder(run_dir, fold) / "metrics.csv"
        deadline = time.monotonic() + 120
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 1 + rows:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)  # the command and the fold's process
        process.wait()
    first = cross_validation.fold_folder(run_dir, 0) / "checkpoint.npz"
    finished = first.stat().st_mtime_ns
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("fold ")] == [
        "fold 0: finished",
        "fold 1: resumed",
    ]
    assert first.stat().st_mtime_ns == finished
    assert [[row["epoch"] for row in rows] for rows in curves(run_dir)] == [[1, 2, 3], [1, 2, 3]]
    for once, again in zip(chain(*curves(whole)), chain(*curves(run_dir)), strict=True):
        assert again == pytest.approx(once, abs=1e-4)
    for fold in (0, 1):
        specs = [RunFolder(cross_validation.fold_folder(folder, fold)).read_spec() for folder in (whole, run_dir)]
        assert specs[0]["validation_patients"] == sorted(published_folds()[fold][:2])
        for name in ("config", "training_patients", "validation_patients"):
            assert specs[0][name] == specs[1][name]


def test_folds_of_another_recipe_are_refused(tmp_path, capsys):
    assert cross_validation.keep_recipe(tmp_path, ["--slices=8"]) == ["--slices=8"]
    assert cross_validation.keep_recipe(tmp_path, []) == ["--slices=8"]
    assert command_line.main(["cross-validate", f"--run-dir={tmp_path}", "--slices=16"]) == 1
    assert "holds folds trained with --slices=8. Give the same arguments or none" in capsys.readouterr().err
    assert command_line.main(["cross-validate", f"--run-dir={tmp_path / 'new'}"]) == 1
    assert "new has no recipe yet. Give the arguments of train.py" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("words", [["--folds=5"], ["--folds=0,,1"], ["--folds="]])
def test_folds_that_are_none(tmp_path, capsys, words):
    with pytest.raises(SystemExit):
        command_line.main(["cross-validate", f"--run-dir={tmp_path}", *words])
    assert "expected numbers from 0 to 4 with commas, such as 0,1" in capsys.readouterr().err


def test_other_commands_still_refuse_what_they_do_not_know(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["evaluate", "--filters=2"])
    assert "unrecognized arguments: --filters=2" in capsys.readouterr().err


def test_a_fold_that_fails_ends_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cross_validation, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    assert command_line.main(["cross-validate", f"--run-dir={tmp_path}", "--slices=8"]) == 1
    output = capsys.readouterr()
    assert output.out.splitlines() == ["fold 0: started"]
    assert output.err == "error: fold 0 ended with status 3; the same command resumes it\n"


def test_terminated_command_takes_its_fold_with_it(tmp_path):
    fold = tmp_path / "fold.py"
    note_pid = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    fold.write_text(f"import os, pathlib, time\n{note_pid}\ntime.sleep(60)\n")
    program = (
        "import sys\nfrom unet import __main__\nfrom unet.jobs import cross_validation\n"
        f"cross_validation.COMMAND = (sys.executable, {str(fold)!r})\n"
        f"sys.exit(__main__.main(['cross-validate', '--run-dir', {str(tmp_path / 'run')!r}, '--slices=8']))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    assert process.communicate(timeout=30)[1] == "error: stopped by a signal; the same command resumes\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_folds_become_jobs_of_a_cluster(tmp_path, monkeypatch, capsys):
    given = []

    class Recorder:
        def __init__(self, address):
            given.append(address)

        def start(self, arguments, gpus):
            given.append((arguments, gpus))
            return {"job": f"job_{len(given)}"}

    monkeypatch.setattr(cross_validation, "RayRunner", Recorder)
    finished, cut = (RunFolder(cross_validation.fold_folder(tmp_path, fold)) for fold in (0, 2))
    for folder, state in ((finished, "finished"), (cut, "interrupted")):
        folder.path.mkdir()
        folder.write_status({"state": state})
        folder.checkpoint.touch()
    words = ["--run-dir", str(tmp_path), "--submit", "ray://head", "--gpus", "1", "--folds", "0,1,2"]
    assert command_line.main(["cross-validate", *words, "--slices", "8"]) == 0
    assert given == [
        "ray://head",
        (["--slices", "8", "--fold=1", f"--run-dir={tmp_path / 'fold-1'}", "--no-queue"], 1),
        (["--slices", "8", "--fold=2", f"--run-dir={tmp_path / 'fold-2'}", "--resume", "--no-queue"], 1),
    ]
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"arguments": ["--slices", "8"]}
    assert "fold 0: finished" in capsys.readouterr().out
