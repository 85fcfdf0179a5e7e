"""python -m unet COMMAND: all that the project does without the app, apart from a single training run."""

import argparse
import sys

from unet.commands import benchmark, cross_validate, download, evaluate, predict, release
from unet.data.slice_files import DataError
from unet.inference.engines import InferenceError
from unet.jobs.runners import RunnerError
from unet.language import t
from unet.scans.scan import IngestError
from unet.training.endings import TrainingError
from unet.weights.arrays import WeightsError


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments of a command, its function as `run` and what is left for train.py as `recipe`."""
    parser = argparse.ArgumentParser(prog="python -m unet", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (predict, evaluate, release, cross_validate, benchmark, download):
        module.add_to(commands)
    args, args.recipe = parser.parse_known_args(argv)
    if args.recipe and args.run is not cross_validate.run:
        parser.error(t("unrecognized arguments: {recipe}", recipe=" ".join(args.recipe)))
    return args


def main(argv: list[str] | None = None) -> int:
    """Run a command and return the exit status; errors that name a remedy are printed without a traceback."""
    args = parse_arguments(argv)
    try:
        args.run(args)
    except (DataError, IngestError, InferenceError, WeightsError, RunnerError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
