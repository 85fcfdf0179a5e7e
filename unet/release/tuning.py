"""Choose threshold, limits for small lesions and flip averaging, on validation patients only.

A dozen patients cannot tell small gains from luck, and the best of a hundred settings is always lucky. So the plain
setting (0.5, everything stays, one pass) is left only step by step, one thing at a time, and only where the gain in
volume Dice is clear: its bootstrap interval, paired by patient, lies above zero, and the gain is still there when the
patient who gains most is left out. A change by which no patient loses may be taken for fewer false positives on slices
without a lesion, but never a rule that can drop a large lesion: where it drops the wrong one, the lesion is gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from unet.evaluation.evaluate import rounded
from unet.evaluation.protocol import Passes
from unet.metrics import bootstrap_interval, volume_dice
from unet.postprocessing import PLAIN, PostProcessing

THRESHOLDS = tuple(round(0.3 + 0.05 * n, 2) for n in range(10))
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)  # of the largest lesion
SMALL_LESIONS = (0, 50, 100, 200, 400)  # voxels; the smallest lesion among the training patients has 1,870
MIN_GAIN = 0.005  # in mean volume Dice: less would not be noticed, and a dozen patients cannot show it
MIN_FEWER_ALARMS = 0.005  # of the empty slices
SAME_DICE = 0.001  # a patient whose volume Dice falls by less has lost nothing that can be seen
EQUAL = 0.005  # gains that differ by less than this are about equal


@dataclass(frozen=True)
class Setting:
    """Everything that is chosen; the default is the plain one."""

    threshold: float = 0.5
    rule: PostProcessing = PLAIN

    def __str__(self) -> str:
        return f"{self.threshold:.2f}, {self.rule}".replace(", none", "")

    def neighbours(self) -> list["Setting"]:
        """Return the settings that differ from this one in a single choice."""
        rule = self.rule
        found = [replace(self, threshold=threshold) for threshold in THRESHOLDS]
        found += [replace(self, rule=replace(rule, min_share=share)) for share in SHARES]
        found += [replace(self, rule=replace(rule, min_voxels=voxels)) for voxels in SMALL_LESIONS]
        found += [replace(self, rule=replace(rule, flip_averaging=not rule.flip_averaging))]
        return [setting for setting in found if setting != self]


@dataclass
class Trial:
    """One setting on every patient: volume Dice, and false positives among the slices without a lesion."""

    setting: Setting
    dice: list[float] = field(default_factory=list)
    alarms: list[int] = field(default_factory=list)
    empty_slices: list[int] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean volume Dice of the patients that have one, in [0, 1]."""
        return float(np.nanmean(self.dice))

    @property
    def alarm_rate(self) -> float:
        """Share of the slices without a lesion that get a mask, in [0, 1]; 0 where there are none."""
        empty = sum(self.empty_slices)
        return sum(self.alarms) / empty if empty else 0.0


