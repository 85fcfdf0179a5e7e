"""A real server and a real Chromium, for what only a browser can show."""

import pytest

from unet.data import DEMO_FOLDER
from views.benchmark import running_browser, running_server, wait_until_healthy


@pytest.fixture(scope="session")
def app_address():
    with running_server({"UNET_DATA": str(DEMO_FOLDER)}) as (address, server):
        wait_until_healthy(address, server)
        yield f"http://{address}"


@pytest.fixture(scope="session")
def browser():
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -r requirements-dev.txt")
    try:
        with running_browser() as chromium:
            yield chromium
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()
