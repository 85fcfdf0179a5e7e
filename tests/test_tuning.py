"""Settings are left alone unless the gain is clear."""

from types import SimpleNamespace

import numpy as np

from unet.postprocessing import PostProcessing
from unet.release import tuning
from unet.release.tuning import Setting, Tuning


def passes(specks=(), second=None, mirrored=None):
    """A patient of four slices: a lesion of 100 voxels at 0.8 on slice 2, and what is asked for beside it.

    Args:
        specks: probability of false positives of 9 voxels, one a slice from the first on, in a corner.
        second: probability of a second, true lesion of 36 voxels.
    """
    expected, direct = np.zeros((4, 32, 32), np.uint8), np.zeros((4, 32, 32), np.float16)
    expected[1, :10, :10] = 1
    direct[1, :10, :10] = 0.8
    if second:
        expected[3, 20:26, :6] = 1
        direct[3, 20:26, :6] = second
    for index, probability in enumerate(specks):
        direct[2 * index, 28:31, 28:31] = probability
    volume = SimpleNamespace(expected_mask=expected, has_mask=np.ones(4, bool))
    return SimpleNamespace(volume=volume, direct=direct, averaged=direct if mirrored is None else mirrored)


def tuned(*patients):
    found = Tuning()
    for patient in patients:
        found.add(patient)
    return found, found.search()


def test_nothing_to_gain_leaves_the_plain_setting():
    found, steps = tuned(*[passes() for _ in range(4)])
    assert tuning.chosen(steps) == Setting()
    assert not any(step.taken for step in steps)
    config = tuning.as_config(found, steps)
    assert (config["threshold"], config["post_processing"]["min_share"]) == (0.5, 0)
    assert config["tuning"]["difference"] == 0


def test_a_clear_gain_is_taken():
    found, steps = tuned(*[passes(specks=(0.6,)) for _ in range(5)])
    chosen = tuning.chosen(steps)
    assert found.trial(chosen).mean == 1.0
    # a threshold of 0.65, a limit of 50 voxels and a share of the largest all remove it; the first of equals stays
    assert chosen == Setting(0.65)
    assert tuning.as_config(found, steps)["tuning"]["difference_ci95"][0] > 0


def test_one_lucky_patient_does_not_decide():
    _, steps = tuned(passes(specks=(0.9, 0.9), second=0.7), *[passes() for _ in range(6)])
    largest = next(step for step in steps if step.after.setting.rule == PostProcessing(1.0))
    assert not largest.is_clear
    _, steps = tuned(passes(specks=(0.6,)), *[passes() for _ in range(6)])
    raised = next(step for step in steps if step.after.setting.threshold == 0.65)
    assert raised.gain > tuning.MIN_GAIN and raised.gain_without_luckiest == 0


def test_no_share_of_the_largest_is_chosen_for_fewer_alarms_alone():
    _, steps = tuned(passes(specks=(0.9,)), *[passes() for _ in range(6)])
    chosen = tuning.chosen(steps)
    assert chosen.rule.min_share == 0
    assert chosen.rule.min_voxels == 50  # nobody loses by it, and a false positive is gone


def test_table_marks_what_was_taken():
    _, steps = tuned(*[passes(specks=(0.6,)) for _ in range(5)])
    text = tuning.table(steps)
    assert next(line for line in text.splitlines() if line.startswith("*")).split()[1] == "0.65"
    assert "false positives on 50.0%" not in text.splitlines()[-1]
    assert text.startswith("from 0.50: mean volume Dice 0.9569, false positives on 33.3% of 15 empty slices")
