"""Train the five networks of a cross-validation, one after the other on this machine or as jobs on a cluster.

    DIR/recipe.json    the arguments of `train.py` that the folds share
    DIR/fold-0 … -4    a run folder each (`unet.training.run_folder`)

Each fold is a process of `train.py`, so a killed command continues where it was: finished folds are skipped, a fold
that was cut off resumes from its checkpoint on the same curve.
"""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unet.jobs.index import read_run
from unet.jobs.runners import COMMAND, RayRunner
from unet.language import t
from unet.paths import PROJECT_FOLDER
from unet.training.endings import FINISHED, TrainingError, TrainingStopped
from unet.training.run_folder import RunFolder, write_json

WAIT_SECONDS = 1.0


def fold_folder(run_dir: Path, fold: int) -> Path:
    """Return the run folder of a fold."""
    return run_dir / f"fold-{fold}"


def keep_recipe(run_dir: Path, arguments: list[str]) -> list[str]:
    """Return the arguments that all folds share, and write them down the first time.

    Args:
        run_dir: made if it is not there.
        arguments: of `train.py`; none continues with those written down.

    Raises:
        TrainingError: other ones are written down, or there are none.
    """
    file = run_dir / "recipe.json"
    stored = json.loads(file.read_text(encoding="utf-8"))["arguments"] if file.exists() else None
    if stored is None and not arguments:
        raise TrainingError(
            t("{run_dir} has no recipe yet. Give the arguments of train.py, such as --slices 40000.", run_dir=run_dir)
        )
    if stored is None:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            write_json(file, {"arguments": arguments})
        except OSError as error:
            raise TrainingError(
                t(
                    "{run_dir} cannot be written ({strerror}). Choose a folder that this machine and the "
                    "cluster can write to.",
                    run_dir=run_dir,
                    strerror=error.strerror,
                )
            ) from None
    elif arguments and arguments != stored:
        raise TrainingError(
            t(
                "{run_dir} holds folds trained with {stored}. Give the same arguments or none, "
                "or choose another --run-dir.",
                run_dir=run_dir,
                stored=" ".join(stored),
            )
        )
    return stored or arguments


def run_folds(run_dir: Path, recipe: list[str], folds: list[int]) -> None:
    """Train each fold that is not finished, or resume it, in a process of its own.

    Raises:
        TrainingError: a fold failed; what it printed says why.
        TrainingStopped: this process was told to end; the fold's process was, too.
    """
    for fold in folds:
        folder = RunFolder(fold_folder(run_dir, fold))
        if read_run(folder.path).active:
            print(t("fold {fold}: another process trains it; waiting for its end", fold=fold), flush=True)
            while read_run(folder.path).active:
                time.sleep(WAIT_SECONDS)
        if read_run(folder.path).state == FINISHED:
            print(t("fold {fold}: finished", fold=fold), flush=True)
            continue
        arguments = _fold_arguments(folder, recipe, fold)
        print(t("fold {fold}: {step}", fold=fold, step="resumed" if "--resume" in arguments else "started"), flush=True)
        process = subprocess.Popen([*COMMAND, *arguments], cwd=PROJECT_FOLDER)
        with _ended_together(process):
            status = process.wait()
        if status:
            raise TrainingError(
                t("fold {fold} ended with status {status}; the same command resumes it", fold=fold, status=status)
            )


def submit_folds(run_dir: Path, recipe: list[str], folds: list[int], address: str, gpus: float) -> dict[int, str]:
    """Hand the folds that are not finished to a Ray cluster.

    Args:
        run_dir: as the cluster sees it; a fold resumes if its checkpoint is to be seen from here as well.
        recipe: flags of `train.py` that all folds share.
        folds: numbers of the folds to train, from 0.
        address: `ray://HOST`.
        gpus: of the cluster, for each fold; a fold waits until so many are free.

    Returns:
        The job of each fold.

    Raises:
        RunnerError: Ray is not installed, or does not answer.
    """
    runner, jobs = RayRunner(address), {}
    for fold in folds:
        folder = RunFolder(fold_folder(run_dir, fold))
        run = read_run(folder.path)
        if run.state == FINISHED or run.active:
            print(t("fold {fold}: {state}", fold=fold, state=run.state))
            continue
        jobs[fold] = runner.start([*_fold_arguments(folder, recipe, fold), "--no-queue"], gpus=gpus)["job"]
    return jobs


def _fold_arguments(folder: RunFolder, recipe: list[str], fold: int) -> list[str]:
    """Return the command line of a fold, which resumes from its checkpoint, or starts over where there is none."""
    again = ["--resume"] if folder.checkpoint.exists() else []
    if not again:
        folder.clear_start()
    return [*recipe, f"--fold={fold}", f"--run-dir={folder.path}", *again]


@contextmanager
def _ended_together(process: subprocess.Popen) -> Iterator[None]:
    """End the process when this one is told to end in the block; otherwise it would go on alone."""

    def end(*_: object) -> None:
        raise TrainingStopped(t("stopped by a signal; the same command resumes"))

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if process.poll() is None:
            process.terminate()
            process.wait()
