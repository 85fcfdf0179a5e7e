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
    ],
    position="top",
).run()
