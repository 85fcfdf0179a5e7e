"""Batches made by several processes: the same ones, in order, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.test_training import JUDGE, LEARN, TINY, rows_of
from unet.training import batches, loop
from unet.training.augmentation import Augmentation
from unet.training.batches import OwnBatches, WorkerBatches, make_batches
from unet.training.endings import TrainingError
from unet.training.sampling import SliceSampler

PROJECT = Path(__file__).resolve().parent.parent


def sampler_of(context: int = 0) -> SliceSampler:
    return SliceSampler(LEARN, 4, 7, Augmentation(), context)


def shared_blocks() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("psm_*")}


@pytest.fixture(scope="module")
def two_workers():
    with make_batches(LEARN, sampler_of(), 2, 48) as made:
        yield made


@pytest.mark.parametrize(("steps", "size"), [(range(3, 10), 32), (range(2**40, 2**40 + 1), 48), (range(0), 48)])
def test_workers_make_the_batches_that_a_thread_makes(two_workers, steps, size):
    rows = range(4)
    expected = [make_rows(rows) for make_rows in OwnBatches(sampler_of()).of(steps, size)]
    made = [make_rows(rows) for make_rows in two_workers.of(steps, size)]
    assert len(made) == len(expected) == len(steps)
    for pair, other in zip(made, expected, strict=True):
        for one, two in zip(pair, other, strict=True):
            np.testing.assert_array_equal(one, two)
            assert (one.dtype, one.shape) == (two.dtype, two.shape)


def test_a_device_takes_its_own_rows(two_workers):
    (whole,), (own,) = ([make(range(4)) for make in two_workers.of([5], 32)], OwnBatches(sampler_of()).of([5], 32))
    part = next(two_workers.of([5], 32))(range(2, 4))
    for one, two, three in zip(part, own(range(2, 4)), whole, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three[2:4])


def test_whoever_stops_early_leaves_nothing_for_the_next(two_workers):
    early = two_workers.of(range(100, 200), 32)
    next(early)
    early.close()
    (made,), (expected,) = ([make(range(4)) for make in source.of([9], 32)] for source in (two_workers, own()))
    np.testing.assert_array_equal(made[0], expected[0])


def own() -> OwnBatches:
    return OwnBatches(sampler_of())


def test_neighbouring_slices_come_along():
    with make_batches(LEARN, sampler_of(context=1), 3, 32) as made:
        found = [make_rows(range(4)) for make_rows in made.of(range(8), 32)]
    expected = [make_rows(range(4)) for make_rows in OwnBatches(sampler_of(context=1)).of(range(8), 32)]
    assert found[0][0].shape == (4, 32, 32, 9)
    for pair, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(pair[0], other[0])


def test_one_worker_is_this_process_and_less_is_refused():
    assert isinstance(make_batches(LEARN, sampler_of(), 1, 32), OwnBatches)
    with pytest.raises(ValueError, match="0 processes that make batches; expected 1 or more"):
        make_batches(LEARN, sampler_of(), 0, 32)


def test_processes_and_memory_are_given_back(capfd):
    before = shared_blocks()
    with WorkerBatches(LEARN, sampler_of(), 2, 32) as made:
        next(made.of([1], 32))
        processes = [worker.process for worker in made._workers]
        assert len(shared_blocks() - before) == 3  # the volumes and each worker's results
    assert [process.exitcode for process in processes] == [0, 0]
    assert shared_blocks() == before
    assert capfd.readouterr().err == ""  # neither views of closed memory nor a tracker that complains


def test_a_worker_that_dies_or_fails_ends_the_run_in_words(monkeypatch):
    with WorkerBatches(LEARN, sampler_of(), 2, 32) as made:
        with pytest.raises(TrainingError, match="a process that makes batches failed: ValueError: "):
            list(made.of([1, 2], -1))
        made._workers[1].process.kill()
        with pytest.raises(TrainingError, match="has ended, perhaps for lack of memory. Use fewer --batch-workers"):
            list(made.of(range(50), 32))


def test_too_little_shared_memory_is_said_before_it_kills(monkeypatch, tmp_path):
    monkeypatch.setattr(batches.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000}))
    with pytest.raises(TrainingError, match="shared memory are needed; .* has 0 MB free. Give the container more"):
        make_batches(LEARN, sampler_of(), 2, 32)
    monkeypatch.setattr(loop, "usual_batch_workers", lambda: 2)
    with pytest.raises(TrainingError, match="use --batch-workers 1"):
        loop.train(TINY, LEARN, JUDGE, tmp_path / "asked", say=lambda line: None, batch_workers=2)
    said = []
    loop.train(replace(TINY, epochs=1), LEARN, JUDGE, tmp_path / "default", say=said.append)
    assert said[0].endswith("One thread makes the batches.")
    assert len(rows_of(tmp_path / "default")) == 1


def test_run_with_workers_has_the_curve_of_a_run_without(tmp_path):
    config = replace(TINY, epochs=2)
    for workers in (1, 2):
        loop.train(
            config, LEARN, JUDGE, tmp_path / str(workers), say=lambda line: None, precision="float32",
            batch_workers=workers,
        )  # fmt: skip
    one, two = (rows_of(tmp_path / str(workers)) for workers in (1, 2))
    for column in ("loss", "validation_dice"):
        assert [float(row[column]) for row in two] == pytest.approx([float(row[column]) for row in one], abs=1e-4)


PROGRAM = """
import sys, time
from tests.test_batches import LEARN, WorkerBatches, sampler_of
if __name__ == "__main__":
    made = WorkerBatches(LEARN, sampler_of(), 2, 32)
    next(made.of([1], 32))
    print(*(worker.process.pid for worker in made._workers), flush=True)
    time.sleep(60)
"""


def test_workers_of_a_killed_process_end_and_its_memory_goes(tmp_path):
    before = shared_blocks()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    deadline = time.monotonic() + 20
    while shared_blocks() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shared_blocks() <= before  # other processes of the machine may have ended theirs


def test_what_workers_import_has_no_tensorflow():
    program = "import sys, unet.training.batches; print({'tensorflow', 'keras', 'jax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
