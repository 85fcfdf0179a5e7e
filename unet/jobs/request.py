"""What a training run is asked to do: kept as JSON in its folder, which is all that its process is told."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from filelock import FileLock, Timeout

from unet.language import t
from unet.paths import PROJECT_FOLDER
from unet.training.arguments import flag, settings_as_flags
from unet.training.config import TrainingConfig, config_from_dict
from unet.training.records import REQUEST, read_record, write_json

ESTIMATE_SECONDS = 180


class JobError(RuntimeError):
    """Something that cannot be done with a run; the message says why and what to do."""


@dataclass(frozen=True)
class Request:
    """What a run is asked to do.

    Attributes:
        title: for people, in lists of runs.
        config: settings of the training itself.
        data: folder with the patients; None is the one that the app would find.
        training_patients: how many to train on; None takes all.
        validation_patients: how many to validate on; None takes all.
        overfit_patient: id of one patient to train and validate on, instead of both.
        overfit: train and validate on so many slices of the training patients.
    """

    title: str
    config: TrainingConfig
    data: Path | None = None
    training_patients: int | None = None
    validation_patients: int | None = None
    overfit_patient: str | None = None
    overfit: int | None = None

    def __post_init__(self) -> None:
        for name in ("training_patients", "validation_patients", "overfit"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(t("{name} {value!r}; expected a whole number above 0", name=name, value=value))
        if not isinstance(self.overfit_patient, str | None):
            raise ValueError(
                t(
                    "overfit_patient {overfit_patient!r}; expected the id of a patient",
                    overfit_patient=self.overfit_patient,
                )
            )
        self._check_one_choice()

    def _check_one_choice(self) -> None:
        """Refuse two settings that both say which patients the run gets: one of them would be ignored."""
        config, who = self.config, ("training_patients", "validation_patients", "overfit_patient", "overfit")
        chosen = [name for name in who if getattr(self, name) is not None]
        for mode, is_on, others in (
            ("fold", config.fold is not None, who),
            ("all_patients", config.all_patients, who),
            ("overfit", self.overfit is not None, who[1:3]),
            ("overfit_patient", self.overfit_patient is not None, who[:2]),
        ):
            if is_on and (both := [name for name in chosen if name in others]):
                raise ValueError(
                    t("{flag} and {other} both choose patients. Leave one out.", flag=flag(mode), other=flag(both[0]))
                )

    def arguments(self) -> list[str]:
        """Return the command line after `train.py` that asks for the same, without the run folder.

        Raises:
            ValueError: `settings_as_flags` has no words for the settings.

        >>> Request("", TrainingConfig(filters=8, epochs=2), Path("d")).arguments()[:2]
        ['--data=d', '--filters=8']
        """
        who = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("title", "config", "data")}
        data = [] if self.data is None else [f"--data={self.data}"]
        chosen = [f"{flag(name)}={value}" for name, value in who.items() if value is not None]
        return [*data, *settings_as_flags(self.config), *chosen]

    def to_json(self) -> dict:
        """Return the request as JSON can hold it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "config": asdict(self.config), "data": None if self.data is None else str(self.data)}

    @classmethod
    def from_json(cls, stored: dict) -> "Request":
        """Return the request that `to_json` gave; `time` beside it, when the run was started, is left out.

        Raises:
            ValueError: it is none; the message names the first field that is wrong.
        """
        names = [one.name for one in fields(cls)]
        if unknown := [name for name in stored if name not in (*names, "time")]:
            raise ValueError(
                t("unknown field {unknown!r:.60}; expected some of {names}", unknown=unknown[0], names=", ".join(names))
            )
        values = {name: stored[name] for name in names if name in stored}
        data = values.get("data")
        config = config_from_dict(values.get("config"))
        return cls(**{"title": "", **values, "config": config, "data": None if data is None else Path(data)})

    @classmethod
    def read(cls, file: Path) -> "Request":
        """Return the request in a file.

        Raises:
            ValueError: it holds none.
            OSError: it cannot be read.
        """
        try:
            return cls.from_json(read_record(file, REQUEST))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None


def estimate(request: Request, runs: Path, memory_limit: float) -> dict:
    """Measure what a run would cost by two steps of it, in a process of its own; one such process at a time.

    Args:
        request: patients and settings.
        runs: the runs folder, to find weights to start from.
        memory_limit: MB, as of a run.

    Returns:
        As `unet.training.estimate.estimate`.

    Raises:
        JobError: another visitor is measuring, or the run would fail.
    """
    runs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(PROJECT_FOLDER / "train.py"), f"--run-dir={runs / 'estimate'}"]
    command += ["--background", "--estimate", f"--memory-limit={memory_limit:g}"]
    try:
        with FileLock(runs / ".estimate.lock", timeout=0), tempfile.TemporaryDirectory(prefix="estimate-") as folder:
            write_json(Path(folder) / "request.json", request.to_json())
            command.append(f"--config={folder}/request.json")
            done = subprocess.run(
                command,
                cwd=PROJECT_FOLDER,
                capture_output=True,
                text=True,
                timeout=ESTIMATE_SECONDS,
                start_new_session=True,
            )
    except Timeout:
        raise JobError(t("Another visitor is measuring a run. Try again in half a minute.")) from None
    except subprocess.TimeoutExpired:
        raise JobError(
            t(
                "Two steps took longer than {estimate_seconds} s. The server is very busy.",
                estimate_seconds=ESTIMATE_SECONDS,
            )
        ) from None
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        reason = errors[-1].removeprefix("error: ") if errors else t("its process ended without a message")
        raise JobError(t("This run would fail: {reason}", reason=reason)) from None
