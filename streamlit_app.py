"""Router: which pages there are. Start with `streamlit run streamlit_app.py`.

The server imports this file once and finds `app`, Streamlit with the limits of uploads before it. Then, for each
visit, Streamlit runs the file as `__main__` and gets the pages.
"""

import streamlit as st

if __name__ != "__main__":
    from starlette.middleware import Middleware

    from views.limits import UploadLimits

    app = st.App(__file__, middleware=[Middleware(UploadLimits)])
else:
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
            st.Page(
                "pages/results.py",
                title="Results",
                icon=":material/analytics:",
                help="What the shipped weights reach, patient by patient.",
            ),
        ],
        position="top",
    ).run()
