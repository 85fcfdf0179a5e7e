"""The page "How it works" in a real browser: from Explore, one control, and back."""

import re
from urllib.parse import parse_qs, urlparse

from tests.browser.viewer import open_app, probe, rested, wait_for_view

SECOND = "PHANTOM_ICBM_0002_20260102"


def test_from_explore_to_the_same_slice_and_back(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    probe(page, "viewer.moveTo([12])")
    rested(page)
    page.get_by_role("button", name="How the network gets there").click()
    page.get_by_text("6 · Try: what does the network need?").wait_for(timeout=120_000)
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
