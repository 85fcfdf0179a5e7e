"""The numbers of the simple viewer: the scores of a slice and of all slices, and their sizes."""

import math

import numpy as np
import streamlit as st

from unet import metrics
from unet.data.volume import Volume
from unet.language import mark, t

VOLUME_DICE = (mark("Volume Dice"), mark("Overlap over all slices of the patient: the number to compare."))
ALL_DICE = (mark("Dice, all slices"), mark("Overlap over all of these slices together."))


def show_numbers(volume: Volume, predicted: np.ndarray, index: int, brain: np.ndarray, whole: bool) -> None:
    """Scores where the volume has expected masks, sizes always; a number that cannot be measured is a dash.

    Args:
        volume: read-only; its expected masks are what is scored against.
        predicted: masks of all slices, (slices, height, width), values {0, 1}.
        index: of the slice, from 0.
        brain: (slices, height, width) bool, estimated.
        whole: whether the slices are one patient's volume.
    """
    area, total = int(predicted[index].sum()), int(predicted.sum())
    area_text, area_meaning = f"{area:,} px", t("On this slice. The header gives no millimetres.")
    volume_text = ""
    if spacing := volume.geometry.spacing:
        area_text, area_meaning = (
            f"{area * spacing[1] * spacing[2]:,.0f} mm²",
            t("On this slice, with the pixel size of the header."),
        )
        volume_text = t("{total:.2f} mL in all. ", total=total * math.prod(spacing) / 1000)
    scores = _scores(volume, predicted, index, whole) if volume.has_mask.any() else []
    with st.container(border=True):
        columns = st.columns(3, gap="small")
        numbers = [*scores, (t("Predicted area"), area_text, area_meaning)]
        for place, (label, value, meaning) in enumerate(numbers):
            columns[place % 3].metric(label, value, help=meaning)
        of_all = t(", {share} of the whole brain", share=_share(total, brain)) if whole else ""
        unscored = scores and not volume.has_mask[index]
        st.caption(
            t(
                "{share} of the brain on this slice{of_all} (brain estimated from FLAIR). ",
                share=_share(area, brain[index]),
                of_all=of_all,
            )
            + volume_text
            + (t("This slice has no expected mask, so it cannot be scored.") if unscored else "")
        )


def _scores(volume: Volume, predicted: np.ndarray, index: int, whole: bool) -> list[tuple[str, str, str]]:
    """Return label, value and meaning of each score, in the order of the columns."""
    slice_scores = ("–",) * 4
    if volume.has_mask[index]:
        pair = predicted[index], volume.expected_mask[index]
        functions = (metrics.dice_score, metrics.iou_score, metrics.precision, metrics.recall)
        slice_scores = tuple(_score(function(*pair)) for function in functions)
    dice, iou, precision, recall = slice_scores
    all_name, all_meaning = map(t, VOLUME_DICE if whole else ALL_DICE)
    all_dice = _score(metrics.volume_dice(predicted, volume.expected_mask, volume.has_mask))
    return [
        (t("Slice Dice"), dice, t("Overlap with the expected mask on this slice, 0 to 1.")),
        (t("Slice IoU"), iou, t("Intersection over union on this slice.")),
        (all_name, all_dice, all_meaning),
        (t("Precision"), precision, t("Share of the predicted pixels that are expected, on this slice.")),
        (t("Recall"), recall, t("Share of the expected pixels that are predicted, on this slice.")),
    ]


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _share(pixels: int, brain: np.ndarray) -> str:
    size = int(brain.sum())
    return f"{pixels / size:.1%}" if size else t("unknown share")
