"""The simple viewer: the slice viewer in Streamlit's own widgets, for a browser that the canvas does not suit.

It asks the server for every picture, and shows less. It reads and writes the same links.
"""

import numpy as np
import streamlit as st

from unet import overlay
from unet.data.volume import Volume
from unet.inference.engines import ATTENTION_LEVELS
from unet.inference.segmentation import Segmentation
from unet.language import mark, t
from views.shared import legend, links
from views.shared.browser_state import one_of
from views.viewer.lesion_strip import show_lesion_strip
from views.viewer.numbers import show_numbers
from views.viewer.slices import (
    CHANNELS,
    LEVEL_MEANINGS,
    PROBABILITY_MEANING,
    SLICE_ORDER,
    linked_slice,
    opening_slice,
    slice_picture,
)

PREDICTED, EXPECTED, ERRORS = mark("Predicted"), mark("Expected"), mark("Errors")
PROBABILITY, NONE = mark("Probability"), mark("None")
OVERLAYS = (PREDICTED, EXPECTED, ERRORS, PROBABILITY, *(f"Attention {level}" for level in ATTENTION_LEVELS), NONE)
STYLES = (mark("Fill"), mark("Outline"))
MAP_OPACITY = 0.65


def show_simple_viewer(
    volume: Volume,
    segmentation: Segmentation,
    brain: np.ndarray,
    default_threshold: float,
    start: dict | None = None,
    names: list[str] | None = None,
    remembered: bool = False,
) -> None:
    """Show pictures, controls and numbers; nothing in here runs the network.

    Args:
        volume: read-only.
        segmentation: of that volume.
        brain: (slices, height, width) bool, estimated.
        default_threshold: the one of the weights.
        start: slice and overlay to begin with, instead of the link's.
        names: of the slices, where they are no volume but of several patients.
        remembered: whether other pages open on this slice.
    """
    if start:
        _begin(volume, start)
    _set_slice(volume, segmentation, default_threshold)
    if remembered:  # before the pictures: a click on another page's link ends this run
        links.remember(slice=str(st.session_state.slice))
    left, right = st.columns([10, 11], gap="medium")
    with right:
        index = _pick_slice(volume, names)
        strip = st.container()  # drawn below: it needs the threshold
        first = start["overlay"] if start else PREDICTED
        channel, shown, style, opacity, threshold = _pick_overlay(first, default_threshold)
        predicted = segmentation.mask(threshold)
        with strip:
            show_lesion_strip(volume, predicted, index)
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
        show_numbers(volume, predicted, index, brain, whole=names is None)
        _downloads(volume, drawn, predicted[index], number)
    _attention(picture, segmentation, index)


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


def _draw(
    picture: np.ndarray,
    volume: Volume,
    segmentation: Segmentation,
    predicted: np.ndarray,
    index: int,
    shown: str,
    style: str,
    opacity: float,
) -> np.ndarray:
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
