"""Training: choose a run, start it, watch the mask appear epoch by epoch, compare, use the result in Explore."""

import streamlit as st

from views.shared import page
from views.training.augmentation import show_augmentation
from views.training.compare import show_comparison
from views.training.form import show_form
from views.training.live import show_runs

page.start_page("Training")
st.subheader("Train a small network and watch its mask", anchor=False)

view = st.segmented_control(
    "View", ["Train", "Compare", "Augmentation"], default="Train", key="view", bind="query-params", required=True,
    label_visibility="collapsed",
)  # fmt: skip
if view == "Train":
    show_form()
    st.divider()
    show_runs()
elif view == "Compare":
    show_comparison()
else:
    show_augmentation()

st.caption(
    "Runs belong to everyone who uses this server and go on when the tab is closed. Networks trained here are for "
    "learning how it works."
)
