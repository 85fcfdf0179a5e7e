"""What is made of an upload, kept in the visitor's session: made once, not at every rerun, and gone with the upload."""

from collections.abc import Callable, Hashable
from typing import TypeVar

import streamlit as st

MADE = (
    "upload_stacked",
    "upload_strips",
    "upload_volume",
    "upload_findings",
    "upload_kinds",
    "upload_seen",
    "upload_apart",
    "input_statistics",
)
Made = TypeVar("Made")


def once(name: str, key: Hashable, make: Callable[[], Made]) -> Made:
    """Return what is made of this upload under a name of `MADE`, made again only when its key has changed."""
    kept = st.session_state.get(name)
    if kept is None or kept[0] != key:
        st.session_state.pop(name, None)  # the last one need not be held while the next is made
        kept = st.session_state[name] = key, make()
    return kept[1]
