"""What is to be known of a patient at a glance: its split, and the sequences that are missing."""

from typing import Literal

import streamlit as st

from unet.data.splits import split_of
from unet.language import mark, t

SPLIT_COLOURS: dict[str, Literal["gray", "blue", "green", "orange"]] = {
    "training": "gray",
    "validation": "blue",
    "test": "green",
    "unseen": "green",
    "phantom": "orange",
}
SPLIT_MEANINGS = {
    mark("training"): mark("The network was trained on this patient. A good mask here proves little."),
    mark("validation"): mark(
        "Not used for training. Threshold and epoch were chosen on this patient and others like it."
    ),
    mark("test"): mark("Not used for training or any choice."),
    mark("unseen"): mark("Not on any list of this project: not used for training or any choice."),
    mark("phantom"): mark("Synthetic: made from an average brain, not from a person."),
}


def show_badges(patient_id: str, missing_sequences: tuple[str, ...]) -> None:
    """Show the split and the missing sequences of the patient on the page."""
    split = split_of(patient_id)
    with st.container(horizontal=True):
        st.badge(t(split), color=SPLIT_COLOURS[split], help=t(SPLIT_MEANINGS[split]))
        if split == "phantom":
            st.badge(t("synthetic"), color="orange", icon=":material/deployed_code:")
        for name in missing_sequences:
            st.badge(
                t("no {name}", name=t(name)),
                color="red",
                help=t("The sequence was missing; the data set shows a copy of FLAIR instead."),
            )
