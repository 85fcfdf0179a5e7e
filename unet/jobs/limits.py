"""What the host lets visitors do with training, from the environment."""

import os
from dataclasses import dataclass, fields
from pathlib import Path

from unet.jobs.request import JobError, Request

ON = ("", "on", "1", "yes", "true", "enabled")  # what `UNET_TRAINING` may be; any other word switches training off


def check_training_allowed() -> None:
    """Refuse everything but looking at runs where the host has switched training off.

    Raises:
        JobError: it is off.
    """
    if os.environ.get("UNET_TRAINING", "").strip().lower() not in ON:
        raise JobError("Training is switched off on this server; its runs can only be looked at.")


@dataclass(frozen=True)
class Limits:
    """What the host lets visitors do, from the environment; None is no limit.

    Attributes:
        filters: `UNET_TRAINING_FILTERS`, the widest network.
        minutes: `UNET_TRAINING_MINUTES`, the longest run.
        patients: `UNET_TRAINING_PATIENTS`, training and validation together.
        runs: `UNET_TRAINING_RUNS`, ended runs of visitors that are kept; the oldest make room.
        waiting: `UNET_TRAINING_QUEUE`, runs in the queue.
        upload: `UNET_TRAINING_UPLOAD`, MB that the uploaded slices of a visit's runs may take once they are decoded.
    """

    filters: float = 64
    minutes: float | None = None
    patients: float | None = None
    runs: float = 20
    waiting: float = 8
    upload: float = 256

    @classmethod
    def from_environment(cls) -> "Limits":
        """Read the limits.

        Raises:
            JobError: training is off, or a value is no number from 0.
        """
        check_training_allowed()
        values = {}
        for one in fields(cls):
            variable = f"UNET_TRAINING_{'QUEUE' if one.name == 'waiting' else one.name.upper()}"
            if text := os.environ.get(variable, "").strip():
                try:
                    values[one.name] = float(text)
                except ValueError:
                    values[one.name] = -1
                if not 0 <= values[one.name] < 1e12:  # not a number, too
                    raise JobError(f"{variable} is {text!r}; the host has to set it to a number from 0")
        return cls(**values)

    def check(self, request: Request) -> None:
        """Refuse what the host does not want.

        Raises:
            JobError: the request is over a limit.
        """
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
            raise JobError(f"This server trains on at most {self.patients:g} patients; set how many.")


def offered_folders() -> list[Path]:
    """Return the folders with patients that the host offers, from `UNET_TRAINING_FOLDERS`; no visitor names a path."""
    named = os.environ.get("UNET_TRAINING_FOLDERS", "").split(os.pathsep)
    return [folder for folder in (Path(name).expanduser().resolve() for name in named if name) if folder.is_dir()]
