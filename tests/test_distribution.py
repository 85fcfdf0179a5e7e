"""Several devices share a batch: the same curve as one device with the whole batch."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from unet.data.patients import DEMO_FOLDER

PROJECT = Path(__file__).resolve().parent.parent
# float32, in which only the order of sums differs; small enough that tracing is most of the time
SETTINGS = (
    f"--data={DEMO_FOLDER} --training-patients=2 --validation-patients=1 --filters=2 --sizes=32 --epochs=3 "
    "--architecture=unet --epoch-slices=16 --batch-size=4 --learning-rate=0.003 --precision=float32"
).split()
# Batch-norm statistics and Dice counts are summed over the replicas, so both compute the same function; what is left
# is rounding, which twelve steps of Adam carry on.
TOLERANCE = 2e-3


# Graphs this small take longer to optimise than to run. "mirrored" runs on two logical devices of one processor, and
# before it the process runs alone on one of them: that saves a start of TensorFlow.
PRELUDE = (
    "import sys, tensorflow as tf; sys.path.insert(0, '.')\n"
    "tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})\n"
    "import train\n"
)
ONE = PRELUDE + "sys.exit(train.main())"
ALONE_THEN_MIRRORED = (
    PRELUDE + "cpu = tf.config.list_physical_devices('CPU')[0]\n"
    "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
    "*settings, alone, mirrored = sys.argv[1:]\n"
    "sys.exit(train.main([*settings, alone]) or train.main([*settings, mirrored, '--strategy=mirrored']))"
)


def start(*more: str, task: dict | None = None, program: str = ONE):
    environment = {**os.environ, **({"TF_CONFIG": json.dumps(task)} if task else {})}
    command = [sys.executable, "-c", program, *SETTINGS, *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=PROJECT, env=environment, **pipes)


def finish(process) -> None:
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output[-2000:]


def curve(run_dir: Path) -> list[float]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def curves(tmp_path_factory) -> dict[str, list[float]]:
    """Losses of one process, of two workers and of two devices; side by side, as most of it is waiting."""
    root = tmp_path_factory.mktemp("runs")
    cluster = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}}
    tasks = [{**cluster, "task": {"type": "worker", "index": index}} for index in (0, 1)]
    folders = {name: root / name / "run" for name in ("workers", "alone", "mirrored")}
    workers = [start(f"--run-dir={folders['workers']}", "--strategy=multi-worker", task=task) for task in tasks]
    one_process = [f"--run-dir={folders[name]}" for name in ("alone", "mirrored")]
    for process in (*workers, start(*one_process, program=ALONE_THEN_MIRRORED)):
        finish(process)
    return {
        "alone": curve(folders["alone"]),
        "first worker": curve(folders["workers"]),
        "second worker": curve(folders["workers"] / "worker-1"),
        "mirrored": curve(folders["mirrored"]),
        "replicas": [json.loads((folders["workers"] / "spec.json").read_text())["replicas"]],
    }


def test_two_workers_reach_the_same_curve_as_one_process(curves):
    assert curves["replicas"] == [2]
    assert curves["first worker"] == curves["second worker"]
    assert curves["first worker"] == pytest.approx(curves["alone"], abs=TOLERANCE)


def test_two_devices_of_one_machine_reach_the_same_curve(curves):
    assert curves["mirrored"] == pytest.approx(curves["alone"], abs=TOLERANCE)


def test_several_machines_need_a_length_in_epochs(tmp_path):
    task = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
    output, _ = start(f"--run-dir={tmp_path / 'run'}", "--minutes=1", "--strategy=multi-worker", task=task).communicate(
        timeout=200
    )
    assert "several machines need --slices or --epochs, and no --minutes" in output


def test_batches_that_cannot_be_shared_evenly_are_refused():
    from unet.training.config import TrainingConfig
    from unet.training.learner import Learner

    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(ValueError, match="3 devices cannot share batches of 8 slices evenly"):
        Learner(TrainingConfig(epochs=1), Three(), None)
