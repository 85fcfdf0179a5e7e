"""The main job in a real browser: patient, slice, overlay, attention, threshold, link."""

import re
from urllib.parse import parse_qs, urlparse

import cv2
import numpy as np
import pytest

from tests.browser.viewer import flair_of, native_pixels, open_app, probe, rested, wait_for_view
from unet import metrics, overlay
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.volume import PRE_CONTRAST
from unet.inference.segmenter import Segmenter
from unet.weights.network import find_weights

SECOND = "PHANTOM_ICBM_0002_20260102"


@pytest.fixture(scope="module")
def second():
    """The volume of the second phantom, and what the network says of it."""
    patient = next(p for p in list_patients(DEMO_FOLDER)[0] if p.patient_id == SECOND)
    volume = load_volume(patient)
    weights = find_weights()
    network = Segmenter(weights, precision="int8" if weights.int8 else None)  # what the app looks through
    return volume, network.segment(volume.images)


def number(page, name: str) -> str:
    """The value that stands under a name in the viewer's numbers."""
    return page.locator(f".numbers div:has(dt:text-is('{name}')) dd").inner_text()


def canvas_box(page) -> dict:
    """Return where the picture lies on the screen: x, y and side of its square, pixels."""
    canvas = page.locator(".pane canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    side = min(box["width"], box["height"])
    return {
        "x": box["x"] + (box["width"] - side) / 2,
        "y": box["y"] + (box["height"] - side) / 2,
        "width": side,
        "height": side,
    }


def settled_box(page, locator) -> dict:
    """Return where an element is, once it has stopped moving: expanders open in steps."""
    locator.wait_for()
    box = None
    for _ in range(40):
        before, box = box, locator.bounding_box()
        if box == before:
            break
        page.wait_for_timeout(500)
    assert box is not None, "the element is not visible"
    return box


def test_a_visitor_does_the_main_job(page, app_address, second):
    volume, segmentation = second
    open_app(page, app_address)

    page.get_by_role("combobox", name="Patient").click()
    page.keyboard.type("0002")
    page.get_by_role("option").first.filter(has_text=SECOND).wait_for()  # Enter takes what the list has come to
    page.keyboard.press("Enter")
    wait_for_view(page, "viewer.data.patient === argument", SECOND)
    largest = int(segmentation.mask(0.5).sum(axis=(1, 2)).argmax())
    assert probe(page, "viewer.position[0]") == largest

    page.locator(".pane canvas").first.click()
    page.keyboard.press("ArrowDown")
    index = largest - 1
    wait_for_view(page, "viewer.position[0] === argument", index)
    flair = flair_of(volume, index)
    expected = volume.expected_mask[index]
    predicted = segmentation.mask(0.5)[index]
    assert (native_pixels(page) == overlay.draw_mask(flair, predicted, overlay.PREDICTED_COLOUR, 0.45)).all()

    page.get_by_role("radio", name="Errors").check()
    page.get_by_role("radio", name="Outline").check()
    wait_for_view(page, "viewer.state.overlay === 'Errors' && viewer.state.style === 'Outline'")
    assert (native_pixels(page) == overlay.draw_errors(flair, predicted, expected, 0.45, outline=True)).all()

    page.get_by_role("radio", name="Attention 2").check()
    wait_for_view(page, "viewer.state.overlay === 'Attention 2'")
    attention = overlay.draw_values(flair, segmentation.attention_over_slice(2, index), 0.45)
    assert np.abs(native_pixels(page).astype(int) - attention).max() <= 1

    page.get_by_role("radio", name="Predicted").check()
    threshold = page.get_by_role("slider", name="Threshold")
    threshold.focus()
    for step in range(1, 21):
        page.keyboard.press("ArrowRight")
        wait_for_view(page, "viewer.state.threshold === argument", round(0.5 + step / 100, 2))
    at_rest = segmentation.mask(0.7)
    assert number(page, "Volume Dice") == f"{metrics.dice_score(at_rest, volume.expected_mask):.3f}"
    assert number(page, "Slice Dice") == f"{metrics.dice_score(at_rest[index], expected):.3f}"
    assert number(page, "Recall") == f"{metrics.recall(at_rest[index], expected):.3f}"
    assert number(page, "Predicted area") == f"{at_rest[index].sum():,} px"

    rested(page)
    link = page.url
    query = parse_qs(urlparse(link).query)
    assert query == {"patient": [SECOND], "slice": [str(index + 1)], "threshold": ["0.7"], "style": ["Outline"]}
    pixels = native_pixels(page)
    outline = overlay.draw_mask(flair, at_rest[index], overlay.PREDICTED_COLOUR, 0.45, outline=True)
    assert (pixels == outline).all()
    page.goto("about:blank")
    page.goto(link)
    wait_for_view(page, "viewer.frames > 0")
    assert (native_pixels(page) == pixels).all()
    assert page.url == link


@pytest.mark.parametrize(
    ("query", "draw"),
    [
        ("channel=RGB&overlay=Expected&opacity=80", "expected"),
        ("channel=Pre-contrast&overlay=None", "pre-contrast"),
        ("overlay=Probability&opacity=60", "probability"),
    ],
)
def test_what_a_link_names_is_drawn_as_numpy_draws_it(page, app_address, second, query, draw):
    volume, segmentation = second
    open_app(page, app_address, f"?patient={SECOND}&slice=14&{query}")
    thinned = volume.images[:, ::4, ::4]
    rgb = overlay.to_display(volume.images[13], overlay.display_window(thinned))
    pre = overlay.to_display(volume.images[13, ..., PRE_CONTRAST], overlay.display_window(thinned[..., PRE_CONTRAST]))
    expected = {
        "expected": overlay.draw_mask(rgb, volume.expected_mask[13], overlay.EXPECTED_COLOUR, 0.8),
        "pre-contrast": overlay.grey_to_rgb(pre),
        "probability": overlay.draw_values(flair_of(volume, 13), segmentation.probability[13].astype(np.float32), 0.6),
    }[draw]
    assert np.abs(native_pixels(page).astype(int) - expected).max() <= 1


def test_three_planes_show_the_same_voxel(page, app_address, second):
    volume, segmentation = second
    open_app(page, app_address, f"?patient={SECOND}&slice=14&layout=planes&overlay=None")
    probe(page, "viewer.moveTo([13, 100, 120])")
    wait_for_view(page, "viewer.position[2] === 120")
    window = overlay.display_window(volume.images[:, ::4, ::4, 1])
    coronal = overlay.to_display(volume.images[::-1, 100, :, 1], window)
    sagittal = overlay.to_display(volume.images[::-1, :, 120, 1], window)
    assert (native_pixels(page, 2) == overlay.grey_to_rgb(coronal)).all()
    assert (native_pixels(page, 3) == overlay.grey_to_rgb(sagittal)).all()
    page.get_by_role("radio", name="Predicted").check()
    wait_for_view(page, "viewer.state.overlay === 'Predicted'")
    cut = segmentation.mask(0.5)[::-1, 100, :]
    drawn = overlay.draw_mask(overlay.grey_to_rgb(coronal), cut, overlay.PREDICTED_COLOUR, 0.45)
    assert (native_pixels(page, 2) == drawn).all()


def test_scrolling_and_dragging_ask_the_server_nothing(page, app_address):
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    open_app(page, app_address, f"?patient={SECOND}&slice=12")
    wait_for_view(page, "viewer.told")
    page.wait_for_timeout(2000)
    before = len(sent)
    probe(page, "viewer.restMilliseconds = 30_000")  # so that a slow machine does not rest between two notches
    page.locator(".pane canvas").first.hover()
    for notch in range(40):
        page.mouse.wheel(0, -120 if notch < 10 else 120)
    probe(page, "viewer.set('threshold', 0.3)")
    wait_for_view(page, "viewer.position[0] === 0")
    assert len(sent) == before
    # at rest Python is told once, and the address follows
    probe(page, "(viewer.restMilliseconds = 100, viewer.rest())")
    page.wait_for_function("() => new URLSearchParams(location.search).get('slice') === '1'")
    page.wait_for_timeout(1500)
    assert 1 <= len(sent) - before <= 3
    assert probe(page, "viewer.position[0]") == 0  # what the server answered moved nothing


def test_wheel_keys_and_strip_go_through_the_slices(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=12")
    page.locator(".pane canvas").first.hover()
    for press, index in [("ArrowUp", 12), ("PageUp", 17), ("PageDown", 12), ("Home", 0), ("End", 23)]:
        page.keyboard.press(press)
        wait_for_view(page, "viewer.position[0] === argument", index)
    page.mouse.wheel(0, 120)  # towards the neck
    wait_for_view(page, "viewer.position[0] === 22")
    strip = page.locator(".strip").bounding_box()
    page.mouse.click(strip["x"] + strip["width"] * 9.5 / 24, strip["y"] + 20)
    wait_for_view(page, "viewer.position[0] === 9")
    page.keyboard.press("c")
    wait_for_view(page, "viewer.position[0] === 13")
    page.keyboard.press("c")


def test_h_hides_the_overlay_and_shows_it_again(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14&overlay=Errors")
    page.locator(".pane canvas").first.hover()
    coloured = native_pixels(page)
    assert (coloured.max(axis=-1) != coloured.min(axis=-1)).any()
    page.keyboard.press("h")
    page.get_by_role("button", name="Show overlay").wait_for()
    grey = native_pixels(page)
    assert (grey.max(axis=-1) == grey.min(axis=-1)).all()
    page.keyboard.press("h")
    page.get_by_role("button", name="Hide overlay").wait_for()
    assert (native_pixels(page) == coloured).all()


def test_window_changes_the_picture_and_not_the_prediction(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14&overlay=None")
    before, dice = native_pixels(page), number(page, "Volume Dice")
    box = canvas_box(page)
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 120, box["y"] + 200, steps=4)
    page.mouse.up(button="right")
    wait_for_view(page, "viewer.windows[1][1] < viewer.data.windows[1][1]")
    narrow = native_pixels(page)
    assert (narrow == 255).sum() > (before == 255).sum()
    assert number(page, "Volume Dice") == dice
    preset = page.get_by_role("combobox", name="Window and level")
    assert preset.input_value() == ""
    preset.select_option("As opened")
    wait_for_view(page, "viewer.windows[1][1] === viewer.data.windows[1][1]")
    assert (native_pixels(page) == before).all()
    preset.select_option("Bright parts")
    wait_for_view(page, "viewer.windows[1][0] > 0")
    page.get_by_role("radio", name="Pre-contrast").check()  # has a window of its own
    wait_for_view(page, "viewer.state.channel === 'Pre-contrast'")
    assert preset.input_value() == "As opened"
    page.get_by_role("radio", name="FLAIR").check()
    wait_for_view(page, "viewer.state.channel === 'FLAIR'")
    assert preset.input_value() == "Bright parts"
    page.locator(".pane canvas").first.click()
    page.keyboard.press(" ")
    wait_for_view(page, "viewer.windows[1][1] === viewer.data.windows[1][1]")
    assert (native_pixels(page) == before).all()
    assert preset.input_value() == "As opened"


def test_zoom_keeps_what_is_under_the_pointer(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    box = canvas_box(page)
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6)
    readout = page.locator(".pixel")
    under = readout.inner_text()
    assert "FLAIR" in under and "probability" in under
    page.keyboard.down("Control")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    wait_for_view(page, "viewer.cameras.axial.zoom > 3")
    page.mouse.move(box["x"] + box["width"] * 0.7 + 1, box["y"] + box["height"] * 0.6)
    assert readout.inner_text().split(" · ")[0] == under.split(" · ")[0]


def test_an_outline_of_ones_own_is_scored(page, app_address, second):
    volume, segmentation = second
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    page.get_by_role("radio", name="Lasso").check()
    box = canvas_box(page)
    corners = [(60, 80), (160, 80), (160, 150), (60, 150), (60, 80)]
    page.mouse.move(box["x"] + 60 * box["width"] / 256, box["y"] + 80 * box["width"] / 256)
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x * box["width"] / 256, box["y"] + y * box["width"] / 256)
    page.mouse.up()
    wait_for_view(page, "viewer.outline.strokes.length === 1")
    mine = np.zeros((256, 256), np.uint8)
    mine[80:150, 60:160] = 1
    assert int(number(page, "Your area").replace(",", "").removesuffix(" px")) == pytest.approx(7000, abs=200)
    against_expert = metrics.dice_score(mine, volume.expected_mask[13])
    against_network = metrics.dice_score(mine, segmentation.mask(0.5)[13])
    assert float(number(page, "Your Dice, expected")) == pytest.approx(against_expert, abs=0.02)
    assert float(number(page, "Your Dice, network")) == pytest.approx(against_network, abs=0.02)
    page.get_by_role("button", name="Undo").click()
    wait_for_view(page, "viewer.outline.strokes.length === 0")
    assert page.get_by_text("Your area").count() == 0


def test_a_distance_is_in_pixels_where_no_header_says_more(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    page.get_by_role("radio", name="Measure").check()
    box = canvas_box(page)
    page.mouse.move(box["x"] + 50 * box["width"] / 256, box["y"] + 50 * box["width"] / 256)
    page.mouse.down()
    page.mouse.move(box["x"] + 80 * box["width"] / 256, box["y"] + 90 * box["width"] / 256, steps=3)
    page.mouse.up()
    (x0, y0), (x1, y1) = probe(page, "viewer.measured")
    assert np.hypot(x1 - x0, y1 - y0) == pytest.approx(50, abs=1)


def test_a_row_of_the_table_opens_the_patient(page, app_address):
    open_app(page, app_address)
    page.get_by_text("Find among 6 patients").click()
    table = page.get_by_test_id("stDataFrame")
    table.wait_for()
    box = settled_box(page, table.locator("canvas").first)
    page.mouse.click(box["x"] + 16, box["y"] + 35 * 3 + 17)  # the third row's marker, below the head
    wait_for_view(page, "viewer.data.patient === 'PHANTOM_ICBM_0003_20260103'")
    assert parse_qs(urlparse(page.url).query)["patient"] == ["PHANTOM_ICBM_0003_20260103"]


def test_mask_and_overlay_download(page, app_address, second):
    volume, segmentation = second
    open_app(page, app_address, f"?patient={SECOND}&slice=14&threshold=0.6")
    pictures = {}
    for name in ("Mask as PNG", "Overlay as PNG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        pictures[download.value.suggested_filename] = cv2.imread(str(download.value.path()), cv2.IMREAD_COLOR_RGB)
    mask = segmentation.mask(0.6)[13]
    drawn = overlay.draw_mask(flair_of(volume, 13), mask, overlay.PREDICTED_COLOUR, 0.45)
    assert set(pictures) == {f"{SECOND}_14_predicted_mask.png", f"{SECOND}_14_overlay.png"}
    assert (pictures[f"{SECOND}_14_predicted_mask.png"] == overlay.grey_to_rgb(mask) * 255).all()
    assert (pictures[f"{SECOND}_14_overlay.png"] == drawn).all()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (800, 1200)])
@pytest.mark.parametrize("layout", ["one", "two", "planes"])
def test_nothing_is_cut_off(page, app_address, width, height, layout):
    page.set_viewport_size({"width": width, "height": height})
    open_app(page, app_address, f"?patient={SECOND}&layout={layout}")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for canvas in page.locator(".viewer canvas:visible").all():
        edges = canvas.bounding_box()
        assert edges["x"] >= 0
        assert edges["x"] + edges["width"] <= width
        assert edges["width"] >= 120


def test_the_simple_viewer_shows_the_same_slice(page, app_address, second):
    volume, segmentation = second
    page.goto(f"{app_address}/?patient={SECOND}&slice=14&threshold=0.7&simple_viewer=true")
    image = page.locator(f'img[alt="{SECOND}, slice 14, FLAIR, overlay Predicted"]')
    image.wait_for(timeout=120_000)
    body = page.request.get(image.evaluate("image => image.src")).body()
    shown = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)
    expected = overlay.draw_mask(flair_of(volume, 13), segmentation.mask(0.7)[13], overlay.PREDICTED_COLOUR, 0.45)
    assert (shown == expected).all()


@pytest.mark.parametrize("min_share", [0, 0.3, 1])
@pytest.mark.parametrize("min_voxels", [0, 40])
def test_the_weights_rule_for_masks_is_the_same_in_the_browser(page, app_address, min_share, min_voxels):
    from unet.postprocessing import PostProcessing

    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    noise = np.random.default_rng(4).random((6, 20, 20)).astype(np.float32)
    blobs = cv2.GaussianBlur(noise.transpose(1, 2, 0), (0, 0), 1.2).transpose(2, 0, 1).astype(np.float16)
    blobs = ((blobs - blobs.min()) / (blobs.max() - blobs.min())).astype(np.float16)
    rule = {"min_share": min_share, "min_voxels": min_voxels}
    found = probe(
        page,
        """(() => {
            const model = viewer.study.models.get(viewer.data.model.id);
            model.rule = { min_share: 1, min_voxels: 0 };
            viewer.study.filtered(viewer.data.model.id, 0.5);
            const Filter = model.filter.constructor;
            const filter = new Filter(Uint16Array.from(argument.bits), [6, 20, 20], argument.rule);
            return [0.3, 0.6, 0.55].map((threshold) => [...filter.at(threshold)]);
        })()""",
        {"bits": blobs.view(np.uint16).ravel().tolist(), "rule": rule},
    )
    for threshold, mask in zip([0.3, 0.6, 0.55], found, strict=True):
        expected = PostProcessing(min_share, min_voxels).mask(blobs, threshold)
        assert (np.array(mask, np.uint8).reshape(6, 20, 20) == expected).all(), threshold


@pytest.mark.parametrize(
    ("query", "state"),
    [
        ("slice=-5&threshold=abc&overlay=<script>alert(1)</script>&opacity=NaN", {}),
        ("slice=99999&channel=constructor&overlay=toString&style=valueOf&layout=constructor&pair=__proto__", {}),
        ("layout=two&pair=This network | The other&threshold=1e99&opacity=-7", {"layout": "two", "threshold": 0.99}),
        ("simple_viewer=banana&weights=../../x&beside=<b>", {}),
    ],
)
def test_a_nonsense_link_opens_the_usual_view(page, app_address, query, state):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_app(page, app_address, f"?patient={SECOND}&{query}")
    usual = {"channel": "FLAIR", "overlay": "Predicted", "style": "Fill", "layout": "one", "threshold": 0.5, **state}
    assert probe(page, "argument.map((name) => viewer.state[name])", list(usual)) == list(usual.values())
    assert probe(page, "viewer.position[0]") == 13  # where the lesion is largest
    assert page.get_by_test_id("stException").count() == 0
    assert errors == []


def test_a_nonsense_link_opens_the_simple_viewer_too(page, app_address):
    page.goto(
        f"{app_address}/?patient={SECOND}&simple_viewer=true&slice=-5&threshold=abc&overlay=<b>&channel=x&opacity=z"
    )
    page.locator(f'img[alt="{SECOND}, slice 14, FLAIR, overlay Predicted"]').wait_for(timeout=120_000)
    assert page.get_by_test_id("stException").count() == 0


def test_patients_changed_in_a_hurry_and_reloads_leave_no_error(page, app_address):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_app(page, app_address, f"?patient={SECOND}")
    box = canvas_box(page)
    for number_ in (3, 4, 5, 6):
        patient = f"PHANTOM_ICBM_000{number_}"
        page.get_by_role("combobox", name="Patient").click()
        page.keyboard.type(patient)
        page.get_by_role("option").first.filter(has_text=patient).wait_for()
        page.keyboard.press("Enter")
        page.mouse.move(box["x"] + 200 + number_, box["y"] + 200)
        page.mouse.wheel(0, 120)
        page.mouse.click(box["x"] + 210, box["y"] + 210)
    wait_for_view(page, "viewer.data.patient.startsWith('PHANTOM_ICBM_0006')")
    for _ in range(3):
        page.reload(wait_until="commit")
        page.wait_for_timeout(200)
    wait_for_view(page, "viewer.data.patient.startsWith('PHANTOM_ICBM_0006')")
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_test_id("stAlert").count() == 0
    assert errors == []


def test_no_picture_of_the_patient_before_stands_under_a_new_name(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}")
    probe(page, "viewer.update({ ...viewer.data, volume: 'on its way', patient: 'NEXT' }, viewer.tell)")
    page.wait_for_timeout(300)
    assert probe(page, "viewer.panes[0].canvas.getContext('2d').getImageData(200, 200, 1, 1).data[3]") == 0
    assert page.locator(".numbers").inner_text() == ""
    assert page.locator(".where").inner_text() == ""
    assert "Loading the slices" in page.locator(".progress").inner_text()
    page.locator(".pane canvas").first.hover()
    page.mouse.wheel(0, 120)


def test_the_pane_that_was_clicked_takes_the_keys(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14&layout=planes")
    page.locator(".pane canvas:visible").nth(1).hover()  # its middle is no slice that the first pane shows
    assert re.match(r"x 12\d, y \d+, slice 1[23] · pre \d+", page.locator(".pixel").inner_text())
    for pane, axis in ((1, 1), (2, 2), (0, 0)):
        page.locator(".pane canvas:visible").nth(pane).click()
        before = probe(page, "viewer.position")
        page.keyboard.press("ArrowUp")
        before[axis] += 1
        assert probe(page, "viewer.position") == before


def test_what_is_chosen_is_seen_in_two_panes(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14&layout=two")
    captions = page.locator("figcaption:visible")
    assert captions.all_inner_texts() == ["FLAIR · Expected", "FLAIR · Predicted"]
    page.get_by_role("radio", name="Attention 2").check()
    wait_for_view(page, "viewer.pair === 'Picture | Overlay'")
    assert captions.all_inner_texts() == ["FLAIR", "FLAIR · Attention 2"]
    page.locator("[data-select=pair]").select_option("FLAIR | Post-contrast")
    wait_for_view(page, "viewer.pair === 'FLAIR | Post-contrast'")
    assert captions.all_inner_texts() == ["FLAIR · Attention 2", "Post-contrast · Attention 2"]
    page.locator(".pane canvas").first.click()
    page.keyboard.press("2")
    wait_for_view(page, "viewer.pair === 'Picture | Overlay'")
    assert captions.all_inner_texts() == ["Pre-contrast", "Pre-contrast · Attention 2"]
    # the first pane has no expected mask to show where there is none
    probe(page, "viewer.set('pair', 'Expected | Predicted')")
    probe(page, "viewer.update({ ...viewer.data, has_expected: false }, viewer.tell)")
    assert probe(page, "viewer.pair") == "Picture | Overlay"


def test_brush_and_eraser_show_what_is_scored(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14&overlay=None")
    bare = canvas_box(page)
    page.locator(".pane canvas").first.hover()
    page.keyboard.press("b")
    assert canvas_box(page) == bare  # choosing a tool does not move the picture
    scale = bare["width"] / 256

    def stroke(*points):
        page.mouse.move(*(bare[axis] + scale * value for axis, value in zip("xy", points[0], strict=True)))
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*(bare[axis] + scale * value for axis, value in zip("xy", point, strict=True)))
        page.mouse.up()

    stroke((100, 100), (140, 100))  # radius 4
    wait_for_view(page, "viewer.drawnMask()")
    area = int(number(page, "Your area").removesuffix(" px"))
    assert area == pytest.approx(40 * 8 + np.pi * 16, abs=12)
    assert number(page, "Your Dice, network") != "–"
    assert page.locator(".legend").inner_text() == "your outline"
    page.keyboard.press("e")
    stroke((120, 90), (120, 110))
    wait_for_view(page, "viewer.outline.strokes.length === 2")
    assert probe(page, "[100, 120, 140].map((x) => viewer.drawnMask()[100 * 256 + x])") == [1, 0, 1]
    at = "viewer.panes[0].toScreen([argument, 100.5]).map(Math.round)"
    yellow = (
        "(([r, g, b]) => r > b + 30)([...viewer.panes[0].canvas.getContext('2d').getImageData(...{at}, 1, 1).data])"
    )
    assert [probe(page, yellow.replace("{at}", at), x + 0.5) for x in (105, 120, 135)] == [True, False, True]
    page.keyboard.press("ArrowUp")  # another slice: nothing to take back there
    wait_for_view(page, "viewer.position[0] === 14")
    assert page.get_by_role("button", name="Undo").is_disabled()
    page.keyboard.press("ArrowDown")
    wait_for_view(page, "viewer.position[0] === 13")
    page.get_by_role("button", name="Undo").click()
    wait_for_view(page, "viewer.drawnMask()[100 * 256 + 120] === 1")


def test_full_screen_and_help(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    page.locator(".pane canvas").first.hover()
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("one slice; up is the next one").wait_for()
    page.keyboard.press("Escape")
    before = canvas_box(page)["width"]
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement")
    page.wait_for_timeout(500)
    assert canvas_box(page)["width"] > 1.2 * before
    page.keyboard.press("f")
    page.wait_for_function("() => !document.fullscreenElement")


def test_fingers_scroll_zoom_and_never_leave_a_stroke_of_two(browser, app_address):
    context = browser.new_context(viewport={"width": 800, "height": 1200}, has_touch=True, device_scale_factor=2)
    page = context.new_page()
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    box = canvas_box(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = context.new_cdp_session(page)

    def touch(kind, *points):
        points = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    touch("Start", (x, y))
    for step in range(1, 7):
        touch("Move", (x, y - 10 * step))
    touch("End")
    wait_for_view(page, "viewer.position[0] === 18")  # 60 pixels, 12 for each slice
    for tool in ("move", "lasso"):
        probe(page, "(viewer.reset(), viewer.set('tool', argument))", tool)
        touch("Start", (x - 20, y))
        touch("Start", (x - 20, y), (x + 20, y))
        for step in range(1, 9):
            touch("Move", (x - 20 - 10 * step, y), (x + 20 + 10 * step, y))
        touch("End")
        wait_for_view(page, "viewer.cameras.axial.zoom > 4")
        assert probe(page, "viewer.outline.strokes.length") == 0
    context.close()


def test_a_single_slice_keeps_everything_whatever_the_rule(page, app_address):
    open_app(page, app_address, f"?patient={SECOND}&slice=14")
    slices = probe(
        page,
        """[1, 2].map((slices) => {
            const one = Object.create(Object.getPrototypeOf(viewer.study));
            Object.assign(one, { shape: [slices, 1, 2], models: new Map() });
            const probability = new Uint16Array(2 * slices).fill(0x3b00);
            const rule = { min_share: 0, min_voxels: 9 };
            one.models.set('m', { probability, rule, indexed: Array(slices).fill(true) });
            return [...one.predicted('m', 0, 0.5)];
        })""",
    )
    assert slices == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("browser_script", "said"),
    [
        ("delete globalThis.DecompressionStream", "This browser is too old for this viewer."),
        (
            "const subarray = Uint8Array.prototype.subarray;"  # every parcel loses its last bytes
            "Uint8Array.prototype.subarray = function (first, end) {"
            "  return subarray.call(this, first, end ?? this.length - 5);"
            "}",
            "Some slices arrived damaged. Reload the page.",
        ),
    ],
)
def test_slices_that_cannot_be_unpacked_are_named(page, app_address, browser_script, said):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(browser_script)
    page.goto(f"{app_address}/?patient={SECOND}")
    page.locator(".progress").filter(has_text=said).wait_for()
    assert errors == []
