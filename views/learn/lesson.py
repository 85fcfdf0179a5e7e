"""How it works, on one slice: which slice that is, what goes into the network, and what the sections share."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import streamlit as st

from unet import overlay
from unet.data.patients import Patient
from unet.data.volume import FLAIR, Volume
from unet.inference.segmentation import Segmentation
from unet.inference.segmenter import Segmenter
from unet.language import mark, t
from unet.letterbox import Letterbox
from unet.preprocessing import CLIP_PERCENTILES, IntensityStatistics, head_mask, normalise
from unet.reports.charts import Chart, Series
from unet.weights.network import Weights
from views.shared import links, loaders, page, segmentations, weights_picker
from views.shared.badges import show_badges
from views.shared.charts import show_chart
from views.viewer.slices import SLICE_ORDER, opening_slice, slice_number, slice_picture

TILE = 160  # pixels; small maps are drawn at least this large, each value as a square
GAP = 6
BRIGHTEST = 99.8  # percentile of feature maps that is drawn as yellow
BINS = 30  # of a histogram: more would show the steps between whole grey values
SECTIONS = {  # by anchor, in their order: name, and what more the heading says
    "input": (mark("Input"), ""),
    "down": (mark("Down"), mark("encoder, from pixels to patterns")),
    "gates": (mark("Attention gates"), mark("what the skips pass on")),
    "mask": (mark("Up"), mark("decoder, to a probability and a mask")),
    "dice": (mark("Score"), mark("Dice by hand")),
    "try": (mark("Try"), mark("what does the network depend on?")),
    "split": (mark("Split by patient"), mark("data leakage with a nearest-neighbour baseline")),
}
_SEQUENCE_COLOURS = {"Pre-contrast": (128, 128, 128), "FLAIR": (0, 114, 178), "Post-contrast": (213, 94, 0)}


@dataclass(frozen=True, eq=False)
class Lesson:
    """The slice in front of the visitor, and the network that looks at it.

    Attributes:
        volume, content_hash: the patient, read-only.
        index: of the slice, from 0.
        segmenter: as on Explore.
        segmentation: of this slice alone.
        statistics: of the volume.
        head: (height, width) bool.
    """

    volume: Volume
    content_hash: str
    index: int
    segmenter: Segmenter
    segmentation: Segmentation
    statistics: IntensityStatistics
    head: np.ndarray

    @property
    def weights(self) -> Weights:
        """The weights of the network."""
        return self.segmenter.weights

    @property
    def letterbox(self) -> Letterbox:
        """The transform between the grid of the slice and the square input of the network."""
        return self.segmentation.letterbox

    @property
    def key(self) -> str:
        """Slice and network, to keep results and choices by."""
        return f"{self.content_hash[:16]}-{self.index}-{self.weights.key}"

    @property
    def image(self) -> np.ndarray:
        """The slice as stored, (height, width, 3): pre-contrast, FLAIR, post-contrast."""
        return self.volume.images[self.index]

    @property
    def expected(self) -> np.ndarray | None:
        """The expected mask, (height, width) uint8, or None where there was none to read."""
        return self.volume.expected_mask[self.index] if self.volume.has_mask[self.index] else None

    def picture(self, channel: str = "FLAIR") -> np.ndarray:
        """Return the slice for display, (height, width, 3) uint8."""
        return slice_picture(self.volume, self.index, channel)

    def predicted(self, threshold: float) -> np.ndarray:
        """Return the predicted mask, (height, width) uint8."""
        return self.segmentation.mask(threshold)[0]


def pick_lesson(patient: Patient) -> Lesson:
    """Let the visitor choose the network and the slice; the link keeps both, as on Explore."""
    volume, content_hash, _ = loaders.volume(patient)
    left, right = st.columns(2, gap="medium")
    with left:
        weights, _ = weights_picker.choose_weights(pair=False)
        show_badges(patient.patient_id, volume.missing_sequences)
    running = segmentations.running_segmentation(volume, content_hash, weights)
    with right:
        index = _pick_slice(
            volume, lambda: segmentations.segmentation(volume, content_hash, weights).mask(weights.threshold)
        )
        _show_link_to_explore(patient.patient_id, index)
    position = segmentations.QueuePosition()
    segmentation = running.part_when_done(index, index + 1, position.show)  # this slice first; Explore finds it done
    position.clear()
    return Lesson(
        volume,
        content_hash,
        index,
        loaders.quick_segmenter(weights),
        segmentation,
        loaders.statistics(content_hash, volume),
        _heads(content_hash, volume)[index],
    )


def _pick_slice(volume: Volume, predicted: Callable[[], np.ndarray]) -> int:
    """Open on the slice of the link, else on the largest predicted lesion; then the visitor decides."""
    state, patient_id = st.session_state, volume.patient_id
    fresh = page.arrived("slice") or "learn_slice" not in state
    if fresh or state.get("learn_patient") != patient_id:
        linked = slice_number(links.remembered("slice"), len(volume)) if fresh else None
        state.learn_slice = linked or 1 + opening_slice(volume, predicted())
        state.learn_patient = patient_id
    number = 1
    if len(volume) > 1:
        order = t(SLICE_ORDER[volume.geometry.plane])
        number = st.slider(
            t("Slice of {count}, {order}", count=len(volume), order=order), 1, len(volume), key="learn_slice"
        )
    links.keep_in_link("slice", str(number))
    links.remember(slice=str(number))
    return number - 1


@st.cache_resource(max_entries=loaders.MAX_VOLUMES, show_spinner=False)
def _heads(content_hash: str, _volume: Volume) -> np.ndarray:
    return head_mask(_volume.images)


def _show_link_to_explore(patient_id: str, index: int) -> None:
    """Show the way back to the same slice."""
    place = {"patient": patient_id, "slice": str(index + 1)}
    if "weights" in st.query_params:
        place["weights"] = st.query_params["weights"]
    st.page_link(
        "pages/explore.py", label=t("Open this slice in Explore"), icon=":material/neurology:", query_params=place
    )


def show_contents() -> None:
    """Show where the page leads, as links: it is several screens long."""
    names = enumerate(SECTIONS.items(), 1)
    st.markdown(" · ".join(f"[{number} {t(name)}](#{anchor})" for number, (anchor, (name, _)) in names))


def begin_section(anchor: str) -> None:
    """Show the heading of a section, with its number."""
    name, subtitle = SECTIONS[anchor]
    title = f"{t(name)}: {t(subtitle)}" if subtitle else t(name)
    st.subheader(f"{1 + list(SECTIONS).index(anchor)} · {title}", anchor=anchor)


def strip(maps: list[np.ndarray], size: int) -> np.ndarray:
    """Return maps in [0, 1] side by side, RGBA with gaps to see through, each value as a square.

    Args:
        maps: (side, side) each.
        size: side in pixels of each picture, at least `TILE`.
    """
    side = size * -(-TILE // size)
    pictures = []
    for values in maps:
        colours = cv2.resize(overlay.colour_map(values), (side, side), interpolation=cv2.INTER_NEAREST)
        pictures += [np.dstack([colours, np.full((side, side), 255, np.uint8)]), np.zeros((side, GAP, 4), np.uint8)]
    return np.hstack(pictures[:-1])


def show_input(lesson: Lesson) -> None:
    """The three channels, what normalisation does to them, and the grid of the network."""
    begin_section("input")
    missing = lesson.volume.missing_sequences
    height, width = lesson.image.shape[:2]
    size = lesson.weights.size
    normalised = normalise(lesson.image, lesson.statistics)
    columns = st.columns(4, gap="small")
    for column, name in zip(columns, _SEQUENCE_COLOURS, strict=False):
        column.image(
            lesson.picture(name), width="stretch", output_format="PNG", alt=t("The slice, {name}", name=t(name))
        )
        copied = (
            t("**{name}**, missing: a copy of FLAIR", name=t(name)) if name.lower() in missing else f"**{t(name)}**"
        )
        column.markdown(copied)
    entering = overlay.to_display(lesson.letterbox.forward(normalised[..., FLAIR]), (-2.0, 4.0))
    columns[3].image(entering, width="stretch", output_format="PNG", alt=t("FLAIR as network input"))
    columns[3].markdown(t("**FLAIR as network input**, {size} × {size}", size=size))
    st.markdown(
        t(
            "The input is three pictures of one slice, {width} × {height} pixels, as three channels, "
            "scaled to the network's grid of {size} × {size}. MRI has no unit: the same tissue has "
            "another grey value in every scanner. So each channel is **normalised**. Extreme values "
            "are clipped. Then the mean of the head is subtracted, and the result is divided by the "
            "standard deviation (SD) of the head. The new unit is SD above the mean.",
            width=width,
            height=height,
            size=size,
        )
    )
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(_histogram("before", t("Before: grey values in the head"), t("grey value"), lesson, lesson.image))
    with right:
        show_chart(_histogram("after", t("After: on one scale"), t("SD above or below the mean"), lesson, normalised))
    s = lesson.statistics
    numbers = pd.DataFrame(
        {
            t("Sequence"): [t(name) for name in _SEQUENCE_COLOURS],
            t("Clipped below (percentile {percentile:g})", percentile=CLIP_PERCENTILES[0]): s.low,
            t("Clipped above (percentile {percentile:g})", percentile=CLIP_PERCENTILES[1]): s.high,
            t("Mean"): s.mean,
            t("SD"): s.std,
        }
    )
    st.dataframe(
        numbers,
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(format="%.1f") for name in numbers.columns[1:]},
        alt=t("Statistics for normalising the three channels"),
    )
    st.caption(
        t(
            "Measured over the head in all {count} slices of this patient, and used for each slice.",
            count=len(lesson.volume),
        )
    )


def _histogram(name: str, title: str, x_title: str, lesson: Lesson, values: np.ndarray) -> Chart:
    """How often each value occurs in the head of this slice, or in all of it where no head stands out.

    A copy of FLAIR in the place of a missing sequence is left out: its line would hide FLAIR's.
    """
    inside = values[lesson.head] if lesson.head.any() else values.reshape(-1, 3)
    edges = np.linspace(float(inside.min()), float(max(inside.max(), inside.min() + 1)), BINS + 1)
    centres = ((edges[:-1] + edges[1:]) / 2).round(3).tolist()
    series, rows = [], [{x_title: centre} for centre in centres]
    for (sequence, colour), channel in zip(_SEQUENCE_COLOURS.items(), np.moveaxis(inside, -1, 0), strict=True):
        if sequence.lower() in lesson.volume.missing_sequences:
            continue
        shares = (100 * np.histogram(channel, edges)[0] / len(channel)).round(3).tolist()
        series.append(Series(t(sequence), centres, shares, "line", colour, dashed=sequence == "Pre-contrast"))
        for row, share in zip(rows, shares, strict=True):
            row[sequence] = share
    return Chart(f"intensities_{name}", title, x_title, t("% of the head"), series, rows)
