"""How every page starts."""

import streamlit as st

from unet.data.slice_files import DataError
from unet.inference.engines import InferenceError
from unet.weights.arrays import WeightsError

PAGE_ERRORS = (DataError, InferenceError, WeightsError)  # their messages are written for people


def start_page(title: str) -> None:
    """Set up a page. Every page begins with this, as a direct link may open it before the router has run."""
    st.set_page_config(page_title=f"{title} · Brain MRI", layout="wide")
    st.session_state.arrived = st.session_state.get("page") != title
    st.session_state.page = title


def arrived() -> bool:
    """Whether the visitor has just opened this page, or come back to it: then the link decides, else their choices.

    A choice of the page before may still be in the session under the same key, where its widget no longer is.
    """
    return st.session_state.get("arrived", True)


def plain(text: str) -> str:
    """Keep what a file or a link is called from being read as Markdown."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+!|<>~$:" else letter for letter in text)
