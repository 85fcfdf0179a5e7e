"""What a browser may say, and what of it is believed."""

import math

import pytest

from views.shared import browser_state, page
from views.upload import export
from views.viewer import slice_viewer


class StateByAttribute(dict):
    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__


def nested(depth: int) -> dict:
    view: dict = {}
    for _ in range(depth):
        view = {"view": view}
    return view


HOSTILE = [None, 1, "{", [], [1], {"view": 1}, {"view": [1]}, {"view": {"slice": math.inf}}, {"view": {"slice": "1"}},
           {"view": {"slice": True}}, {"view": {"slice": -1}}, {"view": {"threshold": "x"}},
           {"view": {"threshold": math.nan}}, {"view": {"threshold": 10**400}},
           {"view": {"volume": "a" * 10**6}}, nested(1000)]  # fmt: skip


@pytest.mark.parametrize("state", HOSTILE, ids=range(len(HOSTILE)))
def test_what_no_browser_sends_is_as_if_not_said(state, monkeypatch):
    monkeypatch.setattr(browser_state.st, "session_state", {"viewer": state})
    assert browser_state.viewer_state() == {}
    assert export._viewer_threshold(0.5) == 0.5
    assert slice_viewer.viewed_slice("a") is None


def test_a_link_is_taken_once_a_visit_even_if_the_first_run_is_interrupted(monkeypatch):
    monkeypatch.setattr(page.st, "session_state", state := StateByAttribute())
    monkeypatch.setattr(page.st, "set_page_config", lambda **_: None)
    page.start_page("Explore")
    assert page.arrived("patient")
    page.start_page("Explore")  # the run before ended here, as another message came
    assert not page.arrived("patient")
    assert page.arrived("slice")
    page.start_page("Results")
    page.start_page("Explore")
    assert page.arrived("patient")
    assert state.page == "Explore"


def test_a_sound_view_is_taken_as_it_is(monkeypatch):
    view = {"volume": "a", "slice": 12, "threshold": 0.43, "strokes": []}
    monkeypatch.setattr(browser_state.st, "session_state", {"viewer": {"view": view}})
    assert slice_viewer.viewed_slice("a") == "13"
    assert slice_viewer.viewed_slice("b") is None
    assert export._viewer_threshold(0.5) == 0.43  # and not the nearest of a coarser slider
