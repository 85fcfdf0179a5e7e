"""How it works, inside the network: feature maps on the way down and on the way up."""

from dataclasses import dataclass

import cv2
import numpy as np
import streamlit as st

from unet.inference.engines import ATTENTION_LEVELS, InferenceError
from unet.language import mark, t
from unet.lessons.features import BOTTLENECK, FeatureReader, most_varied, receptive_field
from unet.weights.network import Weights
from views.learn.gates import Gate, gate_of, show_gates
from views.learn.lesson import BRIGHTEST, Lesson, begin_section, strip

CHANNELS_SHOWN = 6
_BOX_COLOUR = (240, 228, 66)
_LINE = 4  # pixels
_BOXED_SIDE = 320  # pixels, about: the slice is enlarged under its box, so that five pixels can be seen


@dataclass(frozen=True, eq=False)
class Block:
    """Feature maps of one block, a few of its channels.

    Attributes:
        side, channels: of the whole block.
        shown: numbers of the channels that are here, from 1.
        maps: (shown, side, side) in [0, 1], 1 being `scale`.
        scale: value at the bright end.
    """

    side: int
    channels: int
    shown: tuple[int, ...]
    maps: np.ndarray
    scale: float


@dataclass(frozen=True)
class Inside:
    """What is shown of one forward pass.

    Attributes:
        down: level 1 to 4, then the bottleneck.
        gates: level 4 to 1, in the order of the way up; none for a plain U-Net.
        up: level 4 to 1, one channel each.
    """

    down: tuple[Block, ...]
    gates: tuple[Gate, ...]
    up: tuple[Block, ...]


@st.cache_resource(
    max_entries=2, show_spinner=mark("Preparing the feature maps; the first time takes about ten seconds …")
)
def _reader(weights: Weights) -> FeatureReader:
    return FeatureReader(weights)


@st.cache_data(max_entries=32, show_spinner=mark("Computing feature maps …"))
def _inside(key: str, _lesson: Lesson) -> Inside:
    reader = _reader(_lesson.weights)
    features = reader.read(_lesson.image, _lesson.statistics)
    coarse_to_fine = tuple(reversed(ATTENTION_LEVELS))
    return Inside(
        tuple(_block(block, CHANNELS_SHOWN) for block in features.encoder),
        tuple(gate_of(features, level, _lesson) for level in coarse_to_fine) if reader.gated else (),
        tuple(_block(features.decoder[level - 1], 1) for level in coarse_to_fine),
    )


def _block(features: np.ndarray, count: int) -> Block:
    chosen = most_varied(features, count)
    scale = float(np.percentile(features[..., chosen], BRIGHTEST)) or 1.0
    maps = np.clip(np.moveaxis(features[..., chosen], -1, 0) / scale, 0, 1).astype(np.float16)
    return Block(len(features), features.shape[-1], tuple(int(c) + 1 for c in chosen), maps, scale)


def show_inside(lesson: Lesson) -> Inside | None:
    """Show the way down and the gates; say so where this network cannot be looked into."""
    begin_section("down")
    try:
        inside = _inside(lesson.key, lesson)
    except InferenceError as error:
        st.info(t("The feature maps of this network cannot be shown. {error}", error=error))
        begin_section("gates")
        st.info(t("The gates cannot be shown for the same reason."))
        return None
    _show_down(lesson, inside)
    begin_section("gates")
    show_gates(lesson, inside.gates)
    return inside


