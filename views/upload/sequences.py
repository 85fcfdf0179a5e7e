"""The visitor says which sequence is which, and which picture is the expected mask."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES
from unet.language import t
from unet.scans.grids import covers
from unet.scans.mapping import (
    Channel,
    Mapping,
    channels,
    left_out,
    mask_choices,
    masks_left_out,
    suggest,
    suggest_mask,
)
from unet.scans.scan import Scan
from views.shared import page

MISSING = Channel(-1, -1)  # stands for no channel, as Streamlit reads None as no choice made


def pick_mapping(scans: list[Scan]) -> tuple[Mapping, Channel | None]:
    """Let the visitor say which sequence is what, and which is the expected mask, starting from the likeliest guess."""
    labels = channels(scans)
    suggested = suggest(scans)
    first = suggested[0]
    if len(suggested) > 1:
        number = st.selectbox(
            t("Picture to look at"),
            range(len(suggested)),
            format_func=lambda number: t(
                "Picture {number}: {label}", number=number + 1, label=labels[suggested[number][FLAIR]]
            ),
            help=t("The upload holds more than one. You can change the sequences below."),
        )
        first = suggested[number]
    columns = st.columns(4)
    key = f"{hash(st.session_state.reading.ids)}_{suggested.index(first)}_{len(scans)}"
    boxes = st.session_state.upload_boxes = {FLAIR: f"map_{key}_{FLAIR}"}
    flair = columns[FLAIR].selectbox(
        t("FLAIR"),
        list(labels),
        index=list(labels).index(first[FLAIR]),
        format_func=labels.__getitem__,
        key=boxes[FLAIR],
    )
    chosen: list[Channel | None] = [None, flair, None]
    fitting = [channel for channel in labels if channel != flair and covers(scans[flair.scan], scans[channel.scan])]
    for number in (PRE_CONTRAST, POST_CONTRAST):
        likeliest, boxes[number] = _likeliest(scans, flair, first, number), f"map_{key}_{number}_{flair}"
        picked = columns[number].selectbox(
            t(SEQUENCE_NAMES[number].capitalize()),
            [MISSING, *fitting],
            index=1 + fitting.index(likeliest) if likeliest and likeliest in fitting else 0,
            format_func=lambda channel: labels.get(channel, t("missing: use FLAIR")),
            key=boxes[number],
        )
        chosen[number] = None if picked == MISSING else picked
    mapping = chosen[PRE_CONTRAST], flair, chosen[POST_CONTRAST]
    expected = _pick_expected_mask(columns[3], scans, mapping, f"map_{key}_mask_{flair}")
    for sentence in left_out(scans, mapping):
        st.caption(page.plain(sentence))
    return mapping, expected


def _likeliest(scans: list[Scan], flair: Channel, first: Mapping, number: int) -> Channel | None:
    """Return the channel for a sequence beside FLAIR; beside one that the visitor chose, none by its place alone."""
    channel = first[number]
    if channel is None or flair == first[FLAIR]:
        return channel
    return channel if scans[channel.scan].guesses[channel.channel] == SEQUENCE_NAMES[number] else None


def sequence_box(number: int) -> str:
    """Return the key of the box for a sequence on this page, for buttons that answer in its place."""
    return st.session_state.upload_boxes[number]


def _pick_expected_mask(column: DeltaGenerator, scans: list[Scan], mapping: Mapping, key: str) -> Channel | None:
    """Let the visitor choose a mask; say of one that is named so but does not fit why it is not offered."""
    labels, flair = channels(scans), mapping[FLAIR]
    fitting = mask_choices(scans, mapping)
    suggested = suggest_mask(scans, flair)
    picked = column.selectbox(
        t("Expected mask"),
        [MISSING, *fitting],
        index=1 + fitting.index(suggested) if suggested in fitting else 0,
        format_func=lambda channel: labels.get(channel, t("none")),
        key=key,
        help=t(
            "Upload a mask together with its pictures: a picture with 0 outside the lesion and one value inside, "
            "a NIfTI, a DICOM-SEG or an RTSTRUCT. It is shown beside the predicted mask, which is scored against it. "
            "A mask on another grid is resampled."
        ),
    )
    for sentence in masks_left_out(scans, flair):
        st.caption(page.plain(sentence))
    return None if picked == MISSING else picked
