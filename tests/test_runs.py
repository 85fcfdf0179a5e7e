"""The run folder under a process that is killed at any moment."""

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from unet.training.endings import TrainingStopped, describe_end, describe_result
from unet.training.run_folder import METRICS, RunFolder
from unet.weights.arrays import load_arrays
from unet.weights.network import find_weights

PROJECT = Path(__file__).resolve().parent.parent
KILLS = int(os.environ.get("KILLS", "8"))

# writes what training writes after an epoch, in the same order, as fast as it can
WRITER = """
import sys
from pathlib import Path
import numpy as np
from unet.training.run_folder import METRICS, RunFolder
from unet.weights.arrays import load_arrays, save_arrays
folder = RunFolder(Path(sys.argv[1]))
folder.path.mkdir(parents=True, exist_ok=True)
(folder.path / "curve.png").touch()
epoch = 0
if folder.checkpoint.exists():
    epoch = load_arrays(folder.checkpoint)[1]["epoch"]
    folder.forget_after(epoch)
print(epoch, flush=True)
arrays = {"kernel": np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)}
while True:
    epoch += 1
    folder.append_metrics({**dict.fromkeys(METRICS, 0.5), "epoch": epoch}, last=False)
    folder.previews.write_epoch(epoch, {"probability": np.zeros((1, 8, 8), np.float16)}, 8)
    config = {"filters": 2, "size": 32, "threshold": 0.5, "epoch": epoch}
    folder.write_best(arrays, config)
    save_arrays(folder.checkpoint, arrays, {"epoch": epoch})
    folder.write_status({"state": "training", "epoch": epoch})
"""


def test_checkpoints_survive_random_kills(tmp_path):
    """Set KILLS=50 for the long version."""
    rng = np.random.default_rng()
    folder, reached = RunFolder(tmp_path / "run"), 0
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    for number in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(folder.path)]
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        resumed = int(process.stdout.readline())
        assert resumed == reached  # nothing but the epoch that was going on is lost
        deadline = time.monotonic() + 30
        while not (folder.checkpoint.exists() and folder.read_status()) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, meta = load_arrays(folder.checkpoint)
        reached = meta["epoch"]
        folder.repair_best()
        assert find_weights(folder.best).filters == 2
        for epoch in folder.previews.epochs():
            load_arrays(folder.previews.epoch(epoch))  # none is half written
        rows = folder.read_metrics()
        assert [row["epoch"] for row in rows][:reached] == list(range(1, reached + 1)), number
        assert reached <= len(rows) <= reached + 1
    assert reached > 0


def test_best_weights_that_were_cut_off_before_their_config(tmp_path):
    folder = RunFolder(tmp_path)
    config = {"filters": 2, "size": 32, "threshold": 0.5, "epoch": 1}
    folder.write_best({"a": np.zeros(3)}, config)
    old = (folder.best / "config.json").read_text()
    folder.write_best({"a": np.ones(3)}, {**config, "epoch": 2})
    (folder.best / "config.json").write_text(old)
    with pytest.raises(ValueError, match="truncated or was changed"):
        find_weights(folder.best)
    folder.repair_best()
    assert find_weights(folder.best).sha256
    assert '"epoch": 2' in (folder.best / "config.json").read_text()


@pytest.mark.parametrize(
    "dice, by_heart, words",
    [
        ([], False, ""),
        ([math.nan, math.nan], False, "No validation slice shows a lesion, so there is no volume Dice."),
        ([0.0, 0.0], False, "No mask touched a lesion (volume Dice 0): the run was too short"),
        ([0.1, 0.04], False, "Dice 0.100, after epoch 1 of 2: the masks hardly touch the lesions. Later epochs"),
        ([0.1, 0.3], False, "Best mean volume Dice 0.300, after epoch 2 of 2: the masks cover part of the lesions."),
        ([0.1, 0.3, 0.6], False, "after epoch 3 of 3: the masks cover most of the lesions. The last epoch"),
        ([0.6, 0.8, 0.76], False, "Dice 0.800, after epoch 2 of 3: the masks are close to the expected ones."),
        ([0.6, 0.8, 0.76, math.nan], False, "after epoch 2 of 4: the masks are close to the expected ones."),
        ([0.9, 0.9], True, "after epoch 1 of 2: the masks are close to the expected ones. The run was validated"),
    ],
)
def test_a_result_is_said_in_words(dice, by_heart, words):
    said = describe_result(dice, by_heart)
    assert words in said
    assert bool(words) is bool(said)


