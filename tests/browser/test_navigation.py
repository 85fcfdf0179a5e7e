"""A direct link is as good as the way through the front page, also for the first visitor of a server."""

import pytest

from tests.browser.viewer import probe, wait_for_view
from unet.data.patients import DEMO_FOLDER
from views.app_process import running_server, wait_until_healthy

SECOND = "PHANTOM_ICBM_0002_20260102"


def test_the_first_visitor_may_come_by_a_direct_link(page):
    with running_server({"UNET_DATA": str(DEMO_FOLDER)}) as (address, server):
        wait_until_healthy(address, server)
        page.goto(f"http://{address}/results")
        page.get_by_text("Accuracy of the network").wait_for(timeout=120_000)
        for name in ("Explore", "How it works", "Your own MRI", "Results", "Training"):
            page.get_by_role("link", name=name).wait_for()
        assert page.get_by_text("streamlit app").count() == 0


@pytest.mark.parametrize("address", ["", "explore", "learn", "upload", "results", "training"])
def test_every_page_has_an_address_that_can_be_guessed(page, app_address, address):
    page.goto(f"{app_address}/{address}?patient={SECOND}&slice=14")
    page.get_by_test_id("stAppViewContainer").get_by_role("heading").first.wait_for(timeout=120_000)
    assert page.get_by_text("Page not found").count() == 0
    if address in ("", "explore"):
        wait_for_view(page, "viewer.data.patient === argument", SECOND)
        assert probe(page, "viewer.position[0]") == 13
