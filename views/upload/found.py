"""What was found in an upload: a card for each scan, with pictures, what it is taken for, why, and how sure that is."""

from functools import partial
from typing import Literal

import streamlit as st

from unet.data.volume import FLAIR
from unet.language import t, tn
from unet.scans.evidence import CHOSEN, LIKELY, SURE, UNSURE, evidence, sequence_of
from unet.scans.limits import MAX_PICTURED
from unet.scans.mapping import Channel, Mapping, suggest
from unet.scans.scan import BURNED_IN, Scan
from unet.scans.stacking import can_be_stacked, stack_pictures
from views.shared import page
from views.upload.once import once
from views.upload.thumbnails import collage, fullest_slice, picture

CARD_WIDTH = 290  # CSS pixels: four side by side on a laptop, two on a tablet, one on a phone
ENLARGED = 600  # pixels of a slice in the dialog, all of it on a laptop
COLOURS: dict[str, Literal["green", "blue", "orange", "gray"]] = {
    SURE: "green",
    LIKELY: "blue",
    UNSURE: "orange",
    CHOSEN: "gray",
}


def offer_stack(scans: list[Scan]) -> list[Scan]:
    """Return the scans, joined into one stack if the visitor wants that."""
    if can_be_stacked(scans) and st.toggle(t("The pictures are slices of one stack, not sequences of one slice")):
        return once("upload_stacked", None, lambda: stack_pictures(scans, always=True))
    return scans


def show_found(scans: list[Scan], mapping: Mapping, expected: Channel | None) -> None:
    """Show a card for each scan.

    Args:
        scans: of the upload.
        mapping: which channel is used as which sequence.
        expected: the channel that is used as expected mask.
    """
    pictures = once("upload_strips", len(scans), lambda: [collage(scan) for scan in scans[:MAX_PICTURED]])
    if len(scans) > MAX_PICTURED:
        st.caption(t("Pictures are shown for the first {max_pictured} only.", max_pictured=MAX_PICTURED))
    suggested = suggest(scans)
    with st.container(horizontal=True):
        for number, scan in enumerate(scans):
            with st.container(border=True, width=CARD_WIDTH, gap="xsmall"):
                if number < MAX_PICTURED:
                    st.image(pictures[number], output_format="PNG", alt=t("Slices of {scan}", scan=scan.name))
                    st.button(
                        t("Enlarge"),
                        type="tertiary",
                        icon=":material/zoom_in:",
                        key=f"enlarge_{number}",
                        on_click=partial(st.session_state.update, enlarged=number),
                    )
                st.markdown(f"**{number + 1}. {page.plain(scan.name)}**")
                _show_use(scans, mapping, expected, number, suggested)
                st.caption(describe(scan))
                _show_notes(scan)
    number = st.session_state.pop("enlarged", None)
    if number is not None and number < len(scans):
        st.dialog(page.plain(scans[number].name), width="medium")(_enlarge)(scans[number])


def _show_use(
    scans: list[Scan], mapping: Mapping, expected: Channel | None, number: int, suggested: list[Mapping]
) -> None:
    """Say what a scan is used as, or what it states where it is not used, with the reason."""
    scan = scans[number]
    every = [Channel(number, channel) for channel in range(len(scan.channel_names))]
    used = [channel for channel in every if sequence_of(mapping, channel, expected)]
    roles = [sequence_of(mapping, channel, expected) or "" for channel in used]
    said = [evidence(scans, mapping, channel, expected) for channel in used or every]
    others = [(place, one) for place, one in enumerate(suggested, start=1) if one[FLAIR] != mapping[FLAIR]]
    elsewhere = [place for place, one in others if set(every) & set(one)]
    with st.container(horizontal=True, gap="small"):
        if used:
            st.badge(", ".join(map(t, roles)), color="primary")
        elif elsewhere:
            st.badge(t("part of picture {number}", number=elsewhere[0]), color="gray")
        else:
            st.badge(t("not used"), color="gray")
        if used:
            least = max(said, key=lambda one: list(COLOURS).index(one.certainty)).certainty
            st.badge(t(least), color=COLOURS[least])
    for why in dict.fromkeys(one.why for one in said):
        st.markdown(f":small[{page.plain(why if used else _unused(scan, why))}]")


def _unused(scan: Scan, why: str) -> str:
    """Say what a scan that is not used states, and where."""
    guesses = list(dict.fromkeys(guess for guess in scan.guesses if guess))
    if not guesses:
        return why
    return t("Taken for {sequence}. {why}", sequence=", ".join(map(t, guesses)), why=why)


def _show_notes(scan: Scan) -> None:
    for note in scan.notes:
        if note == BURNED_IN:
            st.warning(t(note), icon=":material/person_alert:")
        else:
            st.caption(t(note))


def _enlarge(scan: Scan) -> None:
    """Show the slices of a scan, large, one at a time."""
    count, fullest = len(scan.voxels), fullest_slice(scan)
    index = fullest
    if count > 1:
        index = st.slider(t("Slice"), 1, count, fullest + 1, key="enlarged_slice") - 1
    with st.container(horizontal_alignment="center"):
        st.image(
            picture(scan, index, ENLARGED, brightest=fullest),
            output_format="PNG",
            alt=t("Slice {number} of {scan}", number=index + 1, scan=scan.name),
        )


def describe(scan: Scan) -> str:
    """Say in one line what a scan is."""
    count, height, width, channel_count = scan.voxels.shape
    words = [
        scan.file_format,
        tn("{n} slice of {width} × {height}", "{n} slices of {width} × {height}", count, width=width, height=height),
    ]
    if channel_count > 1:
        words.append(t("{count} channels", count=channel_count))
    words.append(t("{depth} bit", depth=scan.bit_depth))
    if scan.modality:
        words.append(scan.modality)
    words.append(t(scan.plane or "orientation unknown"))
    if scan.spacing:
        depth, row, column = scan.spacing
        words.append(t("{column:.2f} × {row:.2f} mm, slices {depth:.2f} mm apart", column=column, row=row, depth=depth))
    else:
        words.append(t("size in millimetres unknown"))
    return " · ".join(words)
