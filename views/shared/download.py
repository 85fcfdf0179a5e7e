"""Offer to fetch the data set where only the phantoms are there."""

import streamlit as st

from unet.data.slice_files import DataError
from views.shared import loaders


def offer_download() -> None:
    """Show what the real data set is, and a button that fetches it with progress."""
    with st.expander("Look at the 110 real patients", icon=":material/cloud_download:"):
        st.markdown(
            "What you see are phantoms. The LGG MRI segmentation data set (Buda et al. 2019, CC BY-NC-SA 4.0) is on "
            "[Kaggle](https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation). Fetch it here, with "
            "`python -m unet download`, or unpack it into `data/`."
        )
        if st.button("Download the data set", icon=":material/download:"):
            bar = st.progress(0.0, text="Asking Kaggle …")
            from unet.data.download import download_dataset  # brings kagglehub, which nothing else needs

            try:
                download_dataset(progress=lambda share, message: bar.progress(share, text=message))
            except DataError as error:
                st.error(str(error), title="The download did not work")
            else:
                loaders.patients.clear()
                st.rerun()
