"""The simple viewer: the slice viewer in Streamlit's own widgets, for a browser that the canvas does not suit.

It asks the server for every picture, and shows less. It reads and writes the same links.
"""

import math
import re

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from unet import metrics, overlay
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume
from unet.inference.engines import ATTENTION_LEVELS
from unet.inference.segmentation import Segmentation
from unet.language import mark, t
from views.shared import legend, links
from views.shared.browser_state import one_of

CHANNELS = {
    mark("FLAIR"): FLAIR,
    mark("Pre-contrast"): PRE_CONTRAST,
    mark("Post-contrast"): POST_CONTRAST,
    mark("RGB"): None,
}
PREDICTED, EXPECTED, ERRORS = mark("Predicted"), mark("Expected"), mark("Errors")
PROBABILITY, NONE = mark("Probability"), mark("None")
OVERLAYS = (PREDICTED, EXPECTED, ERRORS, PROBABILITY, *(f"Attention {level}" for level in ATTENTION_LEVELS), NONE)
STYLES = (mark("Fill"), mark("Outline"))
SLICE_ORDER = {
    mark("axial"): mark("from the neck to the crown"),
    mark("coronal"): mark("from the nose to the back of the head"),
    mark("sagittal"): mark("from the patient's right to the left"),
    None: mark("in the order of the file"),
}
MAP_OPACITY = 0.65
VOLUME_DICE = (mark("Volume Dice"), mark("Overlap over all slices of the patient: the number to compare."))
ALL_DICE = (mark("Dice, all slices"), mark("Overlap over all of these slices together."))


def show_simple_viewer(
    volume: Volume,
    segmentation: Segmentation,
    brain: np.ndarray,
    default_threshold: float,
    start: dict | None = None,
    names: list[str] | None = None,
) -> None:
    """Show pictures, controls and numbers; nothing in here runs the network.

    Args:
        volume: read-only.
        segmentation: of that volume.
        brain: (slices, height, width) bool, estimated.
        default_threshold: the one of the weights.
        start: slice and overlay to begin with, instead of the link's.
        names: of the slices, where they are no volume but of several patients.
    """
    if start:
        _begin(volume, start)
    _set_slice(volume, segmentation, default_threshold)
    left, right = st.columns([10, 11], gap="medium")
    with right:
        index = _pick_slice(volume, names)
        strip = st.container()  # drawn below: it needs the threshold
        first = start["overlay"] if start else PREDICTED
        channel, shown, style, opacity, threshold = _pick_overlay(first, default_threshold)
        predicted = segmentation.mask(threshold)
        with strip:
            _lesion_strip(volume, predicted, index)
    picture = slice_picture(volume, index, channel)
    drawn = picture
    if not st.session_state.get("overlay_hidden"):
        drawn = _draw(picture, volume, segmentation, predicted, index, shown, style, opacity)
    with left:
        number = volume.slice_numbers[index]
        st.image(
            drawn,
            width="stretch",
            output_format="PNG",
            alt=t(
                "{patient_id}, slice {number}, {channel}, overlay {shown}",
                patient_id=volume.patient_id,
                number=number,
                channel=channel,
                shown=shown,
            ),
        )
        _legend(shown)
    with right:
        _numbers(volume, predicted, index, brain, whole=names is None)
        _downloads(volume, drawn, predicted[index], number)
    _attention(picture, segmentation, index)


def slice_picture(volume: Volume, index: int, channel: str) -> np.ndarray:
    """Return a slice as (height, width, 3) uint8; the window is the same for all slices of a patient."""
    which = CHANNELS[channel]
    if which is None:
        return overlay.to_display(volume.images[index], window(volume, channel))
    return overlay.grey_to_rgb(overlay.to_display(volume.images[index, ..., which], window(volume, channel)))


def window(volume: Volume, channel: str) -> tuple[float, float]:
    """Return the intensities shown as black and white, the same for all slices."""
    which = CHANNELS[channel]
    images = volume.images if which is None else volume.images[..., which]
    return overlay.display_window(images[:, ::4, ::4])  # every fourth pixel says the same and keeps the slider quick


def _begin(volume: Volume, start: dict) -> None:
    """Go to the slice that the page names, once: afterwards the visitor decides."""
    state = st.session_state
    begun = volume.patient_id, start
    if state.get("begun") != begun or "slice" not in state:
        state.begun, state.shown_patient = begun, volume.patient_id
        state.slice = start["slice"]


