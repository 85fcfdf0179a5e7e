"""Widget values that no browser sends are ignored, on every page."""

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.measure_states import PAGES, Tab, attack, widget_state
from unet.data.patients import DEMO_FOLDER
from views.app_process import running_server, wait_until_healthy
from views.server.widget_values import MAX_CHARACTERS, MAX_ITEMS, fits


@pytest.mark.parametrize(
    ("field", "value", "kind", "right"),
    [
        ("string_value", "FLAIR", "string_value", True),
        ("string_value", "FLAIR", "int_value", False),
        ("string_value", "a" * MAX_CHARACTERS, "string_value", True),
        ("string_value", "a" * (MAX_CHARACTERS + 1), "string_value", False),
        ("double_value", 0.5, "double_value", True),
        ("int_value", 3, "double_value", True),  # a number input of whole numbers
        ("double_value", float("nan"), "double_value", False),
        ("double_value", float("-inf"), "double_value", False),
        ("double_array_value", [0.1, float("inf")], "double_array_value", False),
        ("int_array_value", [3], "int_array_value", True),
        ("int_array_value", [3] * (MAX_ITEMS + 1), "int_array_value", False),
        ("string_array_value", ["a" * (MAX_CHARACTERS + 1)], "string_array_value", False),
    ],
)
def test_only_finite_values_of_the_widget_s_kind_fit(field, value, kind, right):
    assert fits(widget_state("a", field, value), kind) is right


def test_a_cleared_widget_fits():
    assert fits(WidgetState(id="a"), "string_value")


@pytest.fixture(scope="module")
def address():
    with running_server({"UNET_DATA": str(DEMO_FOLDER)}) as (address, server):
        wait_until_healthy(address, server)
        yield address


@pytest.mark.parametrize("page", PAGES)
def test_hostile_states_and_queries_raise_nothing(address, page):
    sent, found = attack(address, page, states=30, query_values=10)
    assert (sent, found) == (40, [])


def test_a_value_that_does_not_fit_leaves_the_one_before(address):
    """And the visit goes on: Streamlit alone would fail at every later run too."""
    with Tab(address, "training") as tab:
        assert tab.run() == []
        sliders = [widget for widget, kind in tab.widgets.items() if kind == "button_group"]
        for widget in sliders:
            assert tab.run(states=[widget_state(widget, "double_value", 3.0)]) == []
        assert tab.run() == []
        assert sliders
