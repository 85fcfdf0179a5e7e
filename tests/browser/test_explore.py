"""The main job in a real browser: patient, slice, overlay, attention, threshold, link."""

import re
from urllib.parse import parse_qs, urlparse

import cv2
import numpy as np
import pytest

from unet import overlay
from unet.data import DEMO_FOLDER, FLAIR, list_patients, load_volume
from unet.inference import Segmenter
from unet.weights import find_weights

SECOND = "PHANTOM_ICBM_0002_20260102"


def picture(page):
    """The large picture."""
    return page.locator('img[alt^="PHANTOM_"]')


def shown_pixels(page) -> np.ndarray:
    """Fetch the picture that the browser shows, (256, 256, 3) RGB."""
    address = picture(page).evaluate("image => image.src")
    encoded = np.frombuffer(page.request.get(address).body(), np.uint8)
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)


def wait_for_picture(page, alt: str) -> None:
    """Wait until the picture with that text alternative is there and loaded."""
    page.wait_for_function(
        """alt => [...document.images].some(i => i.alt.includes(alt) && i.complete && i.naturalWidth > 0)""", arg=alt
    )


def open_app(page, address: str, query: str = "") -> None:
    page.goto(f"{address}/{query}")
    page.get_by_text("Where the network looks").wait_for(timeout=120_000)
    wait_for_picture(page, "PHANTOM_")


def settled_box(page, locator) -> dict:
    """Return where an element is, once it has stopped moving: expanders open and charts draw in steps."""
    locator.wait_for()
    box = None
    for _ in range(40):
        before, box = box, locator.bounding_box()
        if box == before:
            break
        page.wait_for_timeout(500)
    return box


def wait_for_link(page, **expected: str) -> None:
    """Wait until the address carries these parameters."""
    page.wait_for_function(
        """expected => Object.entries(expected).every(
            ([name, value]) => new URLSearchParams(location.search).get(name) === value)""",
        arg=expected,
    )


@pytest.fixture(scope="module")
def second():
    """The volume of the second phantom, and what the network says of it."""
    patient = next(p for p in list_patients(DEMO_FOLDER)[0] if p.patient_id == SECOND)
    volume = load_volume(patient)
    return volume, Segmenter(find_weights()).segment(volume.images)


def test_a_visitor_does_the_main_job(page, app_address, second):
    volume, segmentation = second
    open_app(page, app_address)

    page.get_by_role("combobox", name="Patient").click()
    page.keyboard.type("0002")
    page.keyboard.press("Enter")
    wait_for_picture(page, SECOND)

    slider = page.get_by_role("slider", name=re.compile("Slice of 24"))
    start = int(slider.input_value())
    slider.focus()
    page.keyboard.press("ArrowLeft")
    wait_for_picture(page, f"{SECOND}, slice {start - 1}, FLAIR, overlay Predicted")

    page.get_by_role("radio", name="Errors").or_(page.get_by_text("Errors", exact=True)).first.click()
    wait_for_picture(page, f"slice {start - 1}, FLAIR, overlay Errors")
    page.get_by_text("Attention 2", exact=True).first.click()
    wait_for_picture(page, f"slice {start - 1}, FLAIR, overlay Attention 2")
    index = start - 2
    window = overlay.display_window(volume.images[:, ::4, ::4, FLAIR])
    flair = overlay.grey_to_rgb(overlay.to_display(volume.images[index, ..., FLAIR], window))
    attention = overlay.draw_values(flair, segmentation.attention_over_slice(2, index), 0.45)
    assert np.abs(shown_pixels(page).astype(int) - attention).max() <= 1

    page.get_by_text("Predicted", exact=True).first.click()
    threshold = page.get_by_role("slider", name=re.compile("Threshold"))
    threshold.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    wait_for_link(page, patient=SECOND, slice=str(start - 1), threshold="0.7")
    wait_for_picture(page, "overlay Predicted")
    expected = overlay.draw_mask(flair, segmentation.mask(0.7)[index], overlay.PREDICTED_COLOUR, 0.45)
    page.wait_for_timeout(1500)
    pixels = shown_pixels(page)
    assert (pixels == expected).all()

    link = page.url
    page.goto("about:blank")
    page.goto(link)
    wait_for_picture(page, f"{SECOND}, slice {start - 1}, FLAIR, overlay Predicted")
    assert (shown_pixels(page) == pixels).all()
    assert parse_qs(urlparse(page.url).query)["threshold"] == ["0.7"]


def test_a_click_on_the_strip_goes_to_the_slice(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=1")
    plot = page.locator(".js-plotly-plot .plotly .nsewdrag").first
    box = settled_box(page, plot)
    # 24 slices share the width; the middle of the 20th
    page.mouse.click(box["x"] + box["width"] * 19.5 / 24, box["y"] + box["height"] * 0.3)
    wait_for_picture(page, f"{SECOND}, slice 20,")


def test_h_hides_the_overlay_and_shows_it_again(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14&overlay=Errors")
    coloured = shown_pixels(page)
    assert (coloured.max(axis=-1) != coloured.min(axis=-1)).any()
    page.keyboard.press("h")
    page.get_by_role("button", name=re.compile("Show")).wait_for()
    page.wait_for_timeout(1500)
    grey = shown_pixels(page)
    assert (grey.max(axis=-1) == grey.min(axis=-1)).all()


def test_a_row_of_the_table_opens_the_patient(page, app_address):
    open_app(page, app_address)
    page.get_by_text("Find among 6 patients").click()
    table = page.get_by_test_id("stDataFrame")
    table.wait_for()
    box = settled_box(page, table.locator("canvas").first)
    page.mouse.click(box["x"] + 16, box["y"] + 35 * 3 + 17)  # the third row's marker, below the head
    wait_for_picture(page, "PHANTOM_ICBM_0003_20260103")
    wait_for_link(page, patient="PHANTOM_ICBM_0003_20260103")


def test_mask_and_overlay_download(page, app_address, second):
    volume, segmentation = second
    open_app(page, app_address, f"?patient={SECOND}&slice=14&threshold=0.6")
    with page.expect_download() as download:
        page.get_by_role("button", name="Mask as PNG").click()
    assert download.value.suggested_filename == f"{SECOND}_14_predicted_mask.png"
    mask = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    assert (mask == segmentation.mask(0.6)[13] * 255).all()
    with page.expect_download() as download:
        page.get_by_role("button", name="Overlay as PNG").click()
    drawn = cv2.imread(str(download.value.path()), cv2.IMREAD_COLOR_RGB)
    assert (drawn == shown_pixels(page)).all()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (800, 1200)])
def test_nothing_is_cut_off(page, app_address, width, height):
    page.set_viewport_size({"width": width, "height": height})
    open_app(page, app_address)
    page.wait_for_timeout(1000)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    box = picture(page).bounding_box()
    assert box["width"] >= 300
    assert box["y"] + box["height"] <= height
    for image in page.locator("img:visible").all():
        edges = image.bounding_box()
        assert edges["x"] >= 0
        assert edges["x"] + edges["width"] <= width
