"""Sixty seconds on phantoms in a real browser: start, watch the pictures change, open the result in Explore."""

import os

import numpy as np
import pytest

from tests.browser.viewer import native_pixels, probe, wait_for_view
from tests.listening_proxy import listening_proxy
from unet import overlay
from unet.data.patients import DEMO_FOLDER
from unet.data.volume import FLAIR
from unet.training.run_folder import RunFolder
from views.app_process import running_server, wait_until_healthy

SHORT = os.environ.get("TRAINING_PRESET", "short") == "short"


@pytest.fixture
def app_with_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("UNET_DATA", str(DEMO_FOLDER))
    with listening_proxy() as (environment, requests), running_server(environment) as (address, server):
        wait_until_healthy(address, server)
        yield f"http://{address}", tmp_path / "runs"
    assert requests == []


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
    page.get_by_text("Predicted masks, epoch by epoch").wait_for(timeout=600_000)
    page.locator(".viewer").wait_for(timeout=600_000)  # the first epoch, while the run goes on
    probe(page, "(viewer.moveTo([1]), viewer.set('threshold', 0.3), viewer.set('overlay', 'Probability'))")
    page.get_by_role("button", name="Use in Explore").wait_for(timeout=600_000)
    (run,) = [path for path in runs.iterdir() if path.is_dir()]
    wait_for_view(page, "viewer.epochs.length >= 2 && viewer.epochs[viewer.epochIndex] === viewer.epochs.at(-1)")
    # the newest epoch came, and the view stayed
    assert probe(page, "[viewer.position[0], viewer.state.threshold, viewer.state.overlay]") == [1, 0.3, "Probability"]
    last = native_pixels(page)
    page.get_by_role("slider", name="After epoch").press("Home")
    wait_for_view(page, "viewer.epochIndex === 0")
    previews = RunFolder(run).previews
    slices, first = previews.read_slices(), previews.read_epoch(1, side=256)
    grey = overlay.to_display(slices.images[1, ..., FLAIR], overlay.display_window(slices.images[1, ..., FLAIR]))
    # the viewer's window is that of all slices, so a grey value or two may be cut off
    drawn = overlay.draw_values(overlay.grey_to_rgb(grey), first.probability[1].astype(np.float32), 0.45)
    assert np.abs(native_pixels(page).astype(int) - drawn).max() <= 3
    assert (native_pixels(page) != last).any()
    page.get_by_role("button", name="Use in Explore").click()
    page.wait_for_url(lambda url: f"weights={run.name}" in url)
    wait_for_view(page, "!viewer.data.start")  # Explore's own view
    page.goto(f"{address}/training?run={run.name}")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    page.get_by_text("No run yet").wait_for()
    page.wait_for_url(lambda url: "run=" not in url)
    assert not run.exists()
