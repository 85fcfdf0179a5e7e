"""The page "How it works" in a real browser: from Explore, one control, and back."""

import re
from urllib.parse import parse_qs, urlparse

import pytest

from tests.browser.viewer import open_app, probe, rested, wait_for_view

SECOND = "PHANTOM_ICBM_0002_20260102"


def test_from_explore_to_the_same_slice_and_back(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    probe(page, "viewer.moveTo([12])")
    rested(page)
    page.get_by_role("button", name="How the network computes this").click()
    page.get_by_text("6 · Try: what does the network depend on?").wait_for(timeout=120_000)
    assert re.search(rf"/learn\?patient={SECOND}&slice=13$", page.url)
    assert page.get_by_role("slider", name="Slice of 24").input_value() == "13"

    page.get_by_text("post-contrast", exact=True).last.click()
    page.get_by_text("Dice falls most").wait_for()

    slider = page.get_by_role("slider", name="Slice of 24")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("slice=14$"))
    page.get_by_role("link", name="Open this slice in Explore").click()
    wait_for_view(page, "viewer.position[0] === 13")
    assert probe(page, "viewer.data.patient") == SECOND


def test_the_menu_keeps_patient_and_slice(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    probe(page, "viewer.moveTo([15])")
    rested(page)
    page.get_by_role("link", name="How it works").click()
    page.get_by_role("slider", name="Slice of 24").wait_for()
    page.wait_for_url(re.compile("slice=16"))
    assert parse_qs(urlparse(page.url).query) == {"patient": [SECOND], "slice": ["16"]}
    page.get_by_role("link", name="Explore", exact=True).click()
    wait_for_view(page, "viewer.position[0] === 15 && viewer.data.patient === argument", SECOND)


@pytest.mark.parametrize(("role", "name"), [("link", "How it works"), ("button", "How the network computes this")])
def test_a_view_that_has_not_come_to_rest_is_kept(page, app_address, role, name):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    rested(page)
    probe(page, "viewer.moveTo([4])")
    page.get_by_role(role, name=name).click()
    slider = page.get_by_role("slider", name="Slice of 24")
    slider.wait_for()
    assert slider.input_value() == "5"
    page.get_by_role("link", name="Results").click()  # no patient in its link
    page.get_by_text("Accuracy of the network").wait_for()
    page.get_by_role("link", name="Explore", exact=True).click()
    wait_for_view(page)
    assert probe(page, "[viewer.data.patient, viewer.position[0]]") == [SECOND, 4]


def test_the_simple_viewer_keeps_its_slice_too(page, app_address):
    page.goto(f"{app_address}/?patient={SECOND}&slice=14&simple_viewer=true")
    slider = page.get_by_role("slider", name="Slice of 24")
    slider.wait_for()
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("slice=15"))
    page.get_by_role("link", name="How it works").click()
    page.get_by_text("6 · Try: what does the network depend on?").wait_for(timeout=120_000)
    assert slider.input_value() == "15"


def test_the_limit_of_a_held_click(page, app_address):
    """A server that does not answer keeps nobody on the page: the click counts after a while."""
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    rested(page)
    probe(page, "(viewer.tell = () => {}, viewer.moveTo([4]))")  # what is told never arrives
    page.clock.install()
    page.get_by_role("link", name="How it works").click()
    assert "/learn" not in page.url
    page.clock.fast_forward(20_000)
    page.wait_for_url(re.compile("/learn"))
