"""What made a file: the commit of the code and the command line, without the folders of the machine."""

import re
import shlex
import subprocess
import sys

from unet.paths import CODE_FOLDER

_ROOT = r"(?:[A-Za-z]:)?[/\\]"  # how an absolute path begins


def command_line(program: str) -> str:
    """Return the running command, folders shortened to their names: where this machine keeps things is its own."""
    return " ".join([program, *(shlex.quote(without_folder(word)) for word in sys.argv[1:])])


def without_folder(word: str) -> str:
    """Return one word of a command with an absolute path shortened to its last name.

    >>> without_folder("--data=/home/me/my patients/lgg")
    '--data=lgg'
    """
    return re.sub(rf"^(--[\w-]+=)?{_ROOT}(?:.*[/\\])?(?=.)", r"\1", word)


def without_folders(text: str) -> str:
    """Return a command or a message with every absolute path shortened to its last name.

    A path with spaces is known as one only in quotes.

    >>> without_folders("python train.py --data /home/me/lgg --run-dir=/tmp/x --sizes 128,160")
    'python train.py --data lgg --run-dir=x --sizes 128,160'
    """
    quoted = rf"(?<=['\"]){_ROOT}(?:[^'\"]*[/\\])?(?=[^'\"])"
    return re.sub(rf"{quoted}|(?<![^\s=(]){_ROOT}(?:\S*[/\\])?(?=\S)", "", text)


def code_version() -> str:
    """Return the commit the code is at, with `-dirty` where files were changed, or `unknown` outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, cwd=CODE_FOLDER, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
