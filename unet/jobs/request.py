"""What a visitor asks a training run to do, and what the host lets visitors ask for."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from unet.paths import PROJECT_FOLDER
from unet.training.config import TrainingConfig, augmentation_without

ESTIMATE_SECONDS = 180
_WHOM = ("training_patients", "validation_patients", "overfit_patient")
_NUMBERS = {
    **dict.fromkeys(("filters", "slices", "epochs", "batch_size", "seed", "epoch_slices", "fold", *_WHOM[:2]), int),
    **dict.fromkeys(("minutes", "learning_rate"), float),
}


class JobError(RuntimeError):
    """Something that cannot be done with a run; the message says why and what to do."""


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
            "slices": c.slices,
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
            "fold": c.fold,
            "training-patients": self.training_patients,
            "validation-patients": self.validation_patients,
            "overfit-patient": self.overfit_patient,
        }
        return [f"--{name}={value}" for name, value in options.items() if value not in (None, "")]

    @classmethod
    def from_arguments(cls, title: str, arguments: list[str]) -> "Request":
        """Return the request that these are the `arguments` of.

        Raises:
            ValueError, TypeError: they are those of no request.
        """
        pairs = (word.removeprefix("--").split("=", 1) for word in arguments)
        values = {name.replace("-", "_"): text for name, text in pairs}
        values |= {name: kind(values[name]) for name, kind in _NUMBERS.items() if name in values}
        whom = {name: values.pop(name, None) for name in _WHOM}
        data, sizes, without = (values.pop(name, "") for name in ("data", "sizes", "without"))
        config = TrainingConfig(
            sizes=tuple(int(size) for size in sizes.split(",")),
            augmentation=augmentation_without([name for name in without.split(",") if name]),
            **values,
        )
        return cls(title, config, Path(data), **whom)


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

    def check(self, request: Request) -> None:
        """Refuse what the host does not want.

        Raises:
            JobError: training is off, or the request is over a limit.
        """
        if not self.allowed:
            raise JobError("Training is switched off on this server.")
        config, people = request.config, (request.training_patients or 0) + (request.validation_patients or 0)
        people = 1 if request.overfit_patient else people
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


def offered_folders() -> list[Path]:
    """Return the folders with patients that the host offers, from `UNET_TRAINING_FOLDERS`; no visitor names a path."""
    named = os.environ.get("UNET_TRAINING_FOLDERS", "").split(os.pathsep)
    return [folder for folder in (Path(name).expanduser().resolve() for name in named if name) if folder.is_dir()]


def estimate(request: Request, runs: Path) -> dict:
    """Measure what a run would cost by two steps of it, in a process of its own; one such process at a time.

    Args:
        runs: the runs folder, to find weights to start from.

    Returns:
        As `unet.training.estimate.estimate`.

    Raises:
        JobError: another visitor is measuring, or the run would fail.
    """
    runs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(PROJECT_FOLDER / "train.py"), *request.arguments()]
    command += [f"--run-dir={runs / 'estimate'}", "--background", "--estimate"]
    try:
        with FileLock(runs / ".estimate.lock", timeout=0):
            done = subprocess.run(
                command,
                cwd=PROJECT_FOLDER,
                capture_output=True,
                text=True,
                timeout=ESTIMATE_SECONDS,
                start_new_session=True,
            )
    except Timeout:
        raise JobError("Somebody else is measuring a run; try again in half a minute.") from None
    except subprocess.TimeoutExpired:
        raise JobError(f"Two steps took longer than {ESTIMATE_SECONDS} s; the server is very busy.") from None
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        reason = errors[-1].removeprefix("error: ") if errors else "its process ended without a word"
        raise JobError(f"This run would not work: {reason}") from None