def _show_down(lesson: Lesson, inside: Inside) -> None:
    bottom = inside.down[-1]
    st.markdown(
        t(
            "Each level slides small filters over the picture (**convolution**). A **channel** is "
            "the response of one filter at every position. Then the grid is halved (**pooling**), "
            "and the next level has twice as many channels. So the network trades *where* for "
            "*what*: from {side} × {side} positions with {channels} channels to {deep_side} × "
            "{deep_side} positions with {deep_channels}. This half of the network is called the "
            "**encoder**.",
            side=inside.down[0].side,
            channels=inside.down[0].channels,
            deep_side=bottom.side,
            deep_channels=bottom.channels,
        )
    )
    row, column = _middle(lesson)
    for level, block in enumerate(inside.down, 1):
        cells = [position * block.side // lesson.weights.size for position in (row, column)]
        spans = [receptive_field(level, cell) for cell in cells]
        side = spans[0][1] - spans[0][0] + 1
        name = t("Bottleneck") if level == BOTTLENECK else t("Level {level}", level=level)
        st.markdown(
            t(
                "**{name}**: {side} × {side} positions × {channels} channels. One value depends on the "
                "{field} × {field} pixels in the box. :small[:gray[Channels {shown}; dark is 0, yellow "
                "is {scale:.1f}.]]",
                name=name,
                side=block.side,
                channels=block.channels,
                field=side,
                shown=", ".join(map(str, block.shown)),
                scale=block.scale,
            )
        )
        left, right = st.columns([1, CHANNELS_SHOWN], gap="small", vertical_alignment="top")
        left.image(
            _boxed(lesson, spans),
            width="stretch",
            output_format="PNG",
            alt=t("The slice with a box of {side} × {side} pixels: what one value of this level depends on", side=side),
        )
        right.image(
            strip(list(block.maps.astype(np.float32)), lesson.weights.size),
            width="stretch",
            output_format="PNG",
            alt=t("{name}: channels {shown}", name=name, shown=", ".join(map(str, block.shown))),
        )
    st.caption(
        t(
            "Each level shows the {channels_shown} channels that vary most over the slice, without "
            "similar ones (correlation of 0.8 or more). The box is centred on the predicted lesion, "
            "or on the head where nothing is predicted. Steps 2 and 3 show the network in float32, "
            "as it was trained. {engine_name} computes the mask, as on Explore.",
            channels_shown=CHANNELS_SHOWN,
            engine_name=lesson.segmenter.engine_name,
        )
    )


def _middle(lesson: Lesson) -> tuple[int, int]:
    """The middle of the lesion, or of the head, or of the picture: row and column on the network's grid."""
    for mask in (lesson.predicted(lesson.weights.threshold), lesson.head):
        rows, columns = np.nonzero(lesson.letterbox.forward(mask.astype(np.float32)) >= 0.5)
        if len(rows):
            return int(rows.mean()), int(columns.mean())
    return lesson.weights.size // 2, lesson.weights.size // 2


def _boxed(lesson: Lesson, spans: list[tuple[int, int]]) -> np.ndarray:
    """The slice on the network's grid, enlarged, with a box around the pixels from first to last."""
    zoom = max(1, _BOXED_SIDE // lesson.weights.size)
    size = lesson.weights.size * zoom
    picture = cv2.resize(lesson.letterbox.forward(lesson.picture()), (size, size), interpolation=cv2.INTER_LINEAR)
    (top, bottom), (left, right) = ((first * zoom - _LINE, (last + 1) * zoom + _LINE) for first, last in spans)
    start, end = np.clip([(left, top), (right, bottom)], _LINE // 2, size - 1 - _LINE // 2).tolist()
    for colour, thickness in (((0, 0, 0), 2 * _LINE), (_BOX_COLOUR, _LINE)):  # dark around it, as lesions are bright
        cv2.rectangle(picture, start, end, colour, thickness)
    return picture


def show_up(lesson: Lesson, inside: Inside) -> None:
    """Show the channel that varies most at each level of the way up."""
    left, right = st.columns([2, 1], gap="medium", vertical_alignment="center")
    left.image(
        strip([block.maps[0].astype(np.float32) for block in inside.up], lesson.weights.size),
        width="stretch",
        output_format="PNG",
        alt=t("Feature maps on the way up: of each level the channel that varies most"),
    )
    right.markdown(
        t(
            "Step by step the grid doubles again: {up}. Each level joins the features from below "
            "with those from the skip. So *what* gets its *where* back. This half of the network is "
            "called the **decoder**.",
            up=" → ".join(str(block.side) for block in inside.up),
        )
    )
    right.caption(t("Each level shows the channel that varies most, from 0 to its highest value."))
