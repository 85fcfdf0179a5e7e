"""What a browser says of its widgets, checked before a page sees it.

A browser holds widgets to their kind and choices; a message made by hand need not. Streamlit reads a value when a page
asks for it, raises on what does not fit, and keeps it, so that every later run of the visit fails as well. A value that
does not fit is ignored here: the widget keeps the value that it had.
"""

import math

from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.state.session_state import Serialized, WStates

MAX_CHARACTERS = 1_000_000
MAX_ITEMS = 10_000
ALSO = {"double_value": ("int_value",)}  # a number input of whole numbers is registered as one of floats

_read = WStates.__getitem__


def fits(state: WidgetState, field: str) -> bool:
    """Tell whether a widget's message holds a value of its kind, finite and within bounds.

    Args:
        state: the message; one without a value says that the widget was cleared.
        field: the name of the value in messages of this widget.

    >>> fits(WidgetState(id="a", double_value=0.5), "double_value")
    True
    >>> fits(WidgetState(id="a", double_value=float("nan")), "double_value")
    False
    >>> fits(WidgetState(id="a", string_value="0.5"), "double_value")
    False
    """
    found = state.WhichOneof("value")
    if found is None:
        return True
    if found not in (field, *ALSO.get(field, ())):
        return False
    value = getattr(state, found)
    if found.endswith("array_value"):
        return len(value.data) <= MAX_ITEMS and all(_is_sound(item) for item in value.data)
    return _is_sound(value)


def ignore_what_does_not_fit() -> None:
    """Make Streamlit ignore widget values that do not fit; to be called once in a process."""
    WStates.__getitem__ = _read_what_fits


def _read_what_fits(self: WStates, k: str) -> object:
    """Return a widget's value, as `WStates.__getitem__`; a message that does not fit counts as none.

    Raises:
        KeyError: there is no value; Streamlit then takes the one of the run before.
    """
    state, metadata = self.states.get(k), self.widget_metadata.get(k)
    if not isinstance(state, Serialized) or metadata is None:
        return _read(self, k)
    if not fits(state.value, metadata.value_type):
        raise KeyError(k)
    try:
        return _read(self, k)
    except Exception:  # whatever the reader of this widget stumbled over
        raise KeyError(k) from None


def _is_sound(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, str | bytes) or len(value) <= MAX_CHARACTERS
