"""How it works, by trying: change the slice, let the network look again, compare."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from unet import metrics, overlay
from unet.data.volume import FLAIR, SEQUENCE_NAMES
from unet.language import mark, t
from unet.lessons.perturbation import Change
from unet.training.augmentation import Augmentation
from views.learn.lesson import Lesson, begin_section
from views.shared import legend
from views.shared.browser_state import one_of
from views.viewer.slices import window

MAX_RESULTS = 128  # kept for all visitors, 0.13 MB each
SEQUENCES = mark("Take a sequence away")
SMALL_DROP = 0.02  # of Dice: less is nothing to talk about
UNCHANGED = Change()


@dataclass(frozen=True)
class Outcome:
    """What became of the mask: its overlap with the reference, in [0, 1] or nan, and its area in pixels."""

    dice: float
    area: int

    @property
    def dice_text(self) -> str:
        """The Dice with three decimals; a dash for nan."""
        return "–" if math.isnan(self.dice) else f"{self.dice:.3f}"


def show_trials(lesson: Lesson, threshold: float) -> None:
    """Let the visitor choose what to do to the slice, and show what becomes of the mask."""
    begin_section("try")
    trial = st.pills(
        t("Change the slice"), TRIALS, default=SEQUENCES, format_func=t, key="learn_trial", required=True, wrap=True
    )
    trial = one_of(trial, TRIALS)
    if trial == SEQUENCES:
        _try_sequences(lesson, threshold)
    else:
        _try_change(lesson, threshold, _CONTROLS[trial])


def _show_colours(lesson: Lesson, threshold: float) -> None:
    _, name = _reference(lesson, threshold)
    legend.show_legend(
        ((t("predicted by the network"), overlay.PREDICTED_COLOUR), (f"outline: {name}", overlay.EXPECTED_COLOUR))
    )


def _try_change(lesson: Lesson, threshold: float, controls: Callable) -> None:
    """One change, with its controls; before and after."""
    left, middle, right = st.columns(3, gap="medium")
    with right:
        change, remark = controls(lesson, threshold)
        numbers = st.container(horizontal=True)
        st.markdown(remark)
    with left:
        before = _show_outcome(lesson, UNCHANGED, threshold, "Before")
    with middle:
        after = _show_outcome(lesson, change, threshold, "After")
    numbers.metric(
        t("Slice Dice"),
        after.dice_text,
        _difference(before.dice, after.dice),
        delta_color="off",
        help=t("Below: the change"),
    )
    moved = f"{after.area - before.area:+,}" if after.area != before.area else None
    numbers.metric(t("Predicted area, px"), f"{after.area:,}", moved, delta_color="off")
    _show_colours(lesson, threshold)


def _difference(before: float, after: float) -> str | None:
    """The change between the two numbers as they are shown."""
    if math.isnan(before) or math.isnan(after) or round(before, 3) == round(after, 3):
        return None
    return f"{round(after, 3) - round(before, 3):+.3f}"


def _cover(lesson: Lesson, threshold: float) -> tuple[Change, str]:
    height, width = lesson.head.shape
    mask = lesson.predicted(threshold)
    rows, columns = np.nonzero(mask if mask.any() else lesson.head if lesson.head.any() else np.ones_like(mask))
    side = st.slider(
        t("Side of the patch, px"), 2, max(4, width // 2), max(2, width // 6), key=f"patch_side_{lesson.key}"
    )
    column = st.slider(t("From left to right, px"), 0, width - 1, int(columns.mean()), key=f"patch_column_{lesson.key}")
    row = st.slider(t("From top to bottom, px"), 0, height - 1, int(rows.mean()), key=f"patch_row_{lesson.key}")
    return Change(patch=(row, column, side)), (
        t(
            "The patch has the mean grey value of the head. Cover a part of the lesion, then the "
            "healthy side. Does the network use only the covered region, or also its surroundings?"
        )
    )


def _light(lesson: Lesson, threshold: float) -> tuple[Change, str]:
    brightness = st.slider(t("Brightness, times"), 0.5, 2.0, 1.5, step=0.1, key="learn_brightness")
    contrast = st.slider(t("Contrast, times"), 0.5, 2.0, 1.0, step=0.1, key="learn_contrast")
    after = st.toggle(t("Normalise after the change"), key="learn_normalised_after")
    remark = (
        t(
            "The whole scan was changed and then normalised. Mean and SD changed too, so the "
            "network's input is the same as before."
        )
        if after
        else t(
            "Normalised with the statistics from before the change, so the network's input differs. "
            "The effect may be small, because training changed the brightness of slices too. Now "
            "switch normalisation on. What changes?"
        )
    )
    return Change(brightness=brightness, contrast=contrast, normalised_after=after), remark


def _move(lesson: Lesson, threshold: float) -> tuple[Change, str]:
    mirrored = st.toggle(t("Mirror left and right"), value=True, key="learn_mirrored")
    angle = st.slider(t("Turn by, degrees"), -180, 180, 0, step=5, key="learn_angle")
    return Change(mirrored=mirrored, angle=float(angle)), (
        t(
            "The expected mask moves with the picture. In training, slices were mirrored and turned "
            "by up to {rotation:g} degrees. Turn the head further. Does the network still find the "
            "lesion?",
            rotation=Augmentation().rotation,
        )
    )


def _noise(lesson: Lesson, threshold: float) -> tuple[Change, str]:
    noise = st.slider(t("Noise, SD of the head"), 0.0, 2.0, 0.5, step=0.1, key="learn_noise")
    return Change(noise=noise), (
        t(
            "Random noise in all three channels, as in a fast scan. In training it was at most {noise:g}.",
            noise=Augmentation().noise,
        )
    )


_CONTROLS = {
    mark("Cover a patch"): _cover,
    mark("Brightness and contrast"): _light,
    mark("Turn or mirror"): _move,
    mark("Noise"): _noise,
}
TRIALS = (SEQUENCES, *_CONTROLS)


def _try_sequences(lesson: Lesson, threshold: float) -> None:
    """Ask first, then take each sequence away in turn."""
    copies = [SEQUENCE_NAMES.index(name) for name in lesson.volume.missing_sequences]
    real = [channel for channel in range(len(SEQUENCE_NAMES)) if channel not in copies]
    if len(real) < 2:
        st.info(t("This patient has only FLAIR, in all three channels. There is no other sequence to replace it with."))
        return
    if copies:
        st.caption(
            t(
                "This patient has no {sequence} picture. A copy of FLAIR is used instead.",
                sequence=t(SEQUENCE_NAMES[copies[0]]),
            )
        )
    names = [t(SEQUENCE_NAMES[channel]) for channel in real]
    guess = st.radio(
        t("On which sequence does the network depend most here? Guess first."),
        names,
        index=None,
        horizontal=True,
        key=f"guess_{lesson.key}",
    )
    if guess is None:
        return
    said = st.container()
    columns = st.columns(1 + len(real), gap="small")
    with columns[0]:
        before = _show_outcome(lesson, UNCHANGED, threshold, t("All three"))
    without = {}
    for column, channel, name in zip(columns[1:], real, names, strict=True):
        source = next(other for other in (FLAIR, *real) if other != channel)  # as the data set does, where it can be
        with column:
            outcome = _show_outcome(lesson, Change(copied=(channel, source)), threshold, f"Without {name}")
            st.caption(t("A copy of {sequence} is used instead.", sequence=t(SEQUENCE_NAMES[source])))
        without[name] = outcome.dice
    said.markdown(answer(guess, before.dice, without))
    _show_colours(lesson, threshold)


def answer(guess: str, before: float, without: dict[str, float]) -> str:
    """Say what taking away costs most, and whether that was the guess.

    Args:
        guess: name of the sequence that the visitor chose.
        before: Dice with all sequences; nan where there is nothing to compare.
        without: Dice without each sequence, by its name; nan as above.

    >>> answer("FLAIR", 0.9, {"FLAIR": 0.1, "pre-contrast": 0.8})
    'You guessed **FLAIR**, which is right. Without it slice Dice falls most, from 0.900 to 0.100.'
    """
    drops = {name: before - dice for name, dice in without.items()}
    if any(map(math.isnan, drops.values())):
        return t("You guessed **{guess}**. This slice shows no lesion. Try a slice with one.", guess=guess)
    most = max(drops, key=drops.__getitem__)
    if drops[most] < SMALL_DROP:
        return t(
            "You guessed **{guess}**. On this slice the network does not depend on any single sequence.", guess=guess
        )
    if most == guess:
        return t(
            "You guessed **{guess}**, which is right. Without it slice Dice falls most, from {before:.3f} to "
            "{without:.3f}.",
            guess=guess,
            before=before,
            without=without[most],
        )
    return t(
        "You guessed **{guess}**, which is wrong. Without **{most}** slice Dice falls most, from {before:.3f} to "
        "{without:.3f}.",
        guess=guess,
        most=most,
        before=before,
        without=without[most],
    )


def _reference(lesson: Lesson, threshold: float) -> tuple[np.ndarray, str]:
    """Return what masks are compared with: what is expected, else what was predicted before any change."""
    if lesson.expected is not None and lesson.expected.any():
        return lesson.expected, "expected"
    return lesson.predicted(threshold), t("predicted before the change")


def _show_outcome(lesson: Lesson, change: Change, threshold: float, title: str) -> Outcome:
    """Show the changed slice with its mask, and the reference moved along as an outline."""
    probability = lesson.segmentation.probability[0]
    if change != UNCHANGED:
        probability = _looks_again(lesson.key, change, lesson)
    mask = lesson.segmentation.post_processing.mask(probability[np.newaxis], threshold)[0]
    reference = change.mask(_reference(lesson, threshold)[0])
    flair = change.image(lesson.image, lesson.statistics)[0][..., FLAIR]
    picture = overlay.grey_to_rgb(overlay.to_display(flair, window(lesson.volume, "FLAIR")))
    picture = overlay.draw_mask(picture, mask, overlay.PREDICTED_COLOUR)
    picture = overlay.draw_mask(picture, reference, overlay.EXPECTED_COLOUR, 1.0, outline=True)
    outcome = Outcome(metrics.dice_score(mask, reference), int(mask.sum()))
    st.markdown(f"**{title}**")
    st.image(
        picture, width="stretch", output_format="PNG", alt=t("{title}: FLAIR with the predicted mask", title=title)
    )
    st.markdown(t("Slice Dice **{dice_text}**, {area:,} px", dice_text=outcome.dice_text, area=outcome.area))
    return outcome


@st.cache_data(max_entries=MAX_RESULTS, show_spinner=mark("Computing the mask …"))
def _looks_again(key: str, change: Change, _lesson: Lesson) -> np.ndarray:
    """Return the probability for the changed slice, (height, width) float16; visitors take turns at the network."""
    image, statistics = change.image(_lesson.image, _lesson.statistics)
    return _lesson.segmenter.predict(image, statistics).probability.astype(np.float16)
