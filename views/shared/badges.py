"""What is to be known of a patient at a glance: its split, and the sequences that are missing."""

from typing import Literal

import streamlit as st

from unet.data.splits import split_of

SPLIT_COLOURS: dict[str, Literal["gray", "blue", "green", "orange"]] = {
    "training": "gray",
    "validation": "blue",
    "test": "green",
    "unseen": "green",
    "phantom": "orange",
}
SPLIT_MEANINGS = {
    "training": "The network was trained on this patient: a good mask proves little.",
    "validation": "The network did not learn from this patient, but its settings were chosen on patients like it.",
    "test": "Held back until the weights were finished.",
    "unseen": "On no list of the project: neither trained on nor chosen by.",
    "phantom": "Synthetic, made from an average brain: no person.",
}


def show_badges(patient_id: str, missing_sequences: tuple[str, ...]) -> None:
    """Show the split and the missing sequences of the patient on the page."""
    split = split_of(patient_id)
    with st.container(horizontal=True):
        st.badge(split, color=SPLIT_COLOURS[split], help=SPLIT_MEANINGS[split])
        if split == "phantom":
            st.badge("synthetic, no person", color="orange", icon=":material/deployed_code:")
        for name in missing_sequences:
            st.badge(
                f"no {name}", color="red", help="The sequence was missing; the data set shows a copy of FLAIR instead."
            )
