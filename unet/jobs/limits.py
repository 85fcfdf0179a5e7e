"""What the host lets visitors do with training, from the environment."""

import os
from dataclasses import dataclass, fields
from pathlib import Path

from unet.data.patients import find_data_root, list_patients
from unet.data.slice_files import DataError
from unet.jobs.request import JobError, Request
from unet.language import t
from unet.training.footprint import peak_memory, volume_bytes

_WHOLE = ("filters", "patients", "runs", "waiting")
ON = ("", "on", "1", "yes", "true", "enabled")  # what `UNET_TRAINING` may be; any other word switches training off


def check_training_allowed() -> None:
    """Refuse everything but looking at runs where the host has switched training off.

    Raises:
        JobError: it is off.
    """
    if os.environ.get("UNET_TRAINING", "").strip().lower() not in ON:
        raise JobError(t("Training is switched off on this server. Runs can be viewed only."))


@dataclass(frozen=True)
class Limits:
    """What the host lets visitors do, from the environment; None is no limit.

    Attributes:
        filters: `UNET_TRAINING_FILTERS`, the widest network.
        minutes: `UNET_TRAINING_MINUTES`, the longest run.
        patients: `UNET_TRAINING_PATIENTS`, training and validation together.
        runs: `UNET_TRAINING_RUNS`, ended runs of visitors that are kept; the oldest make room.
        waiting: `UNET_TRAINING_QUEUE`, runs in the queue.
        memory: `UNET_TRAINING_MEMORY`, MB that the process of a run may take; the usual value leaves 1 GB of 4 to the
            server.
        upload: `UNET_TRAINING_UPLOAD`, MB that the uploaded slices of a visit's runs may take once they are decoded.
    """

    filters: int = 64
    minutes: float | None = None
    patients: int | None = None
    runs: int = 20
    waiting: int = 8
    memory: float = 3000
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
                kind, called = (int, t("whole number")) if one.name in _WHOLE else (float, "number")
                try:
                    values[one.name] = kind(text)
                except ValueError:
                    values[one.name] = -1
                if not 0 <= values[one.name] < 1e12:  # not a number, too
                    raise JobError(
                        t(
                            "{variable} is {text!r}. The host has to set it to a {called} from 0.",
                            variable=variable,
                            text=text,
                            called=called,
                        )
                    )
        return cls(**values)

    def check(self, request: Request) -> None:
        """Refuse what the host does not want.

        Raises:
            JobError: the request is over a limit.
        """
        config, who = request.config, (request.training_patients, request.validation_patients)
        people = 1 if request.overfit_patient else sum(count or 0 for count in who)
        for name, wanted, limit in (
            ("filters", config.filters, self.filters),
            ("minutes", config.minutes or 0, self.minutes),
            ("patients", people, self.patients),
        ):
            if limit is not None and wanted > limit:
                raise JobError(
                    t(
                        "{wanted:g} {name} are more than this server allows ({limit:g}).",
                        wanted=wanted,
                        name=name,
                        limit=limit,
                    )
                )
        if self.minutes is not None and not config.minutes:
            raise JobError(t("This server ends runs after {minutes:g} minutes. Set the minutes.", minutes=self.minutes))
        if self.patients is not None and not request.overfit_patient and None in who:
            raise JobError(
                t("This server trains on at most {patients:g} patients. Set their number.", patients=self.patients)
            )
        need = peak_memory(config, _volumes(request)) / 1e6
        if need > self.memory:
            raise JobError(
                t(
                    "This run needs about {need:.1f} GB of memory; this server allows {memory:.1f} GB. "
                    "Choose fewer filters, a smaller picture side, fewer slices in a batch, or fewer "
                    "patients.",
                    need=need / 1000,
                    memory=self.memory / 1000,
                )
            )


def _volumes(request: Request) -> list[int]:
    """Return the bytes of the largest volumes that the run may load; none where its patients are not there yet."""
    try:
        volumes = sorted(volume_bytes(list_patients(find_data_root(request.data))[0]), reverse=True)
    except (DataError, OSError):  # uploaded slices are written later; what else is wrong the run itself says
        return []
    if request.overfit_patient:
        return volumes[:1]
    if request.training_patients is None or request.validation_patients is None:
        return volumes
    return volumes[: request.training_patients + request.validation_patients]


def offered_folders() -> list[Path]:
    """Return the folders with patients that the host offers, from `UNET_TRAINING_FOLDERS`; no visitor names a path."""
    named = os.environ.get("UNET_TRAINING_FOLDERS", "").split(os.pathsep)
    return [folder for folder in (Path(name).expanduser().resolve() for name in named if name) if folder.is_dir()]
