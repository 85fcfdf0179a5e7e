"""From a training run to shipped weights: `tune`, `quantise`, `card`, `release`, and `compare` two evaluations."""

import argparse
from pathlib import Path

from unet.commands.arguments import add_data, add_engine, add_weights
from unet.data.patients import find_data_root, list_patients
from unet.data.slice_files import DataError
from unet.data.splits import published_splits
from unet.language import t
from unet.weights.network import find_weights


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    command = commands.add_parser("tune", help=t("choose threshold and post-processing on the validation patients"))
    add_data(command)
    command.add_argument("--dry-run", action="store_true", help=t("print only; do not change config.json"))
    add_weights(command)
    add_engine(command)
    command.set_defaults(run=tune)

    command = commands.add_parser("quantise", help=t("make the int8 network, if its accuracy stays the same"))
    add_data(command)
    add_weights(command)
    command.set_defaults(run=quantise)

    command = commands.add_parser("card", help=t("write a model card from config.json and the evaluations beside it"))
    command.add_argument(
        "--run-dir", type=Path, metavar="DIR", help=t("take the description of the training from this run")
    )
    command.add_argument("--note", action="append", default=[], help=t("a sentence for the card"))
    add_weights(command)
    command.set_defaults(run=card)

    command = commands.add_parser(
        "release", help=t("from a training run to shipped weights: copy, tune, evaluate, card")
    )
    command.add_argument(
        "--run-dir", type=Path, metavar="DIR", help=t("run to ship; default: what is in weights/ already")
    )
    add_data(command)
    command.add_argument(
        "--splits", default="validation,phantoms,test", help=t("what to evaluate; default: %(default)s")
    )
    command.add_argument("--note", action="append", default=[], help=t("a sentence for the card"))
    command.add_argument("--no-tune", dest="tune", action="store_false", help=t("keep the settings in config.json"))
    add_weights(command)
    add_engine(command)
    command.set_defaults(run=release)

    command = commands.add_parser("compare", help=t("two evaluations side by side, paired by patient"))
    command.add_argument("first", type=Path, metavar="A.json")
    command.add_argument("second", type=Path, metavar="B.json")
    command.set_defaults(run=compare)


def tune(args: argparse.Namespace) -> None:
    """Choose threshold and post-processing."""
    from unet.release.ship import tune

    tune(args.weights, args.data, args.engine, write=not args.dry_run)


def quantise(args: argparse.Namespace) -> None:
    """Make the int8 network of weights.

    Raises:
        DataError: no patients of the published splits are there.
    """
    from unet.release.quantise import quantise as make_int8

    patients = {patient.patient_id: patient for patient in list_patients(find_data_root(args.data))[0]}
    train, validation = (
        [patients[patient_id] for patient_id in published_splits()[split] if patient_id in patients]
        for split in ("train", "validation")
    )
    if not train or not validation:
        raise DataError(t("quantising needs patients of the published training and validation splits. Check --data."))
    entry = make_int8(find_weights(args.weights), train, validation)
    before, after = entry["validation_dice_before"], entry["validation_dice"]
    print(t("validation, mean volume Dice: {before} in float, {after} in int8", before=before, after=after))


def card(args: argparse.Namespace) -> None:
    """Write the card of weights."""
    from unet.release.ship import write_card

    write_card(args.weights, args.run_dir, args.note)


def release(args: argparse.Namespace) -> None:
    """Ship a training run."""
    from unet.release.ship import release

    release(args.weights, args.run_dir, args.data, args.splits.split(","), args.engine, args.note, args.tune)


def compare(args: argparse.Namespace) -> None:
    """Print two evaluations side by side."""
    from unet.reports import markdown, results

    print(markdown.comparison(results.read_report(args.first), results.read_report(args.second)))
