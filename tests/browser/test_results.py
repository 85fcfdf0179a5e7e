"""The Results page in a real browser: its link into Explore, its files, an uploaded folder."""

import re
import shutil

from tests.browser.viewer import probe, rested, wait_for_view
from unet.data.patients import DEMO_FOLDER

ONE = "PHANTOM_ICBM_0001_20260101"


def open_results(page, address: str) -> None:
    page.goto(f"{address}/results")
    page.get_by_text("Which patients were trained on?").wait_for(timeout=120_000)
    page.get_by_text("phantoms", exact=True).click()
    page.get_by_text("synthetic").first.wait_for()
    page.locator('[data-test-script-state="notRunning"]').wait_for()  # until then the charts of both splits stand there


def test_a_failure_opens_here_and_in_explore(page, app_address):
    open_results(page, app_address)
    link = page.locator('a[href*="patient=PHANTOM"]').first
    found = re.fullmatch(r"(PHANTOM\w+), slice (\d+)", link.inner_text().strip())
    assert found, link.inner_text()
    patient, number = found.groups()
    page.get_by_role("button", name="Show it here").first.click()
    wait_for_view(page, "viewer.data.patient === argument", patient)
    assert probe(page, "[viewer.position[0], viewer.state.overlay]") == [int(number) - 1, "Errors"]
    address = page.url
    probe(page, "viewer.moveTo([20])")
    rested(page)
    assert page.url == address  # which is about the page
    page.goto(link.evaluate("link => link.href"))  # the link itself opens a new tab
    wait_for_view(page, "viewer.data.patient === argument", patient)
    assert probe(page, "[viewer.position[0], viewer.state.overlay]") == [int(number) - 1, "Errors"]


def test_a_figure_comes_as_png_and_csv(page, app_address):
    open_results(page, app_address)
    for label, start in (("PNG", b"\x89PNG"), ("CSV", b"weights,patient,volume_dice")):
        own = page.locator(f".st-key-dice_by_patient_{label.lower()}")  # a button of another chart may come first
        with page.expect_download() as download:
            own.get_by_role("button", name=label).first.click()
        assert download.value.suggested_filename == f"dice_by_patient.{label.lower()}"
        assert download.value.path().read_bytes().startswith(start)


def test_an_uploaded_folder_is_evaluated(page, app_address, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in (1, 13, 14):
        for name in (f"{ONE}_{number}.tif", f"{ONE}_{number}_mask.tif"):
            shutil.copy(DEMO_FOLDER / ONE / name, folder)
    page.goto(f"{app_address}/results")
    page.get_by_text("Upload a folder", exact=True).click(timeout=120_000)
    page.locator("input[type=file]").set_input_files(folder)
    page.get_by_role("button", name="Evaluate").click()
    page.get_by_text("your patients", exact=True).wait_for(timeout=120_000)
    page.get_by_text("1 patient, as published").wait_for()
