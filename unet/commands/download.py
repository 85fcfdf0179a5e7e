"""`python -m unet download`: fetch the data set."""

import argparse
import sys
from pathlib import Path

from unet.language import t


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("download", help=t("fetch the data set from Kaggle"))
    command.add_argument("--output", type=Path, metavar="DIR", help=t("default: the kagglehub cache"))
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Fetch the data set, with a line of progress."""
    from unet.data.download import download_dataset

    def show(share: float, message: str) -> None:
        print(f"\r{share:4.0%}  {message:60}", end="", file=sys.stderr, flush=True)

    print(t("\nThe data set is in {folder}", folder=download_dataset(args.output, show)))
