"""Offer to fetch the data set where only the phantoms are there."""

import os

import streamlit as st

from unet.data.slice_files import DataError
from unet.language import t
from views.server.settings import ServerSettings
from views.shared import loaders


def download_allowed() -> bool:
    """Return whether visitors may start the download: `UNET_DOWNLOAD=on`, or without it a server for this computer."""
    word = os.environ.get("UNET_DOWNLOAD", "").strip().lower()
    return word == "on" if word else not ServerSettings.from_environment().allowed_hosts


def offer_download() -> None:
    """Show what the real data set is, and where the host allows it a button that fetches it with progress."""
    allowed = download_allowed()
    with st.expander(t("Look at the 110 real patients"), icon=":material/cloud_download:"):
        st.markdown(
            t(
                "These patients are phantoms. The LGG MRI segmentation data set (Buda et al. 2019, CC "
                "BY-NC-SA 4.0) is on "
                "[Kaggle](https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation). "
            )
            + (t("Download it here, with") if allowed else t("The host of this server can download it with"))
            + t(" `python -m unet download`, or unpack it into `data/`.")
        )
        if allowed and st.button(t("Download the data set (714 MB)"), icon=":material/download:"):
            bar = st.progress(0.0, text=t("Connecting to Kaggle …"))
            from unet.data.download import download_dataset  # brings kagglehub, which nothing else needs

            try:
                download_dataset(progress=lambda share, message: bar.progress(share, text=message))
            except DataError as error:
                st.error(str(error), title=t("The download failed"))
            else:
                loaders.patients.clear()
                st.rerun()
