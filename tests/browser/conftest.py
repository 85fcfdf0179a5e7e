"""A real server and a real Chromium, for what only a browser can show."""

from urllib.parse import urlsplit

import pytest

from tests.listening_proxy import listening_proxy
from unet.data.patients import DEMO_FOLDER
from views.app_process import running_browser, running_server, wait_until_healthy


@pytest.fixture(scope="session")
def app_address():
    """The app on the phantoms; no page, upload or export makes the server ask anyone outside."""
    with listening_proxy() as (environment, requests):
        environment |= {"UNET_DATA": str(DEMO_FOLDER)}
        with running_server(environment) as (address, server):
            wait_until_healthy(address, server)
            yield f"http://{address}"
    assert requests == []


@pytest.fixture(scope="session")
def browser():
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e .[dev]")
    try:
        with running_browser() as chromium:
            yield chromium
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def context(browser):
    """One for all tests: Streamlit's scripts are 10 MB, and a context of its own would load them for each."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context):
    """A tab, which nothing makes ask another host than the server."""
    page, hosts = context.new_page(), set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or "localhost"))  # data: has none
    page.set_default_timeout(60_000)
    yield page
    page.close()
    assert hosts <= {"localhost", "127.0.0.1"}
