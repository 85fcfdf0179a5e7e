"""Sixty seconds on phantoms in a real browser: start, watch the pictures change, open the result in Explore."""

import os

import pytest

from unet.data import DEMO_FOLDER
from views.benchmark import running_server, wait_until_healthy

SHORT = os.environ.get("TRAINING_PRESET", "short") == "short"


@pytest.fixture
def app_with_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_RUNS", str(tmp_path / "runs"))
    with running_server({"UNET_DATA": str(DEMO_FOLDER)}) as (address, server):
        wait_until_healthy(address, server)
        yield f"http://{address}", tmp_path / "runs"


def test_phantoms_preset_from_start_to_explore(page, app_with_runs):
    """TRAINING_PRESET=full runs the preset as it is; else its length is two short epochs."""
    address, runs = app_with_runs
    page.goto(f"{address}/training")
    page.get_by_role("button", name="Start", exact=True).wait_for(timeout=120_000)
    if SHORT:
        page.get_by_text("Settings", exact=True).click()
        page.get_by_text("epochs", exact=True).click()
        for label, value in (("Epochs", "2"), ("Slices in an epoch", "16")):
            box = page.get_by_role("spinbutton", name=label, exact=True)
            box.fill(value)
            box.press("Enter")
        page.get_by_text("--epoch-slices=16").wait_for()
        page.get_by_text("--epochs=2").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Stop").wait_for()
    page.locator('img[alt^="Mask after epoch"]').wait_for(timeout=600_000)
    page.get_by_role("button", name="Use in Explore").wait_for(timeout=600_000)
    (run,) = [path for path in runs.iterdir() if path.is_dir()]
    previews = sorted((run / "preview").iterdir())
    assert len(previews) >= 2
    assert previews[0].read_bytes() != previews[-1].read_bytes()
    page.get_by_role("button", name="Use in Explore").click()
    page.get_by_text("Where the network looks").wait_for(timeout=180_000)
    assert f"weights={run.name}" in page.url
