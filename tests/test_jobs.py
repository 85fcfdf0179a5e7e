"""Runs as processes: queue, stop, interrupted, resume, limits, what a restart finds.

Most tests start a stand-in for `train.py` that does with the run folder what training does, without a network.
"""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from io import BytesIO
from pathlib import Path

import psutil
import pytest

import train
from unet.data.patients import DEMO_FOLDER
from unet.jobs import index, runners
from unet.jobs import queue as jobs
from unet.jobs.archive import export_zip, has_uploads
from unet.jobs.folders import clear_abandoned, new_folder
from unet.jobs.limits import Limits, offered_folders
from unet.jobs.request import JobError, Request
from unet.training.augmentation import NO_AUGMENTATION, Augmentation
from unet.training.config import TrainingConfig, augmentation_without
from unet.training.run_folder import RunFolder

PROJECT = Path(__file__).resolve().parent.parent
CONFIG = TrainingConfig(filters=4, sizes=(64,), epochs=2)
REQUEST = Request("A title", CONFIG, DEMO_FOLDER)

STAND_IN = """
import errno, os, sys, time
sys.path.insert(0, {project!r})
from pathlib import Path
from unet.jobs.turn import turn
from unet.training.endings import TrainingStopped
from unet.training.run_folder import RunFolder
run_dir = Path(next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--run-dir=")))
folder = RunFolder(run_dir)
with folder.recorded_end(), turn(run_dir, 0.05):
    with open(run_dir.parent / "order.txt", "a") as file:
        file.write(run_dir.name + " in\\n")
    until = time.time() + float(os.environ.get("STAND_IN_SECONDS", "0.3"))
    if os.environ.get("STAND_IN_DEAF"):
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while time.time() < until:
        folder.write_status({{"state": "training", "epoch": 1, "step": 1, "progress": 0.5}})
        if folder.stop_requested() and not os.environ.get("STAND_IN_DEAF"):
            raise TrainingStopped("stopped")
        time.sleep(0.02)
    if os.environ.get("STAND_IN_ERROR"):
        raise eval(os.environ["STAND_IN_ERROR"])
    with open(run_dir.parent / "order.txt", "a") as file:
        file.write(run_dir.name + " out\\n")
"""


