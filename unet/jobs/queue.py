"""Training runs as processes: start, queue, stop, resume, delete.

One run at a time computes in a runs folder. Every run is a process of its own from the start: it waits for its turn
at a lock of the operating system, which is freed however its holder ends, so there is no dispatcher to restart.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from unet.data.patients import Patient, list_patients
from unet.jobs.folders import MAKER, new_folder
from unet.jobs.index import DAMAGED, STARTING, Run, list_runs, read_run
from unet.jobs.limits import Limits, check_training_allowed
from unet.jobs.request import JobError, Request
from unet.jobs.runners import LocalRunner, RunnerError, runner_of
from unet.language import t, tn
from unet.training.config import TrainingConfig
from unet.training.endings import FINISHED
from unet.training.footprint import disk_need
from unet.training.run_folder import RunFolder
from unet.weights.arrays import WeightsError
from unet.weights.network import Weights, find_weights

ASK_SECONDS, TERMINATE_SECONDS = 5, 2  # to stop by itself, then after being told to, then it is killed
SPARE_BYTES = 200_000_000  # to leave free on the disk


def start(request: Request, folder: Path | None = None) -> str:
    """Start a run, or queue it behind the one that computes, and return its id.

    Args:
        request: patients and settings.
        folder: from `new_folder`, if something was put into it before.

    Raises:
        JobError: the host does not allow it, the queue or the disk is full, or runs cannot be written.
    """
    try:
        folder = folder or new_folder()
        with _place_for(request, folder.parent) as limits:
            _make_room(folder.parent, limits.runs)
            RunFolder(folder).write_status({"state": STARTING})  # first: a run without a state counts as interrupted
            RunFolder(folder).write_request({**request.to_json(), "time": time.time()})
            (folder / MAKER).unlink(missing_ok=True)
    except JobError:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _launch(folder, limits)
    return folder.name


def resume(run: Run) -> None:
    """Continue a run that was stopped or cut off; without a checkpoint it starts over.

    Raises:
        JobError: it is running or finished, was not started from here, or `start` would refuse it now.
    """
    if run.state == DAMAGED:
        raise JobError(t("{title} cannot be resumed: {reason}", title=run.title, reason=run.reason))
    if "config" not in run.request:
        raise JobError(t("This run was not started in the app. Resume it on the command line with --resume."))
    try:
        request = Request.from_json(run.request)
    except ValueError as error:
        raise JobError(
            t(
                "{title} cannot be resumed, because its settings belong to another version: {error}",
                title=run.title,
                error=error,
            )
        ) from None
    path = run.folder.path
    with _place_for(request, path.parent) as limits, _alone(path) as run:
        if not run.request:
            raise JobError(t("{title} was deleted in the meantime.", title=request.title))
        if run.active or run.state == FINISHED:
            raise JobError(
                t("{title} is {state}. Only an interrupted run can be resumed.", title=run.title, state=run.state)
            )
        if not run.folder.checkpoint.exists():
            run.folder.clear_start()
        (path / "stop").unlink(missing_ok=True)
        _launch(path, limits)


@contextmanager
def _place_for(request: Request, root: Path) -> Iterator[Limits]:
    """Check that host, disk and queue take one more run; until the end of the block nobody else can take its place.

    Raises:
        JobError: they do not.
    """
    limits = Limits.from_environment()
    limits.check(request)
    check_disk(root, request.config)
    with FileLock(root / ".start.lock"):
        waiting = sum(run.active for run in list_runs(root))
        if waiting > limits.waiting:
            raise JobError(
                tn(
                    "{n} run is training or waiting already. Stop it, or try again later.",
                    "{n} runs are training or waiting already. Stop one, or try again later.",
                    waiting,
                )
            )
        yield limits


@contextmanager
def _alone(path: Path) -> Iterator[Run]:
    """Yield a run as it is now: two visitors may act at once, each on what their page showed a moment ago."""
    with FileLock(path.parent / ".resume.lock"):
        yield read_run(path)


def _launch(path: Path, limits: Limits) -> None:
    """Start the process of a run, which reads what to do from `request.json`; a checkpoint is gone on from."""
    folder = RunFolder(path)
    folder.write_status({**folder.read_status(), "state": STARTING, "reason": ""})
    folder.write_process({})
    again = ["--resume"] if folder.checkpoint.exists() else []
    arguments = [f"--config={path / 'request.json'}", f"--run-dir={path}", "--background", *again]
    arguments.append(f"--memory-limit={limits.memory:g}")
    folder.write_process(LocalRunner().start(arguments, path / "output.txt"))


def stop(run: Run) -> threading.Thread:
    """Ask a run to stop; if it does not within seconds it is told to, then killed.

    Returns:
        The thread that sees to it, started, for those who want to wait.

    Raises:
        JobError: the run was deleted meanwhile, or training is off.
    """
    check_training_allowed()
    try:
        (run.folder.path / "stop").touch()
    except OSError as error:
        raise JobError(
            t(
                "{title} cannot be stopped ({strerror}). Perhaps it was deleted.",
                title=run.title,
                strerror=error.strerror,
            )
        ) from None

    def see_to_it() -> None:
        for seconds, force in ((ASK_SECONDS, None), (TERMINATE_SECONDS, False), (TERMINATE_SECONDS, True)):
            if force is not None:
                _end(run.folder.read_process(), force)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                # a process that has recorded its end still has to leave
                if not read_run(run.folder.path).active and not LocalRunner().is_alive(run.folder.read_process()):
                    return
                time.sleep(0.1)

    thread = threading.Thread(target=see_to_it, daemon=True)
    thread.start()
    return thread


def _end(handle: dict, force: bool) -> None:
    with suppress(RunnerError, KeyError, RuntimeError, OSError):  # Ray is not installed here, or does not answer
        runner_of(handle).end(handle, force)


def is_stopping(run: Run) -> bool:
    """Return whether a stop is under way; after all its seconds it can be asked for again, by another server too."""
    try:
        asked = (run.folder.path / "stop").stat().st_mtime
    except OSError:
        return False
    return time.time() - asked < ASK_SECONDS + 2 * TERMINATE_SECONDS


def delete(run: Run) -> None:
    """Remove a run and all it wrote.

    Raises:
        JobError: it is still running, or training is off.
    """
    check_training_allowed()
    with _alone(run.folder.path) as run:
        if run.active:
            raise JobError(t("{title} is {state}. Stop it first.", title=run.title, state=run.state))
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
    """Return the validation patients of a run, from the folder it was started with.

    Raises:
        JobError: the run was not started from here, or the folder is gone.
    """
    data = run.request.get("data")
    try:
        wanted = run.folder.read_spec()["validation_patients"]
        found = {patient.patient_id: patient for patient in list_patients(Path(data))[0]} if data else {}
        return [found[patient_id] for patient_id in wanted]
    except (OSError, ValueError, KeyError):
        raise JobError(t("The validation patients of {title} are no longer available.", title=run.title)) from None


def check_disk(root: Path, config: TrainingConfig, more: int = 0) -> None:
    """Refuse a run that would fill the disk.

    Args:
        root: the runs folder, on the disk that is checked.
        config: settings; the width and the architecture decide how much is written.
        more: bytes that the run's own slices will take.

    Raises:
        JobError: too little is free.
    """
    need = disk_need(config.filters, config.architecture) + SPARE_BYTES + more
    free = shutil.disk_usage(root).free
    if free < need:
        raise JobError(
            t(
                "The disk has {free:,.0f} MB free; this run needs {need:,.0f} MB. Delete runs, or choose "
                "fewer filters.",
                free=free / 1000000.0,
                need=need / 1000000.0,
            )
        )


def _make_room(root: Path, kept: int) -> None:
    """Remove the oldest ended runs of visitors above the host's limit; those of the command line are the host's."""
    for run in [run for run in list_runs(root) if run.request and not run.active][kept:]:
        with suppress(JobError):  # somebody has just resumed it
            delete(run)