def _set_slice(volume: Volume, segmentation: Segmentation, threshold: float) -> None:
    """Open a patient on the slice with the largest predicted lesion, unless the link or the visitor chose one."""
    state = st.session_state
    another_patient = state.get("shown_patient") not in (None, volume.patient_id)
    state.shown_patient = volume.patient_id
    if another_patient or "slice" not in state:
        linked = None if another_patient else linked_slice(len(volume))
        state.slice = linked or 1 + opening_slice(volume, segmentation.mask(threshold))
    links.keep_in_link("slice", str(state.slice))


def linked_slice(count: int) -> int | None:
    """The slice that the link names, from 1 to `count`."""
    return slice_number(st.query_params.get("slice"), count)


def slice_number(text: str | None, count: int) -> int | None:
    """Return the number that a link names a slice by, from 1 to `count`, or None where it names none.

    >>> slice_number("13", 24), slice_number("25", 24), slice_number("x", 24), slice_number(None, 24)
    (13, None, None, None)
    """
    return int(text) if text and re.fullmatch("[0-9]{1,6}", text) and 1 <= int(text) <= count else None


def opening_slice(volume: Volume, predicted: np.ndarray) -> int:
    """Return the index with the largest predicted lesion, else the largest expected one, else the middle."""
    for mask in (predicted, volume.expected_mask):
        if mask.any():
            return int(mask.sum(axis=(1, 2)).argmax())
    return len(volume) // 2


def _pick_slice(volume: Volume, names: list[str] | None) -> int:
    count = len(volume)
    if names:
        return (
            st.select_slider(
                t("Slice of {count}", count=count), range(1, count + 1), key="slice", format_func=lambda n: names[n - 1]
            )
            - 1
        )
    if count == 1:
        st.caption(t("A single slice."))
        return 0
    return (
        st.slider(
            t("Slice of {count}, {slice_order}", count=count, slice_order=t(SLICE_ORDER[volume.geometry.plane])),
            1,
            count,
            key="slice",
        )
        - 1
    )


def _pick_overlay(default_overlay: str, default_threshold: float) -> tuple[str, str, str, float, float]:
    """Show what is drawn and how; return channel, overlay, style, opacity in [0, 1] and threshold."""
    channel = one_of(
        st.segmented_control(
            t("Channel"),
            list(CHANNELS),
            default="FLAIR",
            format_func=t,
            key="channel",
            bind="query-params",
            required=True,
            width="stretch",
        ),
        CHANNELS,
    )
    shown = one_of(
        st.pills(
            t("Overlay"),
            OVERLAYS,
            default=default_overlay,
            format_func=_overlay_name,
            key="overlay",
            bind="query-params",
            required=True,
            wrap=True,
        ),
        OVERLAYS,
    )
    looks, opacity_column, threshold_column = st.columns([5, 4, 4], gap="medium")
    with looks.container(horizontal=True, vertical_alignment="bottom"):
        style = one_of(
            st.segmented_control(
                t("Mask as"), STYLES, default=STYLES[0], format_func=t, key="style", bind="query-params", required=True
            ),
            STYLES,
        )
        hidden = st.session_state.get("overlay_hidden", False)
        st.button(
            t("Show") if hidden else t("Hide"),
            key="hide",
            shortcut="H",
            help=t("Hide or show the overlay"),
            on_click=lambda: st.session_state.update(overlay_hidden=not hidden),
        )
    opacity = opacity_column.slider(t("Opacity, %"), 10, 100, 45, step=5, key="opacity", bind="query-params")
    threshold = threshold_column.slider(
        t("Threshold"),
        0.05,
        0.95,
        default_threshold,
        step=0.05,
        key="threshold",
        bind="query-params",
        help=t("A pixel belongs to the mask where the probability is at least this. The network does not run again."),
    )
    return channel, shown, style, opacity / 100, threshold


def _overlay_name(shown: str) -> str:
    """Return the name of an overlay, by its code."""
    kind, _, level = shown.partition(" ")
    return t("Attention {level}", level=level) if level else t(kind)


