"""Training runs as processes: start, queue, watch, stop, resume, delete. All state is in the run folders.

One run at a time computes in a runs folder. Every run is a process of its own from the start: it waits for its turn
at a lock of the operating system, which is freed however its holder ends, so there is no dispatcher to restart.
"""

import io
import json
import os
import re
import secrets
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from unet.data import PROJECT_FOLDER, Patient, list_patients
from unet.run_request import JobError, Limits, Request
from unet.runners import LocalRunner, local_handle, oom_kills, runner_of
from unet.runs import DISK_FULL, ENDINGS, OUT_OF_MEMORY, STOPPED, RunFolder, TrainingStopped
from unet.training_config import TrainingConfig, disk_need
from unet.weights import Weights, WeightsError, find_weights

INTERRUPTED, STARTING, QUEUED = "interrupted", "starting", "queued"
START_SECONDS = 30  # a process that has not spoken for so long after its start never will
ASK_SECONDS, TERMINATE_SECONDS = 5, 2  # to stop by itself, then after being told to, then it is killed
SPARE_BYTES = 200_000_000  # to leave free on the disk
LEFT_OUT = ("data", "checkpoint.npz", "process.json")  # of an exported run
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}|[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Run:
    """A run as its folder shows it.

    Attributes:
        state: `starting`, `queued`, `preparing`, `training`, `judging`, or how it ended.
        reason: why it ended like that, in words.
        place: in the queue, from 1; 0 for others.
        status: content of `status.json`.
        request: content of `request.json`: title, arguments, time.
    """

    id: str
    folder: RunFolder
    state: str
    reason: str = ""
    place: int = 0
    status: dict = field(default_factory=dict)
    request: dict = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether a process works on it or waits to."""
        return self.state not in (*ENDINGS, INTERRUPTED)

    @property
    def phase(self) -> str:
        """The state as people need it in a list: everything between queue and end is `running`."""
        return "running" if self.active and self.state != QUEUED else self.state

    @property
    def title(self) -> str:
        return self.request.get("title") or self.id

    @property
    def has_weights(self) -> bool:
        return (self.folder.best / "weights.npz").exists()


def runs_folder() -> Path:
    """Return where runs live: `UNET_RUNS`, or `runs/` in the project."""
    return Path(os.environ.get("UNET_RUNS") or PROJECT_FOLDER / "runs").expanduser()


# --- looking


def list_runs(root: Path | None = None) -> list[Run]:
    """Return all runs, newest first."""
    root = root or runs_folder()
    try:
        folders = [p for p in root.iterdir() if p.is_dir() and _RUN_ID.fullmatch(p.name)]
    except OSError:
        return []
    runs = [
        read_run(path) for path in folders if any((path / f"{name}.json").exists() for name in ("request", "status"))
    ]
    order = sorted((run for run in runs if run.state == QUEUED), key=_turn)
    places = {run.id: place for place, run in enumerate(order, 1)}
    runs = [Run(**{**vars(run), "place": places.get(run.id, 0)}) for run in runs]
    return sorted(runs, key=lambda run: (_started(run), run.id), reverse=True)


def find_run(run_id: str, root: Path | None = None) -> Run:
    """Return one run by its id, which is never taken for a path.

    Raises:
        JobError: there is no such run.
    """
    for run in list_runs(root):
        if run.id == run_id:
            return run
    raise JobError(f"There is no run {run_id[:60]!r} any more; it may have been deleted.")


def read_run(path: Path) -> Run:
    """Return what a folder says of its run; a run whose process is gone gets its ending written down."""
    folder = RunFolder(path)
    status = folder.read_status()
    state = status.get("state", INTERRUPTED)
    if state not in (*ENDINGS, INTERRUPTED) and not _is_alive(folder, status):
        status = folder.read_status()  # it may have ended properly in between
        if status.get("state") not in ENDINGS:
            state, reason = _cause_of_death(folder)
            status = {**status, "state": state, "reason": reason}
            with suppress(OSError):  # the disk is still full, or the folder is being deleted
                folder.write_status(status)
        state = status["state"]
    return Run(path.name, folder, state, status.get("reason", ""), 0, status, _read_request(path))


def _is_alive(folder: RunFolder, status: dict) -> bool:
    if status.get("state") == STARTING and _age(status) < START_SECONDS:
        return True
    handle = folder.read_process()
    return bool(handle) and runner_of(handle).is_alive(handle)


def _cause_of_death(folder: RunFolder) -> tuple[str, str]:
    """Tell how a process that left no word came to its end."""
    if folder.stop_requested():
        return STOPPED, "Stopped on request; it can be resumed after its last finished epoch."
    if oom_kills() > folder.read_process().get("oom_kills", oom_kills()) or "bad_alloc" in tail(folder.path):
        return OUT_OF_MEMORY, "The system ran out of memory and ended it; choose fewer filters or a smaller size."
    if shutil.disk_usage(folder.path).free < 1_000_000:
        return DISK_FULL, "The disk is full; the checkpoint from before is intact. Free space and resume."
    return INTERRUPTED, "Its process is gone: the machine or the server's container was restarted, or it was killed."


def tail(path: Path, characters: int = 4000) -> str:
    """Return the end of what a run's process printed."""
    try:
        with (path / "output.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - characters))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _age(status: dict) -> float:
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(status["heartbeat"])).total_seconds()
    except (KeyError, ValueError):
        return float("inf")


def _turn(run: Run) -> tuple[float, str]:
    return run.status.get("queued_at", float("inf")), run.id


def _started(run: Run) -> float:
    if "time" in run.request:
        return run.request["time"]
    try:
        return (run.folder.path / "spec.json").stat().st_mtime
    except OSError:
        return 0.0


def _read_request(path: Path) -> dict:
    try:
        return json.loads((path / "request.json").read_text())
    except (OSError, ValueError):
        return {}


# --- acting


def new_folder(root: Path | None = None) -> Path:
    """Make the folder of a new run; its name is its id."""
    root = root or runs_folder()
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    path.mkdir()
    return path


def start(request: Request, folder: Path | None = None) -> str:
    """Start a run, or queue it behind the one that computes, and return its id.

    Args:
        folder: from `new_folder`, if something was put into it before.

    Raises:
        JobError: the host does not allow it, the queue or the disk is full.
    """
    try:
        limits = Limits.from_environment()
        limits.check(request)
        root = folder.parent if folder else runs_folder()
        root.mkdir(parents=True, exist_ok=True)
        waiting = sum(run.active for run in list_runs(root))
        if waiting > limits.waiting:
            raise JobError(f"{waiting} runs compute or wait already; stop one, or come back later.")
        _check_disk(root, request.config)
    except JobError:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    folder = folder or new_folder(root)
    _make_room(root, limits.runs)
    content = {"title": request.title, "arguments": request.arguments(), "time": time.time()}
    (folder / "request.json").write_text(json.dumps(content, indent=1))
    _launch(folder, request.arguments())
    return folder.name


def resume(run: Run) -> None:
    """Continue a run that was stopped or cut off; without a checkpoint it starts over.

    Raises:
        JobError: it is running or finished, was not started from here, or training is switched off.
    """
    if not Limits.from_environment().allowed:
        raise JobError("Training is switched off on this server.")
    if run.active or run.state == "finished":
        raise JobError(f"{run.title} is {run.state}; only a run that was cut off can be resumed.")
    if "arguments" not in run.request:
        raise JobError("This run was started on the command line; resume it there with --resume.")
    path, again = run.folder.path, []
    if run.folder.checkpoint.exists():
        again = ["--resume"]
    else:
        for leftover in ("metrics.csv", "spec.json", "curve.png"):
            (path / leftover).unlink(missing_ok=True)
    (path / "stop").unlink(missing_ok=True)
    _launch(path, [*run.request["arguments"], *again])


def _launch(path: Path, arguments: list[str]) -> None:
    folder = RunFolder(path)
    folder.write_status({**folder.read_status(), "state": STARTING, "reason": ""})
    folder.write_process({})
    folder.write_process(LocalRunner().start([*arguments, f"--run-dir={path}", "--background"], path / "output.txt"))


def stop(run: Run) -> threading.Thread:
    """Ask a run to stop; if it does not within seconds it is told to, then killed.

    Returns:
        The thread that sees to it, for those who want to wait.
    """
    (run.folder.path / "stop").touch()
    handle = run.folder.read_process()

    def see_to_it() -> None:
        runner = runner_of(handle)
        for seconds, force in ((ASK_SECONDS, None), (TERMINATE_SECONDS, False), (TERMINATE_SECONDS, True)):
            if force is not None:
                runner.end(handle, force)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not runner.is_alive(handle):
                    return
                time.sleep(0.1)

    thread = threading.Thread(target=see_to_it, daemon=True)
    if handle:
        thread.start()
    return thread


def delete(run: Run) -> None:
    """Remove a run and all it wrote.

    Raises:
        JobError: it is still running.
    """
    if run.active:
        raise JobError(f"{run.title} is {run.state}; stop it first.")
    shutil.rmtree(run.folder.path, ignore_errors=True)


def weights_of(run: Run) -> Weights:
    """Return a run's best weights so far, verified.

    Raises:
        WeightsError: it has none yet.
    """
    try:
        return find_weights(run.folder.best)
    except WeightsError:
        if run.active:
            raise
    run.folder.repair_best()
    return find_weights(run.folder.best)


def validation_patients(run: Run) -> list[Patient]:
    """Return the patients a run is judged by, from the folder it was started with.

    Raises:
        JobError: the run was not started from here, or the folder is gone.
    """
    arguments = run.request.get("arguments", [])
    data = next((Path(word.removeprefix("--data=")) for word in arguments if word.startswith("--data=")), None)
    try:
        wanted = run.folder.read_spec()["validation_patients"]
        found = {patient.patient_id: patient for patient in list_patients(data)[0]} if data else {}
        return [found[patient_id] for patient_id in wanted]
    except (OSError, ValueError, KeyError):
        raise JobError(f"The patients that {run.title} was judged by are not here any more.") from None


def export_zip(run: Run) -> bytes:
    """Return the run folder as a zip; without uploaded slices, and without the checkpoint, which only resumes here."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(run.folder.path.rglob("*")):
            inside = path.relative_to(run.folder.path)
            if path.is_file() and inside.parts[0] not in LEFT_OUT and not path.name.startswith("."):
                archive.write(path, Path(run.id) / inside)
    return buffer.getvalue()


def _check_disk(root: Path, config: TrainingConfig) -> None:
    need = disk_need(config.filters, config.architecture) + SPARE_BYTES
    free = shutil.disk_usage(root).free
    if free < need:
        raise JobError(
            f"The disk has {free / 1e6:,.0f} MB free, this run needs {need / 1e6:,.0f} MB. "
            "Delete runs, or choose fewer filters."
        )


def _make_room(root: Path, kept: int | None) -> None:
    """Remove the oldest ended runs above the host's limit."""
    if kept is not None:
        for run in [run for run in list_runs(root) if not run.active][kept:]:
            delete(run)


# --- inside the process of a run


@contextmanager
def turn(run_dir: Path, poll_seconds: float = 0.5) -> Iterator[None]:
    """Wait until no other run of this runs folder computes, and keep others waiting during the block.

    Raises:
        TrainingStopped: someone asked this run to stop while it waited.
    """
    folder = RunFolder(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    folder.write_process(local_handle(os.getpid()))
    lock = FileLock(run_dir.parent / ".training.lock")
    status = {**folder.read_status(), "state": QUEUED, "reason": "", "queued_at": time.time()}
    while True:
        if folder.stop_requested():
            raise TrainingStopped("stopped while it waited")
        folder.write_status(status)
        if not any(run.place == 1 and run.id != run_dir.name for run in list_runs(run_dir.parent)):
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                pass
        time.sleep(poll_seconds)
    try:
        status.pop("queued_at")
        folder.write_status({**status, "state": "preparing"})
        yield
    finally:
        lock.release()
