"""What the colours of an overlay mean, by colour and by word."""

import numpy as np
import streamlit as st

from unet import overlay
from unet.language import mark, t

ERRORS = (
    (mark("found"), overlay.TRUE_POSITIVE_COLOUR),
    (mark("false positive"), overlay.FALSE_POSITIVE_COLOUR),
    (mark("missed"), overlay.FALSE_NEGATIVE_COLOUR),
)


def show_legend(swatches: tuple[tuple[str, tuple[int, int, int]], ...]) -> None:
    """Show words with their colours, RGB from 0 to 255."""
    chips = [f'<span style="color:rgb{colour}" aria-hidden="true">■</span> {t(words)}' for words, colour in swatches]
    st.html("&emsp;".join(chips))


def show_scale(width: int = 220) -> None:
    """Show the colour scale of probability and attention: always 0 to 1, so many pixels wide."""
    bar = overlay.colour_map(np.tile(np.linspace(0, 1, 256, dtype=np.float32), (10, 1)))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("0", width="content")
        st.image(bar, width=width, output_format="PNG", alt=t("Colour scale from 0, dark blue, to 1, yellow"))
        st.caption("1", width="content")
