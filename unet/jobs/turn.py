"""Inside the process of a run: wait until no other run of the folder computes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from unet.jobs.index import QUEUED, list_runs, read_run
from unet.jobs.runners import local_handle
from unet.language import t
from unet.training.endings import TrainingError, TrainingStopped
from unet.training.run_folder import RunFolder


def check_idle(run_dir: Path) -> None:
    """Refuse a folder whose run another process computes, or waits to.

    Raises:
        TrainingError: there is such a process.
    """
    run = read_run(run_dir)
    if run.active and run.folder.read_process().get("pid") not in (None, os.getpid()):  # None: it is being launched
        raise TrainingError(
            t(
                "{run_dir} is {state} in another process. Stop it first, or choose another folder.",
                run_dir=run_dir,
                state=run.state,
            )
        )


@contextmanager
def turn(run_dir: Path, poll_seconds: float = 0.5, queue: bool = True) -> Iterator[None]:
    """Wait until no other run of this runs folder computes, and keep others waiting during the block.

    Args:
        run_dir: folder of this run; its siblings are the runs to wait for.
        poll_seconds: between two looks at the queue.
        queue: False neither waits nor keeps others waiting: a cluster shares its machines out itself.

    Raises:
        TrainingStopped: someone asked this run to stop while it waited.
    """
    folder = RunFolder(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    folder.write_process(local_handle(os.getpid()))
    lock = FileLock(run_dir.parent / ".training.lock")
    status = {**folder.read_status(), "state": QUEUED, "reason": "", "queued_at": time.time()}
    while queue:
        if folder.stop_requested():
            raise TrainingStopped(t("stopped while waiting"))
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
