"""The folder of a training run: what `unet.training.loop` writes, and the pages and a resumed run read.

    spec.json                settings, patients, command, commit, hardware, versions
    process.json             who computes it: process id and its start, or a job on a cluster
    metrics.csv, curve.png   a row an epoch, and its picture
    log.txt, output.txt      lines with their time; everything the process printed
    status.json              where the run stands, with a heartbeat, and how it ended
    preview/                 the same validation slices, predicted after each epoch: `unet.training.previews`
    events/                  the numbers again, for TensorBoard
    checkpoint.npz           everything a resumed run needs
    best/                    the epoch with the best validation score, of a fold the last one, as weights to load
    stop                     there when someone asked the run to stop

What is replaced is written beside its place and moved over it, so that a reader never sees half a file.
"""

import csv
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from unet.files import write_text
from unet.language import t
from unet.provenance import code_version, command_line, without_folders
from unet.training.config import TrainingConfig, config_from_dict
from unet.training.endings import FINISHED, STOPPED, TrainingError, describe_end, describe_result
from unet.training.previews import Previews
from unet.training.records import PROCESS, REQUEST, SPEC, STATUS, DamagedRecord, read_record, write_json
from unet.weights.arrays import file_sha256, load_arrays, save_arrays

RESERVE_BYTES = 16_384  # given back when the disk is full, so that the run can still say so
METRICS = ("epoch", "learning_rate", "loss", "validation_dice", "moving_average", "epoch_seconds", "seconds")
CURVE_SECONDS = 20  # the curve's picture is not drawn more often


