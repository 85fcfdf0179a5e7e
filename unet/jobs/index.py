"""Which training runs there are and how each is doing: read from the run folders, so a restart loses nothing."""

import os
import platform
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from unet.jobs.request import JobError
from unet.jobs.runners import RunnerError, runner_of
from unet.language import t
from unet.paths import PROJECT_FOLDER
from unet.training.endings import DISK_FULL, ENDINGS, OUT_OF_MEMORY, STOPPED
from unet.training.run_folder import RunFolder

INTERRUPTED, STARTING, QUEUED, DAMAGED = "interrupted", "starting", "queued", "damaged"
START_SECONDS = 30  # a process that has not spoken for so long after its start never will
REMOTE_SECONDS = 120  # without a heartbeat from a process of another machine
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Run:
    """A run as its folder shows it.

    Attributes:
        state: `starting`, `queued`, `preparing`, `training`, `judging`, how it ended, or `damaged`: nothing runs, and a
            file of the folder cannot be read.
        reason: why it ended like that, in words.
        place: in the queue, from 1; 0 for others.
        status: content of `status.json`.
        request: content of `request.json`: title, time, and what `unet.jobs.request.Request` holds.
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
        return self.state not in (*ENDINGS, INTERRUPTED, DAMAGED)

    @property
    def phase(self) -> str:
        """The state as people need it in a list: everything between queue and end is `running`."""
        return "running" if self.active and self.state != QUEUED else self.state

    @property
    def title(self) -> str:
        """The title that the run was given, or its id."""
        return self.request.get("title") or self.id

    @property
    def has_weights(self) -> bool:
        """Whether an epoch has already left weights in `best`."""
        return (self.folder.best / "weights.npz").exists()


def runs_folder() -> Path:
    """Return where runs live: `UNET_RUNS`, or `runs/` in the project."""
    return Path(os.environ.get("UNET_RUNS") or PROJECT_FOLDER / "runs").expanduser().resolve()


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
    raise JobError(t("The run {run_id!r} does not exist any more; perhaps it was deleted.", run_id=run_id[:60]))


def read_run(path: Path) -> Run:
    """Return what a folder says of its run; a run whose process is gone gets its ending written down."""
    folder = RunFolder(path)
    status, request = folder.read_status(), folder.read_request()
    alive = _is_alive(folder, status)
    state = status.get("state", STARTING if alive else INTERRUPTED)
    if state not in ENDINGS and not alive:
        status = folder.read_status()  # it may have ended properly in between
        state = status.get("state", INTERRUPTED)
    if not alive and (damage := folder.damage()):
        reason = t("{damage}. The run cannot be used any more; delete it.", damage=damage)
        return Run(path.name, folder, DAMAGED, reason, 0, {}, request)
    if state not in (*ENDINGS, INTERRUPTED) and not alive:
        state, reason = _cause_of_death(folder)
        status = {**status, "state": state, "reason": reason}
        with suppress(OSError):  # the disk is still full, or the folder is being deleted
            folder.write_status(status)
    return Run(path.name, folder, state, status.get("reason", ""), 0, status, request)


def _is_alive(folder: RunFolder, status: dict) -> bool:
    """Return whether a process computes the run; asked of the process, and of its heartbeat where that cannot be."""
    if status.get("state") in (*ENDINGS, INTERRUPTED):
        return False
    handle = folder.read_process()
    if not handle:  # it is being launched
        return status.get("state") == STARTING and _age(status) < START_SECONDS
    if handle.get("host", platform.node()) != platform.node():  # a cluster's, on a shared disk
        return _age(status) < REMOTE_SECONDS
    try:
        return runner_of(handle).is_alive(handle)
    except (RunnerError, KeyError, RuntimeError, OSError):  # Ray is not installed here, or does not answer
        return _age(status) < REMOTE_SECONDS


def _cause_of_death(folder: RunFolder) -> tuple[str, str]:
    """Return how a process ended that recorded no ending."""
    if folder.stop_requested():
        return STOPPED, t("Stopped on request. It can be resumed after its last finished epoch.")
    if "bad_alloc" in tail(folder.path):
        return OUT_OF_MEMORY, t(
            "The system ran out of memory and ended the run. Choose fewer filters or a smaller size."
        )
    with suppress(OSError):  # the folder is being deleted
        if shutil.disk_usage(folder.path).free < 1_000_000:
            return DISK_FULL, t("The disk is full. The earlier checkpoint is intact. Free space and resume.")
    return INTERRUPTED, (
        t(
            "Its process has ended: the machine or the container was restarted, or the process was "
            "killed, perhaps by the system for lack of memory."
        )
    )


def tail(path: Path, characters: int = 4000) -> str:
    """Return the end of what a run's process printed."""
    try:
        with (path / "output.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - characters))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _age(status: dict) -> float:
    """Return the seconds since the last heartbeat, also where the clock was put back since then."""
    if "heartbeat" not in status:
        return float("inf")
    return abs((datetime.now(UTC) - datetime.fromisoformat(status["heartbeat"])).total_seconds())


def _turn(run: Run) -> tuple[float, str]:
    return run.status.get("queued_at", float("inf")), run.id


def _started(run: Run) -> float:
    if "time" in run.request:
        return run.request["time"]
    try:
        return (run.folder.path / "spec.json").stat().st_mtime
    except OSError:
        return 0.0