def _draw(picture, volume, segmentation, predicted, index, shown, style, opacity) -> np.ndarray:
    """Lay the chosen overlay over the picture."""
    outline = style == "Outline"
    if shown == PREDICTED:
        return overlay.draw_mask(picture, predicted[index], overlay.PREDICTED_COLOUR, opacity, outline)
    if shown == EXPECTED:
        return overlay.draw_mask(picture, volume.expected_mask[index], overlay.EXPECTED_COLOUR, opacity, outline)
    if shown == ERRORS and volume.has_mask[index]:
        return overlay.draw_errors(picture, predicted[index], volume.expected_mask[index], opacity, outline)
    if shown == PROBABILITY:
        return overlay.draw_values(picture, segmentation.probability[index].astype(np.float32), opacity)
    if shown.startswith("Attention"):
        return overlay.draw_values(picture, segmentation.attention_over_slice(int(shown[-1]), index), opacity)
    return picture


def _legend(shown: str) -> None:
    """Say what the colours of the overlay mean, by colour and by word."""
    swatches = {
        PREDICTED: [(t("predicted by the network"), overlay.PREDICTED_COLOUR)],
        EXPECTED: [(t("expected, drawn by an expert"), overlay.EXPECTED_COLOUR)],
        ERRORS: legend.ERRORS,
    }.get(shown)
    if swatches:
        legend.show_legend(swatches)
    elif shown != NONE:
        legend.show_scale()


def _lesion_strip(volume: Volume, predicted: np.ndarray, index: int) -> None:
    """Lesion area per slice; a click goes to the slice."""
    numbers = np.arange(1, len(volume) + 1)
    areas = predicted.sum(axis=(1, 2))
    expected = np.where(volume.has_mask, volume.expected_mask.sum(axis=(1, 2)), np.nan)
    top = max(1.0, float(np.nanmax([areas.max(), np.nanmax(expected, initial=0)]))) * 1.08
    figure = go.Figure()
    figure.add_bar(
        x=numbers,
        y=np.full(len(volume), top),
        marker={"color": np.where(numbers == index + 1, "rgba(128,128,128,0.35)", "rgba(128,128,128,0.02)")},
        customdata=np.column_stack([areas, expected]),
        hovertemplate="slice %{x}<br>predicted %{customdata[0]:,} px<br>expected %{customdata[1]:,} px<extra></extra>",
        showlegend=False,
    )
    figure.add_bar(
        x=numbers, y=areas, name="predicted", marker_color=f"rgb{overlay.PREDICTED_COLOUR}", hoverinfo="skip"
    )
    if volume.has_mask.any():
        figure.add_scatter(
            x=numbers,
            y=expected,
            name="expected",
            mode="lines",
            line={"shape": "hvh", "width": 2, "color": f"rgb{overlay.EXPECTED_COLOUR}"},
            hoverinfo="skip",
        )
    figure.update_layout(
        height=120,
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        barmode="overlay",
        bargap=0.05,
        clickmode="event+select",
        dragmode=False,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        xaxis={"title": None, "range": [0.5, len(volume) + 0.5], "fixedrange": True},
        yaxis={"title": t("lesion, px"), "range": [0, top], "fixedrange": True, "nticks": 4},
    )
    figure.update_traces(unselected={"marker": {"opacity": 1}}, selector={"type": "bar"})
    st.plotly_chart(
        figure,
        key="strip",
        on_select=_jump_to_clicked,
        selection_mode="points",
        config={"displayModeBar": False},
        alt=t("Lesion area in pixels for each slice, predicted and expected. Click to open a slice."),
    )


def _jump_to_clicked() -> None:
    if points := st.session_state.strip.selection.points:
        st.session_state.slice = int(points[0]["x"])


