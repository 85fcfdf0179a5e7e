"""Arguments that several commands share, and the types of their values."""

import argparse
import re
from pathlib import Path

from unet.language import t
from unet.weights.network import DEFAULT_WEIGHTS


def add_data(command: argparse.ArgumentParser) -> None:
    """Add `--data`, the folder with the patients."""
    command.add_argument("--data", help=t("folder with the patients; default: the one the app would find"))


def add_weights(command: argparse.ArgumentParser) -> None:
    """Add `--weights`, a name or a folder."""
    command.add_argument("--weights", default=DEFAULT_WEIGHTS, help=t("name in weights/, or a folder"))


def add_engine(command: argparse.ArgumentParser) -> None:
    """Add `--engine`, what runs the network."""
    command.add_argument("--engine", default="auto", choices=["auto", "openvino", "keras"])


def new_file(text: str) -> Path:
    """Return the path of a file to write; a missing folder is refused before the work and not after it.

    Raises:
        ArgumentTypeError: its folder does not exist.
    """
    if not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(
            t("{text}: the folder {parent} does not exist. Create it first.", text=text, parent=Path(text).parent)
        )
    return Path(text)


def share(text: str) -> float:
    """Return a number from 0 to 1.

    Raises:
        ArgumentTypeError: it is none.

    >>> share("0.43")
    0.43
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(t("{text}: expected a number from 0 to 1, such as 0.5", text=text))
    return value


def folds(text: str) -> list[int]:
    """Return the numbers of folds, sorted, each once.

    Raises:
        ArgumentTypeError: something else than 0 to 4 with commas.

    >>> folds("1,0,1")
    [0, 1]
    """
    if not re.fullmatch("[0-4](,[0-4])*", text):
        raise argparse.ArgumentTypeError(t("{text}: expected numbers from 0 to 4 with commas, such as 0,1", text=text))
    return sorted({int(number) for number in text.split(",")})
