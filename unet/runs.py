"""The folder of a training run: what `unet.training` writes, and the pages and a resumed run read.

    spec.json                settings, patients, command, commit, hardware, versions
    metrics.csv, curve.png   a row an epoch, and its picture
    log.txt, status.json     lines with their time; where the run stands, with a heartbeat
    preview/epoch_NNN.png    the same validation slices, predicted after each epoch
    checkpoint.npz           everything a resumed run needs
    best/                    the epoch with the best validation score, as weights the app can load

What is replaced is written beside its place and moved over it, so that a reader never sees half a file.
"""

import csv
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from unet import overlay
from unet.data import PROJECT_FOLDER
from unet.figures import training_curve
from unet.weights import file_sha256, save_arrays


class RunFolder:
    """Paths and files of one run; the folder is made when it is first written to."""

    def __init__(self, path: Path):
        self.path = path
        self.checkpoint = path / "checkpoint.npz"
        self.metrics = path / "metrics.csv"
        self.best = path / "best"

    def write_spec(self, spec: dict) -> None:
        """Write the settings, with what made the run: command, commit, machine, time."""
        self.path.mkdir(parents=True, exist_ok=True)
        origin = {
            "command": command_line(f"python {Path(sys.argv[0]).name}"),
            "commit": code_version(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        write_json(self.path / "spec.json", {**spec, **origin})

    def read_spec(self) -> dict:
        """Return what `write_spec` wrote.

        Raises:
            OSError, ValueError: there is none, or it is no JSON.
        """
        return json.loads((self.path / "spec.json").read_text())

    def append_metrics(self, row: dict) -> None:
        """Add an epoch's row and draw the curve anew."""
        new = not self.metrics.exists()
        with self.metrics.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        training_curve(self.metrics, self.path / "curve.png")

    def forget_after(self, epoch: int) -> None:
        """Drop rows written after the checkpoint, by an epoch that was cut short while it was being saved."""
        if self.metrics.exists():
            lines = self.metrics.read_text().splitlines(keepends=True)
            self.metrics.write_text("".join(lines[: 1 + epoch]))

    def write_preview(self, epoch: int, picture: np.ndarray) -> None:
        """Write (height, width, 3) uint8 as that epoch's picture."""
        folder = self.path / "preview"
        folder.mkdir(exist_ok=True)
        overlay.write_png(folder / f"epoch_{epoch:03d}.png", picture)

    def write_best(self, arrays: dict[str, np.ndarray], config: dict) -> None:
        """Write weights that `unet.weights.find_weights` accepts."""
        self.best.mkdir(exist_ok=True)
        weights = self.best / "weights.npz"
        save_arrays(weights, arrays, {"epoch": config["epoch"]})
        write_json(self.best / "config.json", {**config, "sha256": file_sha256(weights)})

    def write_status(self, status: dict) -> None:
        """Write where the run stands, with the time as heartbeat."""
        write_json(self.path / "status.json", {**status, "heartbeat": datetime.now(UTC).isoformat(timespec="seconds")})

    def write_log(self, line: str) -> None:
        """Add a line with the time."""
        with (self.path / "log.txt").open("a") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}  {line}\n")


def write_json(path: Path, content: dict) -> None:
    """Write a dict so that a reader sees the old or the new file, never half of one."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1))
    part.replace(path)


def command_line(program: str) -> str:
    """Return the running command, folders shortened to their names: where this machine keeps things is its own."""
    return " ".join([program, *(Path(word).name if os.path.isabs(word) else word for word in sys.argv[1:])])


def code_version() -> str:
    """Return the commit the code is at, or `unknown` outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