class RunFolder:
    """Paths and files of one run; the folder is made when it is first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.npz"
        self.metrics = path / "metrics.csv"
        self.best = path / "best"
        self.events = path / "events"
        self.previews = Previews(path / "preview")
        self._reserve = path / ".reserve"

    def check_start(self, resume: bool) -> None:
        """Refuse a folder that cannot take a run; nothing is written.

        Raises:
            TrainingError: it holds a run already, or none that could be resumed.
        """
        if resume and not self.checkpoint.exists():
            raise TrainingError(
                t(
                    "{checkpoint} does not exist, so there is nothing to resume. Start without --resume.",
                    checkpoint=self.checkpoint,
                )
            )
        if not resume and self.metrics.exists():
            raise TrainingError(t("{path} already holds a run. Resume it, or choose another folder.", path=self.path))

    def clear_start(self) -> None:
        """Remove what a run left that was cut off before its first checkpoint, so that it can start over."""
        for leftover in ("metrics.csv", "spec.json", "curve.png"):
            (self.path / leftover).unlink(missing_ok=True)
        self.previews.forget_after(0)

    def write_spec(self, spec: dict) -> None:
        """Write the settings, with what made the run: command, commit, machine, time."""
        self.path.mkdir(parents=True, exist_ok=True)
        origin = {
            "command": command_line(f"python {Path(sys.argv[0]).name}"),
            "commit": code_version(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": t("{machine}, {cpu_count} cores", machine=platform.machine(), cpu_count=os.cpu_count()),
        }
        write_json(self.path / "spec.json", {**spec, **origin})

    def read_spec(self) -> dict:
        """Return what `write_spec` wrote.

        Raises:
            OSError: there is none.
            DamagedRecord: a field is not what it should be; a ValueError.
        """
        return read_record(self.path / "spec.json", SPEC)

    def append_metrics(self, row: dict, last: bool) -> None:
        """Add an epoch's row and draw the curve anew, for the last row and now and then."""
        new = not self.metrics.exists()
        with self.metrics.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        curve = self.path / "curve.png"
        if last or not curve.exists() or time.time() - curve.stat().st_mtime > CURVE_SECONDS:
            from unet.training.curve import training_curve  # brings Matplotlib, which no reader of runs needs

            training_curve(self.metrics, curve)

    def forget_after(self, epoch: int) -> None:
        """Drop what an epoch wrote that was cut short before its checkpoint was saved."""
        if self.metrics.exists():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(self.metrics, "".join(lines[: 1 + epoch]))
        self.previews.forget_after(epoch)

    def read_metrics(self) -> list[dict[str, float]]:
        """Return `METRICS` of each epoch, without a last line that is just being written; a damaged file has none."""
        try:
            with self.metrics.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if all(row.values())]
            return [{name: float(row[name]) for name in METRICS} for row in rows]
        except (OSError, ValueError, TypeError, KeyError, csv.Error):
            return []

    def write_best(self, arrays: dict[str, np.ndarray], config: dict) -> None:
        """Write weights that `unet.weights.network.find_weights` accepts."""
        self.best.mkdir(exist_ok=True)
        save_arrays(self.best / "weights.npz", arrays, config)
        self.repair_best()

    def repair_best(self) -> None:
        """Write the `config.json` that belongs to `weights.npz`; between the two a run can be cut off.

        Raises:
            WeightsError: there are no weights.
        """
        weights = self.best / "weights.npz"
        _, config = load_arrays(weights)
        write_json(self.best / "config.json", {**config, "sha256": file_sha256(weights)})

    def write_status(self, status: dict) -> None:
        """Write where the run stands, with the time as heartbeat."""
        write_json(self.path / "status.json", {**status, "heartbeat": datetime.now(UTC).isoformat(timespec="seconds")})

    def read_status(self) -> dict:
        """Return what `write_status` wrote, or nothing where it is not there or damaged."""
        return self._read("status.json", STATUS)

    def write_process(self, handle: dict) -> None:
        """Write who computes the run, a handle of `unet.jobs.runners`."""
        write_json(self.path / "process.json", handle)

    def read_process(self) -> dict:
        """Return what `write_process` wrote, or nothing where it is not there or damaged."""
        return self._read("process.json", PROCESS)

    def write_request(self, request: dict) -> None:
        """Write what the run was asked to do, `unet.jobs.request.Request.to_json`."""
        write_json(self.path / "request.json", request)

    def read_request(self) -> dict:
        """Return what `write_request` wrote, or nothing where it is not there or damaged."""
        return self._read("request.json", REQUEST)

    def damage(self) -> str:
        """Return which JSON file cannot be read and why, or an empty text."""
        for name, fields in (("status", STATUS), ("process", PROCESS), ("request", REQUEST), ("spec", SPEC)):
            try:
                read_record(self.path / f"{name}.json", fields)
            except DamagedRecord as error:
                return str(error)
            except OSError:  # not written yet
                continue
        return ""

    def _read(self, name: str, fields: dict) -> dict:
        try:
            return read_record(self.path / name, fields)
        except (OSError, DamagedRecord):
            return {}

    def stop_requested(self) -> bool:
        """Return whether someone put the file `stop` there."""
        return (self.path / "stop").exists()

    @contextmanager
    def recorded_end(self) -> Iterator[None]:
        """However the block ends, write it to `status.json` and to the log, which visitors see; errors go on."""
        self.path.mkdir(parents=True, exist_ok=True)
        state, reason = FINISHED, ""
        try:
            self._reserve.write_bytes(os.urandom(RESERVE_BYTES))
            yield
            reason = self._result()
        except BaseException as error:
            state, reason = describe_end(error)
            if state == STOPPED and (so_far := self._result()):
                reason = f"{reason} {so_far}"
            reason = without_folders(reason)
            if vars(error).get("recorded"):  # by a block within this one
                reason = ""
            vars(error)["recorded"] = True
            raise
        finally:
            self._reserve.unlink(missing_ok=True)
            with suppress(OSError):  # not even a few bytes free: `unet.jobs.queue` tells it from the dead process
                if reason or state == FINISHED:
                    self.write_status({**self.read_status(), "state": state, "reason": reason})
                if reason:
                    self.write_log(f"{state}: {reason}")

    def _result(self) -> str:
        try:
            spec = self.read_spec()
        except (OSError, ValueError):
            spec = {}
        by_heart = bool(set(spec.get("training_patients", [])) & set(spec.get("validation_patients", [])))
        return describe_result([row["validation_dice"] for row in self.read_metrics()], by_heart)

    def write_log(self, line: str) -> None:
        """Add a line with the time."""
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}  {line}\n")


def read_config(run_folder: Path) -> TrainingConfig:
    """Return the settings in a run's `spec.json`, to resume it.

    Raises:
        TrainingError: there is no run in the folder.
    """
    try:
        return config_from_dict(RunFolder(run_folder).read_spec()["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            t("{run_folder} holds no run to resume: spec.json {error!r}", run_folder=run_folder, error=error)
        ) from None
