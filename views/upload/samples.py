"""Something to try for a visitor without an MRI at hand: phantoms, read as any upload."""

from functools import partial

import streamlit as st

from unet.language import t
from unet.scans.samples import SAMPLES, Sample

_KEY = "upload_sample"


def forget_sample() -> None:
    """Leave the sample: the visitor has files of their own."""
    st.session_state.pop(_KEY, None)


def chosen_sample() -> Sample | None:
    """Return the sample that the visitor looks at."""
    return next((sample for sample in SAMPLES if sample.key == st.session_state.get(_KEY)), None)


def show_sample(sample: Sample) -> None:
    """Say that this is a phantom, and offer the way back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(t("phantom"), color="orange", icon=":material/deployed_code:")
        st.markdown(f"**{t(sample.label)}.** {t(sample.about)}", width="content")
        st.button(t("Close the sample"), icon=":material/close:", key="close_sample", on_click=forget_sample)


def offer_samples() -> None:
    """Show a button for each sample."""
    st.markdown(t("**No MRI at hand?** Try a phantom: a synthetic head, made from an average brain."))
    with st.container(horizontal=True):
        for sample in SAMPLES:
            st.button(
                t(sample.label),
                icon=sample.icon,
                help=t(sample.about),
                key=f"sample_{sample.key}",
                on_click=partial(st.session_state.__setitem__, _KEY, sample.key),
            )
