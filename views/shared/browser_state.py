"""What a browser says, read with bounds: what does not fit is as if it had not been said."""

from collections.abc import Iterable
from typing import TypeVar

import streamlit as st

Option = TypeVar("Option")

MAX_TEXT = 200  # characters of a search; more is cut before any work


def viewer_state() -> dict:
    """Return where the slice viewer came to rest: of `volume`, `slice` and `threshold` what is sound.

    A message may be made by hand, so that any part of it may be missing, of another type, huge or no number.
    """
    return read_view(_part(st.session_state.get("viewer"), "view"))


def read_view(view: object) -> dict:
    """Return the sound parts of what the viewer says.

    >>> read_view({"volume": "a", "slice": 3, "threshold": 0.43})
    {'volume': 'a', 'slice': 3, 'threshold': 0.43}
    >>> read_view({"slice": float("inf"), "threshold": "x"})
    {}
    """
    sound = {}
    volume, slice_, threshold = (_part(view, name) for name in ("volume", "slice", "threshold"))
    if isinstance(volume, str) and len(volume) <= MAX_TEXT:
        sound["volume"] = volume
    if type(slice_) is int and 0 <= slice_ < 1_000_000:  # a bool is an int too
        sound["slice"] = slice_
    if isinstance(threshold, float) and 0 < threshold < 1:  # no int is, and NaN is not
        sound["threshold"] = threshold
    return sound


def one_of(value: Option | None, options: Iterable[Option]) -> Option:
    """Return a choice, or the first option where the browser says that nothing is chosen.

    `required=True` holds a browser to a choice, a message made by hand may have none.

    >>> one_of("b", "abc"), one_of(None, "abc")
    ('b', 'a')
    """
    return next(iter(options)) if value is None else value


def _part(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None
