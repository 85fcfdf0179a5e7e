"""Router only: which pages there are. Start with `streamlit run streamlit_app.py`."""

import streamlit as st

st.navigation(
    [
        st.Page(
            "pages/explore.py",
            title="Explore",
            icon=":material/neurology:",
            help="Browse the patients, move through the slices and see what the network sees.",
            default=True,
        ),
        st.Page(
            "pages/training.py",
            title="Training",
            icon=":material/model_training:",
            help="Start small training runs and watch the mask appear epoch by epoch.",
        ),
    ],
    position="top",
).run()
