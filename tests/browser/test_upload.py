"""Your own MRI in a real browser: drop a zip of DICOM, see the lesion, take the DICOM-SEG along."""

import io

import cv2
import highdicom
import numpy as np
import pytest
from PIL import Image

from tests.browser.viewer import native_pixels, probe, wait_for_view
from tests.segmentations import valid
from tests.upload_files import dicom_study, png_bytes, zip_bytes
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.metrics import dice_score


@pytest.fixture(scope="module")
def phantom():
    return load_volume(list_patients(DEMO_FOLDER)[0][0])


def drop(page, *files: tuple[str, bytes]) -> None:
    payloads = [{"name": name, "mimeType": "application/octet-stream", "buffer": content} for name, content in files]
    page.locator("input[type=file]").first.set_input_files(payloads)


def test_a_zip_of_dicom_gives_a_lesion_and_a_seg(page, app_address, phantom, tmp_path):
    page.goto(f"{app_address}/upload")
    page.get_by_text("Drop an MRI here").wait_for()
    drop(page, ("study.zip", zip_bytes(dicom_study(phantom.images.astype(np.uint16) * 16))))
    page.get_by_role("button", name="Segment").click(timeout=120_000)
    wait_for_view(page)
    assert probe(page, "viewer.data.edges") == ["R", "L", "A", "P"]
    assert probe(page, "viewer.data.spacing") == [6, 1, 1]
    shown = native_pixels(page).astype(int)
    # grey except where the mask is: the lesion is on screen, and where the expert's mask has it
    coloured = np.ptp(shown, axis=-1) > 20
    index = probe(page, "viewer.position[0]")
    assert dice_score(coloured, phantom.expected_mask[index]) > 0.8

    with page.expect_download() as download:
        page.get_by_role("button", name="Mask as DICOM-SEG").click()
    download.value.save_as(tmp_path / "seg.dcm")
    content = valid((tmp_path / "seg.dcm").read_bytes())
    assert b"Doe" not in content and b"SECRET" not in content
    segmentation = highdicom.seg.segread(tmp_path / "seg.dcm")
    mask = np.zeros(phantom.expected_mask.shape, np.uint8)
    for frame, group in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        height = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        mask[round((height + 60) / 6)] = frame
    assert dice_score(mask, phantom.expected_mask) > 0.85


def test_what_no_reader_knows_is_turned_away_and_the_next_file_works(page, app_address, phantom):
    page.goto(f"{app_address}/upload")
    page.get_by_text("Drop an MRI here").wait_for()
    with page.expect_response(lambda response: "upload_file" in response.url) as refused:
        drop(page, ("program.exe", b"MZ" + bytes(4000)))
    assert refused.value.status == 415
    chip = page.get_by_test_id("stFileChip").filter(has_text="program.exe")
    said = chip.get_by_role("alert").filter(has_text="Error: Unknown file type; supported: DICOM, NIfTI")
    said.wait_for()
    box = said.bounding_box()
    assert box is not None and box["width"] > 200 and box["height"] > 10  # not for screen readers alone
    drop(page, ("scan.mnc", b"\x89HDF\r\n\x1a\n" + bytes(400)))
    page.get_by_text("HDF5, or MINC-2 inside it, which this app does not read.").first.wait_for()
    drop(page, ("flair.png", png_bytes(phantom.images[13])))
    page.get_by_text("1 slice of 256 × 256").wait_for(timeout=60_000)


def photo_of_a_screen(image: np.ndarray) -> Image.Image:
    """A slice on a screen as a phone takes it from the side, upright: (height, width) to RGB of 1512 × 2016 pixels."""
    screen = cv2.resize(image.astype(np.float32) * (235 / image.max()), (900, 900), interpolation=cv2.INTER_CUBIC)
    screen[::3] *= 0.85  # the raster of its pixels
    corners = np.array([[165, 410], [1375, 350], [1415, 1630], [130, 1575]], np.float32)
    shape = np.array([[0, 0], [900, 0], [900, 900], [0, 900]], np.float32)
    seen = cv2.warpPerspective(screen + 12, cv2.getPerspectiveTransform(shape, corners), (1512, 2016), borderValue=36)
    y, x = np.mgrid[:2016, :1512]
    moire = 1 + 0.05 * np.sin(0.26 * x + 0.16 * y)
    glare = 90 * np.exp(-(((x - 1150) / 210) ** 2) - ((y - 575) / 130) ** 2)
    noise = np.random.default_rng(1).normal(0, 4, (2016, 1512, 3))
    colours = (seen * moire)[..., np.newaxis] * np.array([0.93, 0.97, 1.02]) + glare[..., np.newaxis] + noise
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "HEIF"])
def test_a_photo_of_a_screen_is_segmented_on_a_phone(page, app_address, phantom, kind):
    if kind == "HEIF":
        pytest.importorskip(
            "pillow_heif", reason="no dependency writes HEIC: pip install pillow-heif"
        ).register_heif_opener()
    turned, taken = Image.Exif(), io.BytesIO()
    turned[274] = 6  # the sensor lies on its side
    on_its_side = photo_of_a_screen(phantom.images[13, ..., 1]).transpose(Image.Transpose.ROTATE_90)
    on_its_side.save(taken, kind, quality=80, exif=turned.tobytes())
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app_address}/upload")
    page.get_by_text("Drop an MRI here").wait_for()
    drop(page, (f"IMG_0412.{kind}", taken.getvalue()))
    page.get_by_role("button", name="Segment").click(timeout=120_000)
    wait_for_view(page)
    assert probe(page, "viewer.data.shape.slice(0, 3)") == [1, 2016, 1512]
    shown = native_pixels(page).astype(int)
    coloured = np.ptp(shown, axis=-1) > 40  # the mask is orange, the photo nearly grey
    y, x = np.argwhere(coloured).mean(axis=0)
    assert 600 < y < 1000 and 750 < x < 1000  # where the lesion is
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_many_files_are_sent_as_one_and_shown_as_one(page, app_address, phantom):
    page.goto(f"{app_address}/upload")
    page.get_by_text("Drop an MRI here").wait_for()
    page.locator("p[data-packing=ready]").wait_for(state="attached")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "upload_file" in request.url else None)
    study = dicom_study(phantom.images.astype(np.uint16) * 16)
    drop(page, *((name.replace("/", "_"), content) for name, content in study))
    page.get_by_text("files.zip").wait_for()
    page.get_by_role("button", name="Segment", exact=True).wait_for(timeout=120_000)
    assert len(sent) == 1
    assert page.get_by_text("24 slices of 256 × 256").count() == 3


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (800, 1200)])
def test_nothing_is_cut_off(page, app_address, phantom, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{app_address}/upload")
    page.get_by_text("Drop an MRI here").wait_for()
    drop(page, ("flair.png", png_bytes(phantom.images[13])))
    page.get_by_role("button", name="Segment").wait_for(timeout=60_000)
    page.wait_for_timeout(1000)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_on_a_phone_a_sample_is_one_click_and_its_result_comes_into_view(page, app_address):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app_address}/upload")
    page.get_by_role("button", name="NIfTI with a mask").click()
    page.get_by_role("button", name="Segment", exact=True).click(timeout=120_000)
    wait_for_view(page)
    picture = page.locator(".viewer .pane canvas").first
    page.wait_for_timeout(500)  # the page may still move
    box = picture.bounding_box()
    assert box is not None
    assert box["y"] >= 0 and box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
