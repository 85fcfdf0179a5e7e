"""What made a file: the command and the code's version, and how such files are written."""

import json
import os
import subprocess
import sys
from pathlib import Path

from unet.data import PROJECT_FOLDER


def command_line(program: str) -> str:
    """Return the running command, folders shortened to their names: where this machine keeps things is its own."""
    return without_folders(" ".join([program, *sys.argv[1:]]))


def without_folders(command: str) -> str:
    """Return a command with every absolute path shortened to its last name.

    >>> without_folders("python train.py --data /home/me/lgg --run-dir runs/x")
    'python train.py --data lgg --run-dir runs/x'
    """
    return " ".join(Path(word).name if os.path.isabs(word) else word for word in command.split())


def code_version() -> str:
    """Return the commit the code is at, `-dirty` with changes, or `unknown` outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_json(path: Path, content: dict) -> None:
    """Write a dict so that a reader sees the old or the new file, never half of one."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)
