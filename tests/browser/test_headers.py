"""Every page works under the content security policy."""

import pytest

from tests.browser.viewer import wait_for_view

PAGES = ["", "learn", "upload", "results", "training"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_breaks_no_rule_of_the_policy(page, app_address, path):
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    answer = page.goto(f"{app_address}/{path}")
    assert "unsafe-eval" not in answer.headers["content-security-policy"]
    page.get_by_role("heading").first.wait_for()
    if path == "":
        wait_for_view(page)
    page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')")
    assert complaints == []