@pytest.fixture
def root(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty runs folder, and the stand-in instead of `train.py`."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN.format(project=str(PROJECT)))
    monkeypatch.setattr(runners, "COMMAND", (sys.executable, str(script)))
    monkeypatch.setenv("UNET_RUNS", str(tmp_path / "runs"))
    for name in ("", "_FILTERS", "_MINUTES", "_PATIENTS", "_RUNS", "_QUEUE"):
        monkeypatch.delenv(f"UNET_TRAINING{name}", raising=False)
    yield tmp_path / "runs"
    for run in index.list_runs():
        if run.active:
            runners.LocalRunner().end(run.folder.read_process(), force=True)


def wait_for(condition, seconds: float = 40):
    """Return the first true answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def state_of(run_id: str) -> str:
    return index.find_run(run_id).state


def ended(run_id: str) -> index.Run | None:
    run = index.find_run(run_id)
    return None if run.active else run


def running(run_id: str) -> bool:
    return state_of(run_id) == "training"


# --- one at a time


def test_two_visitors_start_at_once_and_take_turns(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "2")
    first, second = jobs.start(REQUEST), jobs.start(REQUEST)
    assert first != second
    wait_for(lambda: {state_of(first), state_of(second)} == {"training", "queued"})
    waiting = next(run for run in index.list_runs() if run.state == "queued")
    assert waiting.place == 1
    assert wait_for(lambda: ended(first)).state == "finished"
    assert wait_for(lambda: ended(second)).state == "finished"
    words = [line.split()[1] for line in (root / "order.txt").read_text().splitlines()]
    assert words == ["in", "out", "in", "out"]


def test_queue_keeps_its_order_and_a_stopped_one_leaves_it(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    ids = [jobs.start(REQUEST)]
    wait_for(lambda: running(ids[0]))
    for place in (1, 2, 3):
        ids.append(jobs.start(REQUEST))
        assert wait_for(lambda: index.find_run(ids[-1]).place) == place
    jobs.stop(index.find_run(ids[1]))
    assert wait_for(lambda: ended(ids[1])).state == "stopped"
    assert [index.find_run(id_).place for id_ in ids[2:]] == [1, 2]
    jobs.stop(index.find_run(ids[0]))
    wait_for(lambda: running(ids[2]))
    assert wait_for(lambda: index.find_run(ids[3]).place) == 1


def test_lock_of_a_killed_run_is_free(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    first = jobs.start(REQUEST)
    wait_for(lambda: running(first))
    second = jobs.start(REQUEST)
    wait_for(lambda: state_of(second) == "queued")
    os.kill(index.find_run(first).folder.read_process()["pid"], signal.SIGKILL)
    wait_for(lambda: running(second))
    run = index.find_run(first)
    assert run.state == "interrupted"
    assert "killed" in run.reason


# --- ending


def test_stop_leaves_no_process(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    run_id = jobs.start(REQUEST)
    wait_for(lambda: running(run_id))
    handle = index.find_run(run_id).folder.read_process()
    jobs.stop(index.find_run(run_id)).join()
    assert state_of(run_id) == "stopped"
    assert not psutil.pid_exists(handle["pid"]) or psutil.Process(handle["pid"]).status() == psutil.STATUS_ZOMBIE


def test_a_run_that_does_not_listen_is_killed(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    monkeypatch.setenv("STAND_IN_DEAF", "yes")
    monkeypatch.setattr(jobs, "ASK_SECONDS", 0.3)
    monkeypatch.setattr(jobs, "TERMINATE_SECONDS", 1)
    run_id = jobs.start(REQUEST)
    wait_for(lambda: running(run_id))
    handle = index.find_run(run_id).folder.read_process()
    jobs.stop(index.find_run(run_id)).join()
    assert not runners.LocalRunner().is_alive(handle)
    assert state_of(run_id) == "stopped"


def test_all_the_waiting_for_a_stop_is_under_ten_seconds():
    assert jobs.ASK_SECONDS + 2 * jobs.TERMINATE_SECONDS < 10


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        ("OSError(errno.ENOSPC, 'No space left on device')", "disk full", "The disk is full"),
        ("OSError(errno.EFBIG, 'File too large')", "disk full", "best weights are intact"),
        ("MemoryError()", "out of memory", "Choose fewer filters"),
        ("type('ResourceExhaustedError', (Exception,), {})('OOM')", "out of memory", "Choose fewer filters"),
        ("ValueError('filters -1')", "failed", "filters -1"),
        ("KeyError('x')", "failed", "KeyError"),
        ("KeyboardInterrupt()", "stopped", "can be resumed"),
    ],
)
def test_every_ending_is_said_in_words(root, monkeypatch, error, state, words):
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    monkeypatch.setenv("STAND_IN_ERROR", error)
    run_id = jobs.start(REQUEST)
    run = wait_for(lambda: ended(run_id))
    assert run.state == state
    assert words in run.reason
    assert not (run.folder.path / ".reserve").exists()


def dead_run(root: Path, run_id: str = "20260101-000000-abcd", **status) -> RunFolder:
    """A run folder as a process leaves it that got no chance to say anything."""
    folder = RunFolder(root / run_id)
    folder.path.mkdir(parents=True)
    folder.write_request({**REQUEST.to_json(), "title": "t", "time": 1.0})
    folder.write_process({"runner": "local", "pid": 2**22 + 1, "start": "1"})
    folder.write_status({"state": "training", **status})
    return folder


def test_dead_process_reads_interrupted(root):
    folder = dead_run(root, epoch=3)
    run = index.find_run(folder.path.name)
    assert (run.state, run.active, run.status["epoch"]) == ("interrupted", False, 3)


def test_process_id_that_was_used_again_is_not_the_run(root):
    other = subprocess.Popen(["sleep", "60"])
    folder = dead_run(root)
    folder.write_process({"runner": "local", "pid": other.pid, "start": "1"})
    assert state_of(folder.path.name) == "interrupted"
    folder = dead_run(root, "20260101-000000-beef")
    folder.write_process(runners.local_handle(other.pid))
    assert state_of(folder.path.name) == "training"
    other.kill()
    other.wait()


def test_a_process_that_got_no_memory_is_recognised_by_what_it_printed(root):
    folder = dead_run(root)
    (folder.path / "output.txt").write_text("terminate called after throwing an instance of 'std::bad_alloc'")
    assert state_of(folder.path.name) == "out of memory"


def test_a_recorded_ending_stays(root):
    folder = dead_run(root)
    assert state_of(folder.path.name) == "interrupted"
    (folder.path / "output.txt").write_text("bad_alloc")
    assert state_of(folder.path.name) == "interrupted"


def test_a_stepped_clock_ends_no_run(root, monkeypatch):
    other = subprocess.Popen(["sleep", "60"])
    folder = dead_run(root)
    folder.write_process(runners.local_handle(other.pid))
    real = psutil.Process.create_time  # what psutil computes from the clock of now
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 7200)
    monkeypatch.setattr(psutil, "boot_time", lambda: 7200.0)
    assert state_of(folder.path.name) == "training"
    with pytest.raises(JobError, match="Stop it first"):
        jobs.delete(index.find_run(folder.path.name))
    other.kill()
    other.wait()
    assert state_of(folder.path.name) == "interrupted"


@pytest.mark.parametrize("name", ["status", "request", "process", "spec"])
@pytest.mark.parametrize(
    "content",
    [
        b"[]", b"null", b"3", b"{", b"\xff\xfe", b"[" * 100_000, b'{"state": 5, "title": [], "pid": "x", "config": 1}',
        b'{"heartbeat": "yesterday", "time": "x", "runner": "cloud", "training_patients": "A"}',
        b'{"progress": 1e999, "time": NaN, "pid": -1, "validation_patients": [1]}',
    ],
    ids=range(9),
)  # fmt: skip
def test_a_damaged_file_is_named_and_the_run_can_only_be_deleted(root, name, content):
    folder = dead_run(root)
    (folder.path / f"{name}.json").write_bytes(content)
    run = index.find_run(folder.path.name)
    assert (run.state, run.active) == ("damaged", False)
    assert run.reason.startswith(f"{name}.json") and run.reason.endswith("delete it.")
    with pytest.raises(JobError):
        jobs.resume(run)
    jobs.delete(run)
    assert index.list_runs() == []


def test_a_living_run_whose_status_is_damaged_goes_on(root):
    other = subprocess.Popen(["sleep", "60"])
    folder = dead_run(root)
    folder.write_process(runners.local_handle(other.pid))
    (folder.path / "status.json").write_text("[]")
    assert index.find_run(folder.path.name).active
    other.kill()
    other.wait()


def test_a_run_on_a_cluster_lives_by_its_heartbeat_where_ray_is_not_installed(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)
    folder = dead_run(root)
    folder.write_process({"runner": "ray", "address": "ray://head", "job": "raysubmit_1"})
    assert state_of(folder.path.name) == "training"
    jobs.stop(index.find_run(folder.path.name))  # nothing to ask, the flag lies there
    long_ago = {"state": "training", "heartbeat": "2026-01-01T00:00:00+00:00"}
    (folder.path / "status.json").write_text(json.dumps(long_ago))
    assert state_of(folder.path.name) == "stopped"


def test_full_disk_without_room_for_a_word_is_recognised(root, monkeypatch):
    folder = dead_run(root)
    monkeypatch.setattr(jobs.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    assert state_of(folder.path.name) == "disk full"


# --- resume, delete, export


def test_resume_of_a_killed_run_and_nothing_else(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    run_id = jobs.start(REQUEST)
    wait_for(lambda: running(run_id))
    with pytest.raises(JobError, match="Only an interrupted run can be resumed"):
        jobs.resume(index.find_run(run_id))
    os.kill(index.find_run(run_id).folder.read_process()["pid"], signal.SIGKILL)
    wait_for(lambda: ended(run_id))
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    jobs.resume(index.find_run(run_id))
    assert index.find_run(run_id).active
    run = wait_for(lambda: ended(run_id))
    assert run.state == "finished"
    with pytest.raises(JobError, match="is finished"):
        jobs.resume(run)


def test_stopped_run_resumes_without_its_old_flag(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    run_id = jobs.start(REQUEST)
    wait_for(lambda: running(run_id))
    jobs.stop(index.find_run(run_id)).join()
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    jobs.resume(index.find_run(run_id))
    assert wait_for(lambda: ended(run_id)).state == "finished"


def test_delete(root, monkeypatch):
    folder = dead_run(root)
    jobs.delete(index.find_run(folder.path.name))
    assert index.list_runs() == []
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    run_id = jobs.start(REQUEST)
    with pytest.raises(JobError, match="Stop it first"):
        jobs.delete(index.find_run(run_id))


def test_uploads_that_a_dead_server_left_behind_are_removed(root):
    abandoned, fresh, other = (root / name for name in ("20260101-120000-0a1b", "20260101-120000-2c3d", "mine"))
    run = dead_run(root).path
    for folder in (abandoned, fresh, other):
        (folder / "data").mkdir(parents=True)
    two_hours_ago = time.time() - 7200
    for folder in (abandoned, other, run):
        os.utime(folder, (two_hours_ago, two_hours_ago))
    new = new_folder()
    assert sorted(path for path in root.iterdir() if path.is_dir()) == sorted([fresh, other, run, new])


def test_slices_of_a_killed_server_are_gone_at_the_next_start(root):
    program = (
        "import sys, time; from unet.jobs.folders import new_folder\n"
        "path = new_folder(); (path / 'data').mkdir(); (path / 'data' / 'slice.tif').touch()\n"
        "print(path.name, flush=True); time.sleep(60)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    folder = root / server.stdout.readline().strip()
    clear_abandoned()
    assert (folder / "data" / "slice.tif").exists()  # another server is filling it
    server.kill()
    server.wait()
    clear_abandoned()
    assert not folder.exists()
    run_id = jobs.start(REQUEST)
    clear_abandoned()
    assert index.find_run(run_id) and not (root / run_id / "maker").exists()


def test_a_folder_that_another_machine_fills_stays_for_an_hour(root):
    folder = new_folder()
    (folder / "maker").write_text('{"host": "another", "pid": 1, "start": "1"}')
    clear_abandoned()
    assert folder.exists()
    two_hours_ago = time.time() - 7200
    os.utime(folder, (two_hours_ago, two_hours_ago))
    clear_abandoned()
    assert not folder.exists()


def test_a_run_that_somebody_else_resumed_is_not_deleted(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    seen = index.find_run(dead_run(root).path.name)  # as a page showed it a moment ago
    jobs.resume(seen)
    with pytest.raises(JobError, match="Stop it first"):
        jobs.delete(seen)
    assert index.find_run(seen.id).active


def test_a_run_that_somebody_else_deleted_is_not_resumed(root):
    seen = index.find_run(dead_run(root).path.name)
    jobs.delete(seen)
    with pytest.raises(JobError, match="t was deleted in the meantime"):
        jobs.resume(seen)
    assert index.list_runs() == []


def test_a_run_without_a_checkpoint_starts_over(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    folder = dead_run(root)
    folder.previews.path.mkdir()
    for file in (folder.metrics, folder.previews.epoch(1)):
        file.touch()
    jobs.resume(index.find_run(folder.path.name))
    assert not folder.metrics.exists()
    assert folder.previews.epochs() == []
    wait_for(lambda: ended(folder.path.name))


def test_the_thread_of_a_stop_is_always_started(root):
    run = index.find_run(dead_run(root).path.name)
    run.folder.write_process({})
    jobs.stop(run).join(5)


def test_a_deleted_run_is_not_stopped(root):
    run = index.find_run(dead_run(root).path.name)
    jobs.delete(run)
    with pytest.raises(JobError, match="t cannot be stopped .No such file or directory.. Perhaps it was deleted"):
        jobs.stop(run)


def test_a_stop_that_a_restarted_server_forgot_can_be_asked_for_again(root):
    run = index.find_run(dead_run(root).path.name)
    assert not jobs.is_stopping(run)
    jobs.stop(run)
    assert jobs.is_stopping(run)
    long_ago = time.time() - 10
    os.utime(run.folder.path / "stop", (long_ago, long_ago))
    assert not jobs.is_stopping(run)


def test_several_who_find_the_same_dead_run_write_one_verdict(root):
    folder = dead_run(root)
    with ThreadPoolExecutor(8) as pool:
        states = list(
            pool.map(lambda _: (folder.write_status({"state": "training"}), state_of(folder.path.name))[1], range(200))
        )
    assert set(states) == {"interrupted"}
    assert not list(folder.path.glob(".*.part"))


def test_a_path_is_no_run(root):
    dead_run(root)
    for name in ("..", "../runs", "/etc", "", ".", "20260101-000000-abcd/best"):
        with pytest.raises(JobError, match="does not exist any more"):
            index.find_run(name)


def test_export_leaves_uploads_and_checkpoint_out(root):
    folder = dead_run(root)
    kept = {"best/weights.npz", "events/events.out.tfevents.1.run"}
    for name in ("data/A/A_1.tif", "checkpoint.npz", ".reserve", *kept):
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).write_bytes(b"x")
    names = zipfile.ZipFile(BytesIO(export_zip(index.find_run(folder.path.name)))).namelist()
    inside = {name.removeprefix(f"{folder.path.name}/") for name in names}
    assert inside == {"request.json", "status.json"} | kept


def test_export_names_no_folder_of_the_server(root):
    folder = dead_run(root)
    (folder.path / "output.txt").write_text("best weights: /srv/runs/a/best\n")
    request = {**replace(REQUEST, data=Path("/srv/my patients/lgg")).to_json(), "time": 1.0}
    folder.write_request(request)
    request = json.loads(json.dumps(request))
    archive = zipfile.ZipFile(BytesIO(export_zip(index.find_run(folder.path.name))))
    inside = {Path(name).name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert set(inside) == {"request.json", "status.json"}
    assert inside["request.json"] == {**request, "data": "lgg"}
    assert index.find_run(folder.path.name).request == request  # a resumed run needs the folder


# --- a restarted server


def test_a_run_outlives_the_server_that_started_it(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    program = (
        "import sys; from pathlib import Path; from unet.jobs import queue, runners\n"
        "from unet.jobs.request import Request; from unet.training.config import TrainingConfig\n"
        f"runners.COMMAND = {runners.COMMAND!r}\n"
        f"print(queue.start(Request('t', TrainingConfig(epochs=1), Path({str(DEMO_FOLDER)!r}))), flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    run_id = server.stdout.readline().strip()
    wait_for(lambda: running(run_id))
    server.send_signal(signal.SIGKILL)
    server.wait()
    before = time.monotonic()
    run = index.find_run(run_id)  # everything the new server knows comes from the folders
    assert time.monotonic() - before < 1
    assert (run.state, run.title) == ("training", "t")
    jobs.stop(run).join()
    assert state_of(run_id) == "stopped"


# --- limits


def test_limits_of_the_host(root, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_FILTERS", "8")
    monkeypatch.setenv("UNET_TRAINING_MINUTES", "5")
    monkeypatch.setenv("UNET_TRAINING_PATIENTS", "6")
    limited = replace(REQUEST, training_patients=4, validation_patients=2, config=replace(CONFIG, minutes=5))
    Limits.from_environment().check(limited)
    for request, words in (
        (replace(limited, config=replace(limited.config, filters=16)), "16 filters are more than this server allows"),
        (replace(limited, config=replace(limited.config, minutes=6)), "6 minutes are more than this server allows"),
        (replace(limited, config=CONFIG), "Set the minutes"),
        (replace(limited, training_patients=5), "7 patients are more than this server allows"),
        (replace(limited, training_patients=None, validation_patients=None), "Set their number"),
    ):
        with pytest.raises(JobError, match=words):
            jobs.start(request)
    assert index.list_runs() == []


@pytest.mark.parametrize(
    "variable, value, words",
    [
        ("UNET_TRAINING_QUEUE", "0", "1 run is training or waiting already"),
        ("UNET_TRAINING_FILTERS", "2", "4 filters are more than this server allows"),
        ("UNET_TRAINING_MINUTES", "5", "Set the minutes"),
        ("UNET_TRAINING_PATIENTS", "6", "Set their number"),
    ],
)
def test_limits_hold_for_a_resumed_run_too(root, monkeypatch, variable, value, words):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    jobs.start(REQUEST)
    cut_off = dead_run(root)
    cut_off.metrics.touch()
    monkeypatch.setenv(variable, value)
    with pytest.raises(JobError, match=words):
        jobs.resume(index.find_run(cut_off.path.name))
    assert state_of(cut_off.path.name) == "interrupted" and cut_off.metrics.exists()


def test_full_disk_refuses_a_resumed_run(root, monkeypatch):
    run = index.find_run(dead_run(root).path.name)
    monkeypatch.setattr(jobs.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100_000_000}))
    with pytest.raises(JobError, match="The disk has 100 MB free; this run needs"):
        jobs.resume(run)
    assert not index.find_run(run.id).active


OTHER_SETTINGS = {  # of each field, not its default
    "filters": 12, "sizes": (64, 96), "epochs": 3, "minutes": 1.5, "batch_size": 4, "learning_rate": 2e-3,
    "weight_decay": 0.05, "loss": "focal-tversky", "seed": 0, "epoch_slices": 32, "schedule": "constant",
    "augmentation": augmentation_without(["flip", "noise"]), "architecture": "unet",
    "from_weights": "attention-unet-32", "slices": 5000, "fold": 0, "all_patients": True,
}  # fmt: skip


def test_the_table_above_has_each_setting():
    assert set(OTHER_SETTINGS) == {one.name for one in fields(TrainingConfig)}
    defaults = TrainingConfig(epochs=1)
    assert [name for name, value in OTHER_SETTINGS.items() if value == getattr(defaults, name)] == []


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_no_setting_is_lost_between_the_page_and_the_process(tmp_path, name):
    config = replace(TrainingConfig(epochs=2), **{name: OTHER_SETTINGS[name]})
    request = Request("a title", config, Path("/a=b"))
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request.to_json()))
    parse = train.parse_arguments
    assert train.read_request(parse([f"--config={file}", "--run-dir=r"])) == request
    assert train.read_request(parse([*request.arguments(), "--run-dir=r"])) == replace(request, title="")


@pytest.mark.parametrize("name", [one.name for one in fields(Augmentation)])
def test_no_part_of_the_augmentation_is_lost_on_the_way_to_the_process(tmp_path, name):
    value = {"zoom": (0.9, 1.1), "gamma": (0.5, 2.0), "contrast": (0.5, 2)}.get(name, 0.015)
    augmentation = replace(Augmentation(), **{name: value})
    request = Request("", TrainingConfig(epochs=2, augmentation=augmentation), Path("d"))
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request.to_json()))
    assert train.read_request(train.parse_arguments([f"--config={file}", "--run-dir=r"])) == request
    with pytest.raises(ValueError, match="cannot be given as flags. Write the settings into a file for --config"):
        request.arguments()


@pytest.mark.parametrize(
    "who",
    [
        {"training_patients": 3, "validation_patients": 2}, {"overfit_patient": "X"},
        {"overfit": 16}, {"overfit": 4, "training_patients": 2},
    ],
)  # fmt: skip
def test_whom_a_run_gets_is_not_lost(tmp_path, who):
    request = Request("", CONFIG, Path("d"), **who)
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request.to_json()))
    assert train.read_request(train.parse_arguments([f"--config={file}", "--run-dir=r"])) == request
    assert train.read_request(train.parse_arguments([*request.arguments(), "--run-dir=r"])).overfit == request.overfit


@pytest.mark.parametrize(
    "who, message",
    [
        ({"overfit_patient": "X", "training_patients": 2}, "--overfit-patient and --training-patients both choose"),
        ({"overfit": 8, "validation_patients": 2}, "--overfit and --validation-patients both choose patients"),
        ({"overfit": 8, "overfit_patient": "X"}, "--overfit and --overfit-patient both choose patients"),
        ({"training_patients": 0}, "training_patients 0; expected a whole number above 0"),
        ({"overfit": -1}, "overfit -1; expected a whole number above 0"),
        ({"validation_patients": True}, "validation_patients True; expected a whole number above 0"),
        ({"overfit_patient": 5}, "overfit_patient 5; expected the id of a patient"),
    ],
)
def test_a_choice_of_patients_that_would_be_ignored_is_refused(who, message):
    with pytest.raises(ValueError, match=message):
        Request("", CONFIG, Path("d"), **who)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"config": {"filtres": 8}}, "setting 'filtres'; expected some of filters, sizes, epochs"),
        ({"config": None}, "the field config is not valid"),
        ({"config": {"epochs": 1, "sizes": [64], "augmentation": {"gloom": 1}}}, "augmentation 'gloom'; expected some"),
        ({"config": {"epochs": 1, "sizes": [64], "augmentation": {"zoom": 1}}}, "augmentation zoom 1; expected two"),
        ({"config": {"epochs": 1, "sizes": "64", "augmentation": {}}}, "sizes '64'; expected one or more multiples"),
        ({"epochs": 5}, "unknown field 'epochs'; expected some of title, config, data"),
        ({"data": 5}, "the field data is not valid"),
    ],
)
def test_a_config_file_that_is_wrong_is_refused_in_words(tmp_path, capsys, change, message):
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({**REQUEST.to_json(), **change}))
    assert train.main([f"--config={file}", f"--run-dir={tmp_path / 'run'}"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_flags_beside_a_config_file_are_refused(tmp_path, capsys):
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST.to_json()))
    for words in (["--loss=bce-dice"], ["--training-patients=1"]):
        assert train.main([f"--config={file}", f"--run-dir={tmp_path / 'run'}", *words]) == 1
        name = words[0].split("=")[0]
        assert f"--config holds all patients and settings; write {name} into its file" in capsys.readouterr().err


def test_overfit_takes_every_flag_and_has_defaults_of_its_own():
    def config_of(*words: str) -> TrainingConfig:
        return train.read_request(train.parse_arguments(["--run-dir=r", "--overfit=16", *words])).config

    usual = config_of()
    assert (usual.sizes, usual.epochs, usual.epoch_slices) == ((128,), 60, 64)
    assert usual.augmentation == NO_AUGMENTATION
    words = ["--sizes=64,96", "--minutes=2", "--batch-size=4", "--learning-rate=0.01", "--weight-decay=0.1"]
    words += ["--schedule=constant", "--loss=focal-tversky", "--epoch-slices=32", "--architecture=unet"]
    given = config_of(*words, "--without=flip", "--filters=8", "--seed=3")
    assert given == TrainingConfig(
        8, (64, 96), None, 2, 4, 0.01, 0.1, "focal-tversky", 3, 32, augmentation_without(["flip"]), "constant", "unet"
    )


def test_a_run_resumes_with_the_settings_of_its_request(tmp_path):
    augmentation = replace(Augmentation(), rotation=5.0, zoom=(0.9, 1.1))
    config = TrainingConfig(sizes=(64, 96), epochs=2, weight_decay=0.05, augmentation=augmentation)
    request, folder = Request("t", config, DEMO_FOLDER, 4, 2), RunFolder(tmp_path / "run")
    folder.write_spec({"config": asdict(config), "training_patients": ["A"], "validation_patients": ["B"]})
    folder.write_request({**request.to_json(), "time": 1.0})
    words = [f"--config={folder.path / 'request.json'}", f"--run-dir={folder.path}", "--resume"]
    assert train.read_request(train.parse_arguments(words)) == request
    folder.write_request(replace(request, config=replace(config, seed=1)).to_json())
    with pytest.raises(ValueError, match="a resumed run keeps its settings, here --seed 2026; leave out 1"):
        train.read_request(train.parse_arguments(words))


def test_a_resumed_run_keeps_its_settings_and_says_so(tmp_path, capsys):
    folder = RunFolder(tmp_path / "run")
    folder.write_spec({"config": asdict(CONFIG), "training_patients": ["A"], "validation_patients": ["B"]})
    folder.checkpoint.touch()
    words = [f"--run-dir={folder.path}", "--resume"]
    assert train.read_request(train.parse_arguments([*words, "--filters=4", "--epochs=2"])).config == CONFIG
    assert train.main([*words, "--learning-rate=0.5"]) == 1
    said = "a resumed run keeps its settings, here --learning-rate 0.001; leave out 0.5"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, gigabytes",
    [({"filters": 64, "sizes": (256,), "batch_size": 64}, "28.3"), ({"filters": 64, "sizes": (128,)}, "3.6")],
)
def test_what_takes_more_memory_than_the_host_gives_is_refused_before_it_starts(root, changes, gigabytes):
    request = replace(REQUEST, config=replace(CONFIG, **changes))
    with pytest.raises(JobError, match=f"needs about {gigabytes} GB of memory; this server allows 3.0 GB."):
        jobs.start(request)
    assert index.list_runs() == [] and list(root.glob("2*")) == []


def test_a_host_with_more_memory_says_so(root, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_MEMORY", "4000")
    run_id = jobs.start(replace(REQUEST, config=replace(CONFIG, filters=64)))
    wait_for(lambda: ended(run_id))


def test_the_process_of_a_run_gets_the_memory_limit(root, monkeypatch):
    given = []
    monkeypatch.setattr(runners.LocalRunner, "start", lambda self, arguments, output: given.extend(arguments) or {})
    monkeypatch.setenv("UNET_TRAINING_MEMORY", "2500")
    jobs.start(REQUEST)
    assert "--memory-limit=2500" in given and "--background" in given


def test_a_limit_of_zero_is_one(root, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_MINUTES", "0")
    with pytest.raises(JobError, match="This server ends runs after 0 minutes"):
        jobs.start(REQUEST)


def test_both_counts_are_needed_where_the_host_limits_patients(root, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_PATIENTS", "6")
    with pytest.raises(JobError, match="at most 6 patients. Set their number"):
        jobs.start(replace(REQUEST, training_patients=2))


@pytest.mark.parametrize("word", ["off", "OFF ", "0", "no", "false", "disabled", "none", "f", "n", "of", "ja"])
def test_training_switched_off_is_read_only(root, monkeypatch, word):
    other = subprocess.Popen(["sleep", "60"])  # the host's own run, from the command line
    own = dead_run(root, "20260101-000000-beef")
    own.write_process(runners.local_handle(other.pid))
    ended_run = dead_run(root)
    monkeypatch.setenv("UNET_TRAINING", word)
    for action in (
        lambda: jobs.start(REQUEST),
        lambda: jobs.resume(index.find_run(ended_run.path.name)),
        lambda: jobs.stop(index.find_run(own.path.name)),
        lambda: jobs.delete(index.find_run(ended_run.path.name)),
        lambda: export_zip(index.find_run(ended_run.path.name)),
        Limits.from_environment,
    ):
        with pytest.raises(JobError, match="Training is switched off on this server. Runs can be viewed only."):
            action()
    assert {run.state for run in index.list_runs()} == {"training", "interrupted"}
    assert not own.stop_requested() and other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.parametrize("word", ["", " ", "on", "On", "1", "yes", "true", "enabled"])
def test_training_switched_on(monkeypatch, word):
    monkeypatch.setenv("UNET_TRAINING", word)
    assert Limits.from_environment().filters == 64


@pytest.mark.parametrize("value", ["8.5", "nan", "-1", "1e2"])
def test_a_limit_that_is_no_whole_number(monkeypatch, value):
    monkeypatch.setenv("UNET_TRAINING_FILTERS", value)
    with pytest.raises(JobError, match=f"FILTERS is '{value}'. The host has to set it to a whole number from 0."):
        Limits.from_environment()


@pytest.mark.parametrize("value", ["many", "nan", "inf", "-1", "1e400", "5 minutes"])
def test_a_limit_that_is_no_number(monkeypatch, value):
    monkeypatch.setenv("UNET_TRAINING_MINUTES", value)
    with pytest.raises(
        JobError, match=f"UNET_TRAINING_MINUTES is '{value}'. The host has to set it to a number from 0."
    ):
        Limits.from_environment()


def test_oldest_runs_make_room(root, monkeypatch):
    for number in range(4):
        folder = dead_run(root, f"20260101-00000{number}-abcd")
        folder.write_request({"title": "t", "time": float(number)})
    (dead_run(root, "of-the-host").path / "request.json").unlink()
    monkeypatch.setenv("UNET_TRAINING_RUNS", "2")
    new = jobs.start(REQUEST)
    kept = {"20260101-000003-abcd", "20260101-000002-abcd", "of-the-host"}
    assert {run.id for run in index.list_runs()} == {new, *kept}


def test_runs_are_not_kept_without_end(root):
    for number in range(25):
        dead_run(root, f"20260101-0000{number:02d}-abcd").write_request({"title": "t", "time": float(number)})
    new = jobs.start(REQUEST)
    assert {run.id for run in index.list_runs()} == {new, *(f"20260101-0000{n:02d}-abcd" for n in range(5, 25))}


def test_only_the_owner_may_look_into_a_new_run(root):
    folder = new_folder()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_export_of_a_run_on_uploads_holds_no_pictures_of_them(root):
    folder = dead_run(root)
    folder.write_request({**replace(REQUEST, data=folder.path / "data").to_json(), "time": 1.0})
    for name in ("data/upload_001/upload_001_1.tif", "preview/slices.npz", "preview/epoch_001.npz", "metrics.csv"):
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).write_bytes(b"x")
    run = index.find_run(folder.path.name)
    assert has_uploads(run)
    names = zipfile.ZipFile(BytesIO(export_zip(run))).namelist()
    assert {Path(name).name for name in names} == {"metrics.csv", "request.json", "status.json"}


def test_full_queue_and_full_disk_are_refused(root, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    monkeypatch.setenv("UNET_TRAINING_QUEUE", "0")
    jobs.start(REQUEST)
    with pytest.raises(JobError, match="1 run is training or waiting already"):
        jobs.start(REQUEST)
    monkeypatch.setenv("UNET_TRAINING_QUEUE", "5")
    monkeypatch.setattr(jobs.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100_000_000}))
    with pytest.raises(JobError, match="The disk has 100 MB free; this run needs"):
        jobs.start(REQUEST)


def test_runs_that_cannot_be_written_are_refused_in_words(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNET_RUNS", str(tmp_path / "file" / "runs"))
    with pytest.raises(JobError, match=r"Runs cannot be written to their folder \(Not a directory\)"):
        jobs.start(REQUEST)


def test_only_named_folders_are_offered(monkeypatch, tmp_path):
    monkeypatch.setenv("UNET_TRAINING_FOLDERS", os.pathsep.join([str(tmp_path), str(tmp_path / "missing")]))
    assert offered_folders() == [tmp_path]


def test_offered_folders_stay_the_same_for_a_run_that_starts_elsewhere(monkeypatch, tmp_path):
    (tmp_path / "lgg").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNET_TRAINING_FOLDERS", "lgg")
    assert offered_folders() == [tmp_path / "lgg"]
