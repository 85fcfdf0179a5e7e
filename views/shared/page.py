"""How every page starts."""

import streamlit as st

from unet.data.slice_files import DataError
from unet.inference.engines import InferenceError
from unet.language import SOURCE_LANGUAGE, languages, speak, t
from unet.weights.arrays import WeightsError

PAGE_ERRORS = (DataError, InferenceError, WeightsError)  # their messages are written for people


def start_page(title: str) -> None:
    """Set up a page. Every page begins with this, as a direct link may open it before the router has run.

    Args:
        title: marked for the catalogue; also tells one page from another.
    """
    take_language()
    st.set_page_config(page_title=t("{title} · Brain MRI", title=t(title)), layout="wide")
    if st.session_state.get("page") != title:
        st.session_state.page, st.session_state.taken = title, set()


def take_language() -> None:
    """Speak the language that the link names, else the browser's, where there is a catalogue for it; else English."""
    wanted = (st.query_params.get("lang") or st.context.locale or "").split("-")[0].lower()
    speak(wanted if wanted in languages() else SOURCE_LANGUAGE)


def arrived(choice: str) -> bool:
    """Whether a choice is yet to be taken from the link, as the visitor has just opened this page, or come back to it.

    True once a choice and visit: the run that opens a page may end anywhere, as the next one interrupts it. A choice of
    the page before may still be in the session under the same key, where its widget no longer is.
    """
    taken = st.session_state.setdefault("taken", set())
    first = choice not in taken
    taken.add(choice)
    return first


def plain(text: str) -> str:
    """Keep what a file or a link is called from being read as Markdown."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+!|<>~$:" else letter for letter in text)
