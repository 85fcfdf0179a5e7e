"""How it works, from the probability to a mask and from the mask to a score, by hand."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from unet import metrics, overlay
from unet.language import mark, t
from unet.lessons.perturbation import grown, half_as_wide, shifted
from unet.overlay import EXPECTED_COLOUR, PREDICTED_COLOUR
from unet.reports.charts import GREY, Chart, Series
from views.learn.inside import Inside, show_up
from views.learn.lesson import Lesson, begin_section
from views.shared import legend
from views.shared.browser_state import one_of
from views.shared.charts import show_chart
from views.viewer.simple_viewer import MAP_OPACITY

FURTHEST = 20  # pixels that the mask can be moved or grown
UNSURE = (0.1, 0.9)
_SPOILS: dict[str, tuple[Callable, str]] = {
    mark("Move it"): (shifted, mark("Pixels to the right; below 0 to the left")),
    mark("Grow or shrink it"): (grown, mark("Pixels on every side; below 0 it shrinks")),
}


def show_mask(lesson: Lesson, inside: Inside | None) -> float:
    """Show the probability, and the mask at the threshold that the visitor chooses; return it."""
    begin_section("mask")
    if inside:
        show_up(lesson, inside)
    probability = lesson.segmentation.probability[0].astype(np.float32)
    left, middle, right = st.columns(3, gap="medium")
    with left:
        st.image(
            overlay.draw_values(lesson.picture(), probability, MAP_OPACITY),
            width="stretch",
            output_format="PNG",
            alt=t("Probability of lesion over the slice"),
        )
        legend.show_scale(150)
    with right:
        threshold = st.slider(
            t("Threshold"),
            0.05,
            0.95,
            lesson.weights.threshold,
            step=0.05,
            key="learn_threshold",
            help=t("The network does not run again. The same probabilities are compared with another value."),
        )
        mask = lesson.predicted(threshold)
        unsure = int(((probability > UNSURE[0]) & (probability < UNSURE[1])).sum())
        st.metric(t("Pixels in the mask"), f"{int(mask.sum()):,}")
        st.metric(
            t("Unsure: pixels between {low:.0%} and {high:.0%}", low=UNSURE[0], high=UNSURE[1]),
            f"{unsure:,}",
        )
        st.markdown(
            t(
                "The last layer turns the channels into one number for every pixel: the probability of "
                "lesion. A pixel belongs to the **mask** where it is at least {threshold:.0%}. Where the "
                "network is sure, the threshold matters little. Only the pixels in between change.",
                threshold=threshold,
            )
        )
    with middle:
        st.image(
            overlay.draw_mask(lesson.picture(), mask, PREDICTED_COLOUR),
            width="stretch",
            output_format="PNG",
            alt=t("Predicted mask at a threshold of {threshold:g}", threshold=threshold),
        )
        legend.show_legend(((t("predicted by the network"), PREDICTED_COLOUR),))
    return threshold


def _say_no_lesion(found: int) -> None:
    """Say what Dice is on a slice without an expected lesion, where the network marks so many pixels."""
    st.info(
        t(
            "The expert marked no lesion on this slice. The network marks {found:,} pixels. Each is a false positive, "
            "so Dice is 0. Choose a slice with a lesion to see how Dice is computed.",
            found=found,
        )
        if found
        else t(
            "The expert marked no lesion on this slice. The network marks none either. Dice would be 0 / 0, so such "
            "slices are left out of averages. Choose a slice with a lesion to see how Dice is computed."
        )
    )


def show_score(lesson: Lesson, threshold: float) -> None:
    """Show how Dice comes about, and what becomes of it when the mask is moved, grown or shrunk."""
    begin_section("dice")
    expected, predicted = lesson.expected, lesson.predicted(threshold)
    if expected is None:
        st.info(t("This slice has no expected mask, so it cannot be scored. Try another slice."))
        return
    if not expected.any():
        _say_no_lesion(int(predicted.sum()))
        return
    left, right = st.columns([2, 3], gap="medium")
    with right:
        how = one_of(
            st.segmented_control(
                t("Change the predicted mask"),
                list(_SPOILS),
                default="Move it",
                format_func=t,
                key="learn_spoil",
                required=True,
            ),
            _SPOILS,
        )
        spoil, label = _SPOILS[how]
        pixels = st.slider(t(label), -FURTHEST, FURTHEST, 0, key="learn_pixels")
        spoiled = spoil(predicted, pixels)
        _formula(spoiled, expected)
    with left:
        st.image(
            overlay.draw_errors(lesson.picture(), spoiled, expected),
            width="stretch",
            output_format="PNG",
            alt=t("Found, false-positive and missed pixels; the mask changed by {pixels} pixels", pixels=pixels),
        )
        legend.show_legend(legend.ERRORS)
        st.caption(
            t(
                "The expected mask outlines **FLAIR abnormality**: the region that an expert found "
                "abnormally bright on FLAIR. Not every pixel of it has to be tumour."
            )
        )
    show_chart(
        _curve(predicted, expected, spoil, pixels),
        t(
            "The dotted line shows the same pair of masks at half the width. The same few pixels are "
            "a larger part of a small lesion, so its Dice falls more. Compare Dice between lesions "
            "of one size, or over whole volumes."
        ),
    )


def _formula(predicted: np.ndarray, expected: np.ndarray) -> None:
    """The formulas of Dice and IoU with this slice's numbers put in."""
    found = int((predicted & expected).sum())
    false_positive, missed = int(predicted.sum()) - found, int(expected.sum()) - found
    dice, iou = metrics.dice_score(predicted, expected), metrics.iou_score(predicted, expected)
    names = mark("Dice"), mark("IoU"), mark("found"), mark("false positive"), mark("missed")
    dice_name, iou_name, hit, extra, lost = (rf"\text{{{t(name)}}}" for name in names)
    st.latex(
        rf"\begin{{aligned}}{dice_name} &= \frac{{2 \cdot {hit}}}{{2 \cdot {hit} + {extra} + {lost}}} \\[0.8em]"
        rf"&= \frac{{2 \cdot {found}}}{{2 \cdot {found} + {false_positive} + {missed}}} = \mathbf{{{dice:.3f}}}"
        r"\\[1.6em]"
        rf"{iou_name} &= \frac{{{hit}}}{{{hit} + {extra} + {lost}}} \\[0.8em]"
        rf"&= \frac{{{found}}}{{{found} + {false_positive} + {missed}}} = \mathbf{{{iou:.3f}}}\end{{aligned}}"
    )
    st.caption(
        t(
            "Found is also called true positive, and missed is called false negative. IoU "
            "(intersection over union) is never larger than Dice, and ranks masks in the same order."
        )
    )


def _curve(predicted: np.ndarray, expected: np.ndarray, spoil: Callable, pixels: int) -> Chart:
    """Dice for every amount of spoiling, of this lesion and of one half as wide."""
    steps = list(range(-FURTHEST, FURTHEST + 1))
    small = half_as_wide(predicted), half_as_wide(expected)
    here = [round(metrics.dice_score(spoil(predicted, step), expected), 4) for step in steps]
    half = [round(metrics.dice_score(spoil(small[0], step), small[1]), 4) for step in steps]
    half = [None if np.isnan(value) else value for value in half]  # a few pixels may vanish altogether
    now = here[pixels + FURTHEST]
    return Chart(
        "spoiled_dice",
        t("Slice Dice against the change of the mask"),
        t("pixels"),
        t("slice Dice"),
        [
            Series(t("this lesion"), steps, here, colour=EXPECTED_COLOUR),
            Series(t("the same, half as wide"), steps, half, colour=GREY, dashed=True),
            Series(t("now"), [pixels], [now], "points", PREDICTED_COLOUR),
        ],
        [
            {t("pixels"): step, t("this lesion"): a, t("half as wide"): b}
            for step, a, b in zip(steps, here, half, strict=True)
        ],
        y_range=(0, 1.02),
    )
