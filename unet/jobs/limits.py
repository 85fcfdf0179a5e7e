"""What the host lets visitors do with training, from the environment."""

import os
from dataclasses import dataclass
from pathlib import Path

from unet.jobs.request import JobError, Request


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
