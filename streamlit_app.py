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
            "pages/upload.py",
            title="Your own MRI",
            icon=":material/upload_file:",
            help="Drop a DICOM, NIfTI, TIFF, PNG or JPEG and see what the network makes of it.",
        ),
    ],
    position="top",
).run()
