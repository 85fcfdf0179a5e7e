"""A direct link is as good as the way through the front page, also for the first visitor of a server."""

from unet.data.patients import DEMO_FOLDER
from views.benchmark import running_server, wait_until_healthy


def test_the_first_visitor_may_come_by_a_direct_link(page):
    with running_server({"UNET_DATA": str(DEMO_FOLDER)}) as (address, server):
        wait_until_healthy(address, server)
        page.goto(f"http://{address}/results")
        page.get_by_text("What the network reaches").wait_for(timeout=120_000)
        for name in ("Explore", "How it works", "Your own MRI", "Results", "Training"):
            page.get_by_role("link", name=name).wait_for()
        assert page.get_by_text("streamlit app").count() == 0
