"""A visitor's choices: kept in the page's address, and from one page to the next."""

import streamlit as st


def remember(**place: str | None) -> None:
    """Keep `patient`, `slice` or `weights` for the next page: Streamlit forgets a page's choices when another opens."""
    st.session_state.setdefault("place", {}).update(place)


def remembered(name: str) -> str | None:
    """Return what was kept under that name, or None."""
    return st.session_state.get("place", {}).get(name)


def keep_in_link(parameter: str, value: str | None) -> None:
    """Write a choice into the page's address, or take it out; only where it changed.

    Each write sends the address as the server knows it, and the viewer, which writes there too, may be ahead of it.
    """
    if value == st.query_params.get(parameter):
        return
    if value is None:
        del st.query_params[parameter]
    else:
        st.query_params[parameter] = value