@dataclass(frozen=True)
class Step:
    """A change that was considered: `after` against `before`, paired by patient."""

    before: Trial
    after: Trial
    taken: bool = False

    @property
    def gain(self) -> float:
        """Mean difference of volume Dice over the patients; negative where the change costs."""
        return float(np.nanmean(self._dice_gains()))

    @property
    def gain_interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the gain, from low to high."""
        return bootstrap_interval(self._dice_gains())

    @property
    def gain_without_luckiest(self) -> float:
        """Mean gain of all patients but the one who gains most."""
        gains = self._dice_gains()
        gains = np.sort(gains[np.isfinite(gains)])
        return float(gains[:-1].mean()) if len(gains) > 1 else 0.0

    @property
    def fewer_alarms(self) -> float:
        """By how much the share of false positives falls; negative where it rises."""
        return self.before.alarm_rate - self.after.alarm_rate

    @property
    def is_clear(self) -> bool:
        """Whether the change earns its place."""
        better = min(self.gain, self.gain_without_luckiest) >= MIN_GAIN and self.gain_interval[0] > 0
        alarms = zip(self.before.alarms, self.after.alarms, strict=True)
        nobody_loses = np.nanmin(self._dice_gains()) > -SAME_DICE and all(after <= before for before, after in alarms)
        quieter = self.fewer_alarms >= MIN_FEWER_ALARMS and self.gain >= 0 and nobody_loses
        return better or (quieter and not self.after.setting.rule.min_share)

    def _dice_gains(self) -> np.ndarray:
        return np.array(self.after.dice) - np.array(self.before.dice)


@dataclass(frozen=True, eq=False)
class _Patient:
    """What tuning keeps of a patient: 10 MB for 30 slices, so that only settings within reach need be tried."""

    direct: np.ndarray
    averaged: np.ndarray
    expected: np.ndarray
    scored: np.ndarray


class Tuning:
    """The network runs once over the patients; every setting is then tried on what it said."""

    def __init__(self) -> None:
        self.patients: list[_Patient] = []
        self.trials: dict[Setting, Trial] = {}

    def add(self, passes: Passes) -> None:
        """Take in a patient."""
        volume = passes.volume
        self.patients.append(_Patient(passes.direct, passes.averaged, volume.expected_mask, volume.has_mask))

    def trial(self, setting: Setting) -> Trial:
        """Return how a setting does on every patient."""
        if setting not in self.trials:
            trial = self.trials[setting] = Trial(setting)
            for patient in self.patients:
                probability = patient.averaged if setting.rule.flip_averaging else patient.direct
                mask = setting.rule.mask(probability, setting.threshold)
                empty = patient.scored & ~patient.expected.any(axis=(1, 2))
                trial.dice.append(volume_dice(mask, patient.expected, patient.scored))
                trial.alarms.append(int(mask[empty].any(axis=(1, 2)).sum()))
                trial.empty_slices.append(int(empty.sum()))
        return self.trials[setting]

    def search(self) -> list[Step]:
        """Return every change that was considered, in order; the last one taken leads to the choice."""
        here, steps = self.trial(Setting()), []
        while True:
            around = [Step(here, self.trial(setting)) for setting in here.setting.neighbours()]
            clear = [step for step in around if step.is_clear]
            # of about equal ones the first: neighbours come with the plainer before the stronger
            best = max(clear, key=lambda step: round((step.gain + step.fewer_alarms) / EQUAL), default=None)
            steps += [replace(step, taken=step is best) for step in around]
            if best is None:
                return steps
            here = best.after


def chosen(steps: Iterable[Step]) -> Setting:
    """Return where the search ended: the plain setting if no step was taken."""
    return next((step.after.setting for step in reversed(list(steps)) if step.taken), Setting())


def table(steps: list[Step]) -> str:
    """Return what was tried as text, a line a change, under the setting it starts from."""
    lines, start = [], None
    for step in steps:
        if step.before is not start:
            start = step.before
            lines += [
                "",
                f"from {start.setting}: mean volume Dice {start.mean:.4f}, "
                f"false positives on {start.alarm_rate:.1%} of {sum(start.empty_slices)} empty slices",
                f"  {'change to':74} {'Dice':6} {'difference':10}  {'95 % interval':18} {'but one':>8} {'alarms':6}",
            ]
        low, high = step.gain_interval
        mark = "*" if step.taken else " "
        lines.append(
            f"{mark} {step.after.setting!s:74} {step.after.mean:.4f} {step.gain:+10.4f}  {low:+.4f} to {high:+.4f} "
            f"{step.gain_without_luckiest:+8.4f} {step.after.alarm_rate:6.1%}"
        )
    lines += ["", "* taken; but one: the difference without the patient who gains most; alarms: on empty slices"]
    return "\n".join(lines[1:])


def as_config(tuning: Tuning, steps: list[Step]) -> dict:
    """Return what config.json keeps of a tuning: the settings, and what they bring over the plain one."""
    setting = chosen(steps)
    whole = Step(tuning.trial(Setting()), tuning.trial(setting))
    return {
        "threshold": setting.threshold,
        "post_processing": setting.rule.as_config(),
        "tuning": {
            "patients": len(tuning.patients),
            "settings_tried": len(tuning.trials),
            "plain_dice": rounded(whole.before.mean),
            "chosen_dice": rounded(whole.after.mean),
            "difference": rounded(whole.gain),
            "difference_ci95": [rounded(bound) for bound in whole.gain_interval],
            "plain_false_alarms": rounded(whole.before.alarm_rate),
            "chosen_false_alarms": rounded(whole.after.alarm_rate),
        },
    }
