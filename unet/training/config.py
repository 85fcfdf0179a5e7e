"""What a training run is told: settings and learning-rate schedule. Knows no TensorFlow, so that a page may ask."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from unet.data.folds import FOLDS
from unet.language import mark, t
from unet.training.augmentation import NO_AUGMENTATION, Augmentation
from unet.training.records import is_number

SIDE_MULTIPLE = 16  # 2 ** unet.model.LEVELS
ARCHITECTURES = ("attention-unet", "unet", "attention-unet-context")  # keys of unet.model.ARCHITECTURES
LOSS_NAMES = ("bce-dice", "bce-both-dice", "focal-tversky")  # keys of unet.losses.LOSSES
WARM_UP = 0.05  # of the run, learning rate rising linearly
SCHEDULES = (mark("cosine"), mark("constant"))


def _whole(value: Any, least: int, most: int = 2**31 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _count(value: Any) -> bool:
    return value is None or _whole(value, 1)


def _one_of(names: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, t("one of {names}", names=", ".join(names))


# what each setting may be, and how to say it; what a file or a command line gives is not trusted
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "filters": (lambda value: _whole(value, 1, 1024), mark("a whole number from 1 to 1024")),
    "sizes": (
        lambda value: (
            isinstance(value, tuple)
            and 0 < len(value) <= 100
            and all(_whole(size, SIDE_MULTIPLE, 4096) and size % SIDE_MULTIPLE == 0 for size in value)
        ),
        f"one or more multiples of {SIDE_MULTIPLE}, such as 128,160",
    ),
    "epochs": (_count, mark("a whole number above 0")),
    "minutes": (lambda value: value is None or _positive(value), mark("a number above 0")),
    "batch_size": (lambda value: _whole(value, 1), mark("a whole number above 0")),
    "learning_rate": (_positive, mark("a number above 0")),
    "weight_decay": (lambda value: is_number(value) and value >= 0, mark("a number from 0")),
    "loss": _one_of(LOSS_NAMES),
    "seed": (lambda value: _whole(value, 0), mark("a whole number from 0")),
    "epoch_slices": (_count, mark("a whole number above 0")),
    "augmentation": (lambda value: isinstance(value, Augmentation), mark("an Augmentation")),
    "schedule": _one_of(SCHEDULES),
    "architecture": _one_of(ARCHITECTURES),
    "from_weights": (lambda value: value is None or (isinstance(value, str) and value != ""), mark("a name")),
    "slices": (_count, mark("a whole number above 0")),
    "fold": (lambda value: value is None or _whole(value, 0, FOLDS - 1), f"a fold from 0 to {FOLDS - 1}"),
    "all_patients": (lambda value: isinstance(value, bool), mark("true or false")),
}


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run. Give `slices`, `epochs` or `minutes`; a run ends at whichever comes first.

    Slices are the budget to prefer: the same number is the same run on any machine, which minutes are not.

    Attributes:
        filters: width of the first level.
        sizes: sides in pixels, one after the other, each for an equal part of the run: small is cheap.
        slices: length of the run in slices trained on, each draw counted.
        epochs: an epoch draws as many slices as the training patients have, or `epoch_slices`.
        minutes: training time, validation included.
        batch_size: slices in a step, of all workers together.
        learning_rate: peak, after warm-up and before the cosine; see `usual_learning_rate`.
        weight_decay: of AdamW: each step takes this share, times the learning rate, off every weight.
        loss: one of `LOSS_NAMES`.
        seed: of weights, drawing and augmentation.
        epoch_slices: length of an epoch, for short runs that want to be seen more often.
        augmentation: what happens to each drawn slice.
        schedule: `cosine` after the warm-up, or `constant`.
        architecture: one of `ARCHITECTURES`.
        from_weights: name of shipped weights or id of a run to start from; None starts from scratch.
        fold: of cross-validation (`unet.data.folds`), the one that validates; None trains on the published split.
        all_patients: train on all five folds; whom the curve shows has been trained on too.
    """

    filters: int = 32
    sizes: tuple[int, ...] = (128, 160, 192)
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    loss: str = "bce-dice"
    seed: int = 2026
    epoch_slices: int | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: str = "cosine"
    architecture: str = "attention-unet"
    from_weights: str | None = None
    slices: int | None = None
    fold: int | None = None
    all_patients: bool = False

    def __post_init__(self) -> None:
        for name, (fits, expected) in _RULES.items():
            if not fits(value := getattr(self, name)):
                raise ValueError(
                    t("{name} {value!r}; expected {expected}", name=name, value=value, expected=t(expected))
                )
        if self.slices is None and self.epochs is None and self.minutes is None:
            raise ValueError(t("none of slices, epochs and minutes is set. Set the length of the run by one of them."))
        if self.all_patients and self.fold is not None:
            raise ValueError(
                t("--fold leaves a fifth of the patients out; --all-patients leaves none out. Use one of them.")
            )

    @property
    def keeps_last(self) -> bool:
        """Whether the last weights are kept, not those that validate best.

        A fold is scored on the patients that validate it, so they must not choose among its epochs.
        """
        return self.fold is not None or self.all_patients

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate at a share of the run in [0, 1]."""
        if self.schedule == "constant":
            return self.learning_rate * min(1.0, max(0.01, progress / WARM_UP))
        return learning_rate_at(progress, self.learning_rate)


def learning_rate_at(progress: float, peak: float) -> float:
    """Return the learning rate at a share of the run in [0, 1]: linear warm-up, then a cosine to 1 % of the peak.

    >>> [round(learning_rate_at(p, 1.0), 3) for p in (0.0, 0.025, 0.05, 0.525, 1.0)]
    [0.01, 0.5, 1.0, 0.505, 0.01]
    """
    if progress < WARM_UP:
        return peak * max(0.01, progress / WARM_UP)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))
    return peak * (0.01 + 0.99 * cosine)


def usual_learning_rate(filters: int) -> float:
    """Return the peak that suits a width: wide networks take smaller steps.

    >>> usual_learning_rate(32), usual_learning_rate(64)
    (0.001, 0.0005)
    """
    return 1e-3 if filters < 64 else 5e-4


def config_from_dict(stored: Any) -> TrainingConfig:
    """Return the settings that `dataclasses.asdict` turned into JSON.

    Raises:
        ValueError: they are not such settings; the message names the first that is not.
    """
    values = _known(stored, TrainingConfig, "setting")
    # a change that an older version did not know did not happen in its runs
    changes = asdict(NO_AUGMENTATION) | _known(values.get("augmentation"), Augmentation, "augmentation")
    values["augmentation"] = Augmentation(**{name: _tuple(value) for name, value in changes.items()})
    return TrainingConfig(**{**values, "sizes": _tuple(values.get("sizes"))})


def _known(stored: Any, kind: type, what: str) -> dict[str, Any]:
    """Return the stored fields of a dataclass, where all are fields of it."""
    if not isinstance(stored, dict):
        raise ValueError(t("{stored!r:.60}; expected an object, a value for each {what}", stored=stored, what=what))
    names = [one.name for one in fields(kind)]
    if unknown := [name for name in stored if name not in names]:
        raise ValueError(
            t("{what} {unknown!r:.60}; expected some of {names}", what=what, unknown=unknown[0], names=", ".join(names))
        )
    return dict(stored)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def augmentation_without(names: list[str]) -> Augmentation:
    """Return the usual augmentation with the named parts switched off; `all` switches off every one.

    Raises:
        ValueError: a name that is none of `Augmentation`'s.

    >>> augmentation_without(["flip"]).flip, augmentation_without(["flip"]).rotation
    (0, 20.0)
    """
    if "all" in names:
        return NO_AUGMENTATION
    off = asdict(NO_AUGMENTATION)
    if unknown := [name for name in names if name not in off]:
        raise ValueError(
            t("augmentation {unknown!r}; expected all, or some of {off}", unknown=unknown[0], off=", ".join(off))
        )
    return replace(Augmentation(), **{name: off[name] for name in names})


OVERFIT = {"sizes": (128,), "epoch_slices": 64, "augmentation": NO_AUGMENTATION}  # of the overfit check
OVERFIT_EPOCHS = 60
