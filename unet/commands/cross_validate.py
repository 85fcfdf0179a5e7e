"""`python -m unet cross-validate`: train the networks of the five folds, or resume them."""

import argparse
from pathlib import Path

from unet.commands.arguments import add_data, folds
from unet.language import t


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "cross-validate",
        allow_abbrev=False,  # --fold is an argument of train.py
        help=t("train the networks of the five folds, or resume them"),
        usage="%(prog)s --run-dir DIR [--folds 0,1] [--data DIR] [--submit ray://HOST [--gpus N]] [OF train.py …]",
    )
    command.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help=t("folder of the five runs"))
    command.add_argument("--folds", type=folds, default="0,1,2,3,4", help=t("some of 0 to 4; default: %(default)s"))
    add_data(command)
    command.add_argument("--submit", metavar="ray://HOST", help=t("submit each fold to a Ray cluster and return"))
    command.add_argument("--gpus", type=float, default=0, metavar="N", help=t("GPUs of the cluster for each fold"))
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train the folds here, one after the other, or submit them."""
    from unet.jobs import cross_validation

    run_dir = args.run_dir.expanduser().resolve()
    recipe = cross_validation.keep_recipe(run_dir, args.recipe)
    if args.data:
        recipe = [*recipe, f"--data={Path(args.data).expanduser().resolve()}"]
    if not args.submit:
        cross_validation.run_folds(run_dir, recipe, args.folds)
        return
    for fold, job in cross_validation.submit_folds(run_dir, recipe, args.folds, args.submit, args.gpus).items():
        print(t("fold {fold}: submitted as {job}; follow it with: ray job logs --follow {job}", fold=fold, job=job))
