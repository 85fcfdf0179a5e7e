"""The flags of `train.py` for settings: one for each field of `TrainingConfig`, made from the fields.

A flag that is not given leaves its field out, so that a default may depend on other settings.
"""

import argparse
from dataclasses import fields
from types import NoneType
from typing import Any, get_args

from unet.language import mark, t
from unet.training.augmentation import Augmentation
from unet.training.config import ARCHITECTURES, LOSS_NAMES, SCHEDULES, TrainingConfig, augmentation_without

# group → field → what `--help` says
_HELP = {
    "data": {
        "fold": mark("validate on fold K of five (0 to 4), train on the others"),
        "all_patients": mark("train on all patients of the five folds, for a release"),
    },
    "network": {
        "architecture": f"{' or '.join(ARCHITECTURES)}; default: the first, or that of --from-weights",
        "filters": mark("width; default: 32, or that of --from-weights"),
        "from_weights": mark("fine-tune: a name in weights/, a run, or a folder; widened to --filters"),
    },
    "recipe": {
        "sizes": mark("sides in pixels, one after the other; default: 128,160,192"),
        "slices": mark("length of the run: train on so many slices …"),
        "epochs": mark("… or on so many epochs …"),
        "minutes": mark("… and no longer than so many minutes"),
        "epoch_slices": mark("length of an epoch; default: as many as the patients have"),
        "batch_size": mark("of all devices together; default: 8"),
        "learning_rate": mark("peak; default: 1e-3, from 64 filters 5e-4"),
        "weight_decay": mark("of AdamW, times the learning rate; default: 1e-4"),
        "schedule": f"{' or '.join(SCHEDULES)}; default: the first",
        "loss": f"{' or '.join(LOSS_NAMES)}; default: the first",
        "augmentation": mark("augmentation left out: all, or flip,noise …"),
        "seed": mark("of weights, drawing and augmentation; default: 2026"),
    },
}


def flag(name: str) -> str:
    """Return the flag of a setting.

    >>> flag("batch_size"), flag("augmentation")
    ('--batch-size', '--without')
    """
    return "--without" if name == "augmentation" else f"--{name.replace('_', '-')}"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting."""
    known = {one.name: one for one in fields(TrainingConfig)}
    for title, helps in _HELP.items():
        group = parser.add_argument_group(title)
        for name, words in helps.items():
            kind: Any = known[name].type
            if kind is bool:
                group.add_argument(flag(name), dest=name, action="store_const", const=True, help=words)
                continue
            read = {"sizes": _sizes, "augmentation": _augmentation}.get(name) or next(
                one for one in get_args(kind) or [kind] if one is not NoneType
            )
            group.add_argument(flag(name), dest=name, type=read, metavar=name.upper(), help=words)


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the command line gives, by field."""
    values = {one.name: getattr(args, one.name) for one in fields(TrainingConfig)}
    return {name: value for name, value in values.items() if value is not None}


def settings_as_flags(config: TrainingConfig) -> list[str]:
    """Return the flags that `given_settings` reads the same settings from.

    Raises:
        ValueError: an augmentation that is neither usual nor off; only a file for `--config` can say it.

    >>> settings_as_flags(TrainingConfig(filters=8, sizes=(64, 96), epochs=2))[:3]
    ['--filters=8', '--sizes=64,96', '--epochs=2']
    """
    words = []
    for one in fields(TrainingConfig):
        value: Any = getattr(config, one.name)
        if one.name == "sizes":
            value = ",".join(map(str, value))
        if one.name == "augmentation":
            off = config.augmentation.switched_off()
            if value != augmentation_without(off):
                raise ValueError(
                    t("{value} cannot be given as flags. Write the settings into a file for --config.", value=value)
                )
            value = ",".join(off)
        if value is True:
            words.append(flag(one.name))
        elif value is not None and value is not False and value != "":  # 0 is a fold, a seed, a weight decay
            words.append(f"{flag(one.name)}={value}")
    return words


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(t("{text!r}; expected numbers such as 128,160", text=text)) from None


def _augmentation(text: str) -> Augmentation:
    try:
        return augmentation_without([name for name in text.split(",") if name])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
