"""Training runs as processes: start, queue, watch, stop, resume, delete. All state is in the run folders.

One run at a time computes in a runs folder. Every run is a process of its own from the start: it waits for its turn
at a lock of the operating system, which is freed however its holder ends, so there is no dispatcher to restart.
"""

import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from unet.data import PROJECT_FOLDER
from unet.runners import LocalRunner, local_handle, oom_kills, runner_of
from unet.runs import DISK_FULL, ENDINGS, OUT_OF_MEMORY, STOPPED, RunFolder, TrainingStopped
from unet.training_config import TrainingConfig, disk_need
from unet.weights import Weights, WeightsError, find_weights

INTERRUPTED, STARTING, QUEUED = "interrupted", "starting", "queued"
START_SECONDS = 30  # a process that has not spoken for so long after its start never will
ASK_SECONDS, TERMINATE_SECONDS = 5, 2  # to stop by itself, then after being told to, then it is killed
SPARE_BYTES = 200_000_000  # to leave free on the disk
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}|[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class JobError(RuntimeError):
    """Something that cannot be done with a run; the message says why and what to do."""


@dataclass(frozen=True)
class Limits:
    """What the host lets visitors do, from the environment; None is no limit.

    Attributes:
        allowed: `UNET_TRAINING=off` forbids all training.
        filters: `UNET_TRAINING_FILTERS`, the widest network.
        minutes: `UNET_TRAINING_MINUTES`, the longest run.
        patients: `UNET_TRAINING_PATIENTS`, training and validation together.
        runs: `UNET_TRAINING_RUNS`, ended runs kept; the oldest make room.
        waiting: `UNET_TRAINING_QUEUE`, runs in the queue.
    """

    allowed: bool = True
    filters: int = 64
    minutes: float | None = None
    patients: int | None = None
    runs: int | None = None
    waiting: int = 8

    @classmethod
    def from_environment(cls) -> "Limits":
        """Read the limits.

        Raises:
            JobError: a value that is no number.
        """
        values = {"allowed": os.environ.get("UNET_TRAINING", "on").strip().lower() not in ("off", "0", "no", "false")}
        names = {"filters": int, "minutes": float, "patients": int, "runs": int, "waiting": int}
        for name, kind in names.items():
            variable = f"UNET_TRAINING_{'QUEUE' if name == 'waiting' else name.upper()}"
            if text := os.environ.get(variable):
                try:
                    values[name] = kind(text)
                except ValueError:
                    raise JobError(f"{variable} is {text!r}; the host has to set it to a number") from None
        return cls(**values)

    def check(self, request: "Request") -> None:
        """Refuse what the host does not want.

        Raises:
            JobError: training is off, or the request is over a limit.
        """
        if not self.allowed:
            raise JobError("Training is switched off on this server.")
        config, people = request.config, (request.training_patients or 0) + (request.validation_patients or 0)
        for name, wanted, limit in (
            ("filters", config.filters, self.filters),
            ("minutes", config.minutes or 0, self.minutes),
            ("patients", people, self.patients),
        ):
            if limit is not None and wanted > limit:
                raise JobError(f"{wanted:g} {name} are more than this server allows ({limit:g}).")
        if self.minutes and not config.minutes:
            raise JobError(f"This server ends runs after {self.minutes:g} minutes; set the minutes.")
        if self.patients and not people:
            raise JobError(f"This server trains on at most {self.patients} patients; set how many.")


@dataclass(frozen=True)
class Request:
    """What a run is asked to do; becomes the command line of `train.py`.

    Attributes:
        title: for people, in lists of runs.
        config: settings of the training itself.
        data: folder with the patients.
        training_patients: how many to learn from; None takes all.
        validation_patients: how many to judge by; None takes all.
        overfit_patient: id of one patient to learn by heart and be judged by, instead of both.
    """

    title: str
    config: TrainingConfig
    data: Path
    training_patients: int | None = None
    validation_patients: int | None = None
    overfit_patient: str | None = None

    def arguments(self) -> list[str]:
        """Return the command line after `train.py`, without the run folder.

        >>> " ".join(Request("", TrainingConfig(filters=8, epochs=2), Path("d")).arguments())[:38]
        '--data=d --filters=8 --sizes=128,160,1'
        """
        c = self.config
        options = {
            "data": self.data,
            "filters": c.filters,
            "sizes": ",".join(map(str, c.sizes)),
            "epochs": c.epochs,
            "minutes": c.minutes,
            "batch-size": c.batch_size,
            "learning-rate": c.learning_rate,
            "schedule": c.schedule,
            "loss": c.loss,
            "seed": c.seed,
            "epoch-slices": c.epoch_slices,
            "architecture": c.architecture,
            "without": ",".join(c.augmentation.switched_off()),
            "from-weights": c.from_weights,
            "training-patients": self.training_patients,
            "validation-patients": self.validation_patients,
            "overfit-patient": self.overfit_patient,
        }
        return [f"--{name}={value}" for name, value in options.items() if value not in (None, "")]


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
