"""Training: choose a run, start it, watch the mask appear epoch by epoch, compare, use the result in Explore."""

import streamlit as st

from unet.language import mark, t
from views.shared import page
from views.training.augmentation import show_augmentation
from views.training.compare import show_comparison
from views.training.form import show_form
from views.training.live import show_runs

page.start_page(mark("Training"))
st.subheader(t("Train a small network"), anchor=False)

view = st.segmented_control(
    t("View"),
    [mark("Train"), mark("Compare"), mark("Augmentation")],
    default="Train",
    format_func=t,
    key="view",
    bind="query-params",
    required=True,
    label_visibility="collapsed",
)
if view == "Train":
    show_form()
    st.divider()
    show_runs()
elif view == "Compare":
    show_comparison()
else:
    show_augmentation()

st.caption(
    t(
        "Everyone who uses this server sees these runs. A run continues when the tab is closed. "
        "Networks trained here are for learning only."
    )
)
