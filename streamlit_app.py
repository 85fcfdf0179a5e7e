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
            "pages/results.py",
            title="Results",
            icon=":material/analytics:",
            help="What the shipped weights reach, patient by patient.",
        ),
    ],
    position="top",
).run()