def _numbers(volume: Volume, predicted: np.ndarray, index: int, brain: np.ndarray, whole: bool) -> None:
    """Scores where there is an expected mask, sizes always; a number that cannot be measured is a dash.

    Args:
        whole: whether the slices are one patient's volume.
    """
    scored = volume.has_mask
    slice_scores = ("–",) * 4
    if scored[index]:
        pair = predicted[index], volume.expected_mask[index]
        functions = (metrics.dice_score, metrics.iou_score, metrics.precision, metrics.recall)
        slice_scores = tuple(_score(function(*pair)) for function in functions)
    all_name, all_meaning = map(t, VOLUME_DICE if whole else ALL_DICE)
    all_dice = _score(metrics.volume_dice(predicted, volume.expected_mask, scored))
    area, total = int(predicted[index].sum()), int(predicted.sum())
    area_text, area_meaning = f"{area:,} px", t("On this slice. The header gives no millimetres.")
    volume_text = ""
    if spacing := volume.geometry.spacing:
        area_text, area_meaning = (
            f"{area * spacing[1] * spacing[2]:,.0f} mm²",
            t("On this slice, with the pixel size of the header."),
        )
        volume_text = t("{total:.2f} mL in all. ", total=total * math.prod(spacing) / 1000)
    with st.container(border=True):
        columns = st.columns(3, gap="small")
        for column, label, value, meaning in (
            (columns[0], t("Slice Dice"), slice_scores[0], t("Overlap with the expected mask on this slice, 0 to 1.")),
            (columns[1], t("Slice IoU"), slice_scores[1], t("Intersection over union on this slice.")),
            (columns[2], all_name, all_dice, all_meaning),
            (
                columns[0],
                t("Precision"),
                slice_scores[2],
                t("Share of the predicted pixels that are expected, on this slice."),
            ),
            (
                columns[1],
                t("Recall"),
                slice_scores[3],
                t("Share of the expected pixels that are predicted, on this slice."),
            ),
            (columns[2], t("Predicted area"), area_text, area_meaning),
        ):
            column.metric(label, value, help=meaning)
        of_all = t(", {share} of the whole brain", share=_share(total, brain)) if whole else ""
        st.caption(
            t(
                "{share} of the brain on this slice{of_all} (brain estimated from FLAIR). ",
                share=_share(area, brain[index]),
                of_all=of_all,
            )
            + volume_text
            + ("" if scored[index] else t("This slice has no expected mask, so it cannot be scored."))
        )


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _share(pixels: int, brain: np.ndarray) -> str:
    size = int(brain.sum())
    return f"{pixels / size:.1%}" if size else t("unknown share")


def _downloads(volume: Volume, drawn: np.ndarray, mask: np.ndarray, number: int) -> None:
    name = f"{volume.patient_id}_{number}"
    with st.container(horizontal=True):
        for label, picture, suffix in (
            (t("Mask as PNG"), mask * np.uint8(255), "predicted_mask"),
            (t("Overlay as PNG"), drawn, "overlay"),
        ):
            st.download_button(
                label,
                overlay.encode_png(picture),
                f"{name}_{suffix}.png",
                "image/png",
                icon=":material/download:",
                on_click="ignore",
            )


def _attention(picture: np.ndarray, segmentation: Segmentation, index: int) -> None:
    """The four attention maps and the probability, each over the slice on a fixed scale."""
    st.subheader(t("Attention gates"))
    columns = st.columns(5, gap="small")
    for column, level in zip(columns, reversed(ATTENTION_LEVELS), strict=False):
        side = segmentation.attention[level - 1].shape[-1]
        values = segmentation.attention_over_slice(level, index)
        with column:
            st.image(
                overlay.draw_values(picture, values, MAP_OPACITY),
                width="stretch",
                output_format="PNG",
                alt=t("Attention map of level {level}", level=level),
            )
            st.markdown(t("**Attention {level}** · {side} × {side}", level=level, side=side))
            st.caption(t(LEVEL_MEANINGS[level]))
    with columns[-1]:
        probability = segmentation.probability[index].astype(np.float32)
        st.image(
            overlay.draw_values(picture, probability, MAP_OPACITY),
            width="stretch",
            output_format="PNG",
            alt=t("Probability of lesion"),
        )
        st.markdown(
            t(
                "**Probability** · {width} × {height}",
                width=probability.shape[1],
                height=probability.shape[0],
            )
        )
        st.caption(t(PROBABILITY_MEANING))
    legend.show_scale()


LEVEL_MEANINGS = {
    4: mark("Coarsest gate. The deepest features control it. It weights the first skip into the decoder."),
    3: mark("One level finer. It weights features of a few pixels in size."),
    2: mark("Finer again. The decoder's features from the levels below control it."),
    1: mark("Finest gate. It weights edges and texture just before the mask."),
}
PROBABILITY_MEANING = mark("The probability that a pixel is lesion. The threshold turns it into a mask.")
