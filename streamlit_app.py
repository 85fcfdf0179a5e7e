"""Router: which pages there are. Start with `streamlit run streamlit_app.py`.

The server imports this file once and finds `app`, Streamlit with the checks of `views/server` before it. Then, for each
visit, Streamlit runs the file as `__main__` and gets the pages.
"""

import threading
from importlib import import_module

import streamlit as st

from unet.language import t

if __name__ != "__main__":
    from streamlit.runtime.pages_manager import PagesManager

    from views.server.lifespan import server_lifespan
    from views.server.settings import ServerSettings
    from views.server.stack import limit_connections, middleware
    from views.server.stored_files import keep_uploads_on_the_disk
    from views.server.widget_values import ignore_what_does_not_fit
    from views.shared.memory import give_back_large_blocks

    give_back_large_blocks()
    ignore_what_does_not_fit()
    keep_uploads_on_the_disk()
    # `pages/` is also the older way to find pages; until somebody has run the router, a direct link would be served so
    PagesManager.uses_pages_directory = False

    def prepare() -> None:
        """Import what every page needs while the first visitor's browser still loads Streamlit itself; sweep runs."""
        for name in ("unet.jobs.queue", "pandas"):
            import_module(name)
        import_module("unet.jobs.folders").clear_abandoned()

    threading.Thread(target=prepare, daemon=True).start()
    settings = ServerSettings.from_environment()
    limit_connections(settings)
    app = st.App(__file__, middleware=middleware(settings), lifespan=server_lifespan)
else:
    from views.shared.page import take_language

    take_language()
    st.set_page_config(page_icon="🧠")  # else the browser would ask a font host for the icon of the page
    explore = st.Page(
        "pages/explore.py",
        title=t("Explore"),
        icon=":material/neurology:",
        help=t("Browse the patients, move through the slices and see the predicted mask."),
        default=True,
        url_path="start",  # else it would keep the name of the file, at which Streamlit finds no page
    )

    def start_page() -> None:
        """Go on to the start page, whose own address Streamlit leaves empty."""
        st.switch_page(explore, query_params=st.query_params.to_dict())

    st.navigation(
        [
            explore,
            st.Page(start_page, title=t("Explore"), url_path="explore", visibility="hidden"),
            st.Page(
                "pages/learn.py",
                title=t("How it works"),
                icon=":material/school:",
                help=t("Follow one slice through the network, step by step, and change its input."),
            ),
            st.Page(
                "pages/upload.py",
                title=t("Your own MRI"),
                icon=":material/upload_file:",
                help=t("Upload a DICOM, NIfTI, TIFF, PNG or JPEG and see the predicted mask."),
            ),
            st.Page(
                "pages/results.py",
                title=t("Results"),
                icon=":material/analytics:",
                help=t("Scores of the shipped weights, patient by patient."),
            ),
            st.Page(
                "pages/training.py",
                title=t("Training"),
                icon=":material/model_training:",
                help=t("Start small training runs and watch the mask change from epoch to epoch."),
            ),
        ],
        position="top",
    ).run()
