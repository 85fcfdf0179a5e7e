"""What the colours of an overlay mean, by colour and by word."""

import streamlit as st

from unet import overlay

ERRORS = (
    ("found", overlay.TRUE_POSITIVE_COLOUR),
    ("false alarm", overlay.FALSE_POSITIVE_COLOUR),
    ("missed", overlay.FALSE_NEGATIVE_COLOUR),
)


def show_legend(swatches: tuple[tuple[str, tuple[int, int, int]], ...]) -> None:
    """Show words with their colours, RGB from 0 to 255."""
    chips = [f'<span style="color:rgb{colour}" aria-hidden="true">■</span> {words}' for words, colour in swatches]
    st.html("&emsp;".join(chips))
