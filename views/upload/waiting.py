"""Series that were not decoded, as there were others that the network more likely needs: a card each, and a button."""

from functools import partial

import streamlit as st

from unet.language import t, tn
from unet.scans.found import Waiting
from unet.scans.limits import MAX_DECODED
from views.shared import page
from views.upload.reading import Reading


def show_waiting(reading: Reading) -> None:
    """Show what the headers say of each series that waits, and offer to read it."""
    if not reading.waiting:
        return
    st.caption(
        t(
            "Not read: {count}. An upload is read up to {max_decoded} MB, FLAIR and T1 first. You can read another "
            "series here. It takes the place of the one that you chose before if both do not fit.",
            count=len(reading.waiting),
            max_decoded=MAX_DECODED >> 20,
        )
    )
    for number, one in reading.waiting.items():
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{page.plain(one.name)}** · {describe_waiting(one)}")
            st.button(
                t("Read this series"),
                key=f"read_waiting_{number}",
                icon=":material/download:",
                on_click=partial(st.session_state.update, read_waiting=number),
            )


def describe_waiting(one: Waiting) -> str:
    """Say in one line what is known of a series from its header."""
    stated = [t(guess) for guess in one.guesses if guess]
    words = [t("taken for {sequence}", sequence=", ".join(stated)) if stated else t("sequence not stated")]
    if one.shape:
        count, height, width = one.shape
        words.append(one.file_format)
        words.append(
            tn("{n} slice of {width} × {height}", "{n} slices of {width} × {height}", count, width=width, height=height)
        )
    words += [t(word) for word in (one.modality, one.plane) if word]
    if one.spacing:
        depth, row, column = one.spacing
        words.append(t("{column:.2f} × {row:.2f} mm, slices {depth:.2f} mm apart", column=column, row=row, depth=depth))
    words.append(t("{size:,} MB once read", size=one.decoded >> 20))
    return " · ".join(words)
