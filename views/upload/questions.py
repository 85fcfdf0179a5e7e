"""What is unsure is asked before anything is segmented, with the pictures side by side."""

import re
from functools import partial

import streamlit as st

from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume
from unet.language import t
from unet.scans.evidence import questions
from unet.scans.limits import MAX_PICTURED
from unet.scans.mapping import Channel, Mapping, channels
from unet.scans.movement import apart, say_apart
from unet.scans.scan import Scan
from views.shared import page
from views.upload.once import once
from views.upload.sequences import MISSING, sequence_box
from views.upload.thumbnails import fullest_slice, picture

_ALIGNED = "upload_aligned"
CANDIDATE = 200  # pixels of a picture in a question


def ask(scans: list[Scan], mapping: Mapping) -> list[str]:
    """Ask about the sequences that are unsure, until the visitor has answered; return what is still asked.

    Args:
        scans: of the upload.
        mapping: which channel is used as which sequence.
    """
    asked = questions(scans, mapping)
    if not asked or st.session_state.get("upload_confirmed") == mapping:
        return []
    only_flair = len(asked) == 1
    with st.container(border=True):
        st.warning(
            "\n".join(f"- {_plain(question)}" for question in asked) if len(asked) > 1 else _plain(asked[0]),
            title=t("Is this FLAIR?") if only_flair else t("Which picture is which sequence?"),
            icon=":material/help:",
        )
        st.caption(
            t(
                "How to tell, in a brain: on FLAIR the fluid in the middle is black and grey matter is brighter than "
                "white matter. On T1 the fluid is black and white matter is brighter. On T2 the fluid is the brightest."
            )
        )
        _show_candidates(scans, mapping)
        st.button(
            t("Yes, go on with this choice"),
            icon=":material/check:",
            key="upload_confirm",
            on_click=partial(st.session_state.update, upload_confirmed=mapping),
        )
    return asked


def _show_candidates(scans: list[Scan], mapping: Mapping) -> None:
    """Show every channel that may be FLAIR side by side, on about the same slice."""
    labels = channels(scans)
    flair = mapping[FLAIR]
    place = fullest_slice(scans[flair.scan], flair.channel) / max(1, len(scans[flair.scan].voxels) - 1)
    candidates = sorted(labels, key=lambda channel: channel != flair)[:MAX_PICTURED]
    with st.container(horizontal=True):
        for channel in candidates:
            scan = scans[channel.scan]
            index = round(place * (len(scan.voxels) - 1))
            with st.container(width=CANDIDATE, gap="small"):
                st.image(
                    picture(scan, index, CANDIDATE, channel.channel),
                    output_format="PNG",
                    alt=t("Slice {number} of {scan}", number=index + 1, scan=labels[channel]),
                )
                st.caption(_plain(labels[channel]))
                if channel == flair:
                    st.badge(t("used as FLAIR"), color="orange")
                else:
                    st.button(t("This is FLAIR"), key=f"flair_{channel}", on_click=_choose_flair, args=(channel,))


def _plain(text: str) -> str:
    """Keep a text, and the number that it may begin with, from being read as Markdown."""
    return re.sub(r"^([0-9]+)[.] ", r"\1\\. ", page.plain(text))


def _choose_flair(channel: Channel) -> None:
    st.session_state[sequence_box(FLAIR)] = channel


def offer_alignment(volume: Volume, mapping: Mapping) -> list[str]:
    """Say where the head lies elsewhere on a sequence than on FLAIR, and offer what helps; return what is said.

    Args:
        volume: as it would be segmented.
        mapping: of its sequences.
    """
    if is_aligned(mapping):
        st.button(
            t("Leave the sequences where they were"),
            icon=":material/undo:",
            key="undo_alignment",
            on_click=lambda: st.session_state.pop(_ALIGNED, None),
        )
        return []
    found = once("upload_apart", volume.patient_id, lambda: apart(volume))
    said = say_apart(found, volume)
    if said:
        with st.container(border=True):
            st.warning(
                "\n\n".join([*said, t("This can make the mask worse.")]),
                title=t("The sequences do not lie in the same place"),
                icon=":material/swap_calls:",
            )
            with st.container(horizontal=True):
                st.button(
                    t("Move them onto FLAIR"),
                    icon=":material/align_horizontal_center:",
                    key="align",
                    help=t("Turns and moves whole slices by what was measured. FLAIR, and with it the mask, stays."),
                    on_click=partial(st.session_state.__setitem__, _ALIGNED, mapping),
                )
                st.button(
                    t("Use FLAIR alone"),
                    icon=":material/filter_1:",
                    key="flair_alone",
                    help=t("Leaves the other sequences out, and puts copies of FLAIR in their place."),
                    on_click=_leave_out,
                    args=((PRE_CONTRAST, POST_CONTRAST),),
                )
    return said


def is_aligned(mapping: Mapping) -> bool:
    """Tell whether the visitor wants the sequences of a mapping moved onto FLAIR."""
    return st.session_state.get(_ALIGNED) == mapping


def _leave_out(sequences: tuple[int, ...]) -> None:
    for number in sequences:
        st.session_state[sequence_box(number)] = MISSING