def test_advice_follows_the_curve():
    assert "longer run may be better" in describe_result([0.1, 0.2, 0.3])
    assert "Later epochs were worse" in describe_result([0.1, 0.5, 0.3])
    assert describe_result([0.1, 0.5, 0.48]).endswith("the masks cover part of the lesions.")


@pytest.mark.parametrize(
    "error, state, reason",
    [
        (None, "finished", "Best mean volume Dice 0.700, after epoch 1 of 1: the masks cover most of the lesions."),
        (TrainingStopped("x"), "stopped", "Stopped on request. It can be resumed after its last finished epoch. Best"),
        (ValueError("broken"), "failed", "broken"),
    ],
)
def test_a_run_says_at_its_end_how_good_it_is(tmp_path, error, state, reason):
    folder = RunFolder(tmp_path)
    (tmp_path / "curve.png").touch()  # or it would be drawn
    with nullcontext() if error is None else pytest.raises(type(error)), folder.recorded_end():
        folder.append_metrics({**dict.fromkeys(METRICS, 1), "validation_dice": 0.7}, last=False)
        if error:
            raise error
    status = folder.read_status()
    assert status["state"] == state
    assert status["reason"].startswith(reason)
    assert f"{state}: {reason}" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(
    "error, reason",
    [
        (ValueError("the folder given, /srv/lgg/kaggle_3m, does not exist"), "the folder given, kaggle_3m, does"),
        (
            FileNotFoundError(2, "No such file", "/srv/my data/a.tif"),
            "FileNotFoundError: [Errno 2] No such file: 'a.tif'",
        ),
        (ValueError("/data holds no patients (/srv/a/b)"), "data holds no patients (b)"),
        (ValueError("1 / 2 of A/B"), "1 / 2 of A/B"),
    ],
)
def test_status_and_log_name_no_folder_of_the_server(tmp_path, error, reason):
    folder = RunFolder(tmp_path)
    with pytest.raises(type(error)), folder.recorded_end():
        raise error
    assert folder.read_status()["reason"].startswith(reason)
    assert f"failed: {reason}" in (tmp_path / "log.txt").read_text()


def test_log_is_utf8_whatever_the_system_writes(tmp_path):
    program = (
        "import sys; from pathlib import Path; from unet.training.run_folder import RunFolder\n"
        "folder = RunFolder(Path(sys.argv[1])); folder.write_log('128\\xb2')\n"
        "folder.append_metrics({'epoch': 1, 'note': '\\u2265'}, last=False); folder.forget_after(1)\n"
    )
    (tmp_path / "curve.png").touch()  # or it would be drawn
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=PROJECT, env=environment, check=True)
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").endswith("  128²\n")
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8") == "epoch,note\n1,≥\n"


def test_row_that_is_just_being_written_is_not_read(tmp_path):
    folder = RunFolder(tmp_path)
    header = "epoch,learning_rate,loss,validation_dice,moving_average,epoch_seconds,seconds,note"
    folder.metrics.write_text(f"{header}\n1,0.001,0.5,0.25,0.2,3.5,4.5,x\n2,")
    numbers = {"learning_rate": 0.001, "loss": 0.5, "validation_dice": 0.25, "moving_average": 0.2}
    assert folder.read_metrics() == [{"epoch": 1.0, **numbers, "epoch_seconds": 3.5, "seconds": 4.5}]


@pytest.mark.parametrize("content", [b"epo", b"\xff", b"epoch,loss\n1,0.5\n", b"[]", b"epoch\0\n1\n", b"a" * 200_000])
def test_a_damaged_curve_has_no_rows(tmp_path, content):
    folder = RunFolder(tmp_path)
    folder.metrics.write_bytes(content)
    assert folder.read_metrics() == []


def test_error_in_a_wrapper_is_still_recognised():
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise RuntimeError("could not save") from None
    except RuntimeError as error:
        assert describe_end(error)[0] == "disk full"


def test_a_stop_that_a_library_wrapped_is_a_stop():
    try:
        try:
            raise TrainingStopped("told to end")
        except TrainingStopped:
            raise ValueError("in user code: told to end") from None  # as TensorFlow's tracing does
    except ValueError as error:
        assert describe_end(error)[0] == "stopped"
