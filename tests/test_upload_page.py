"""The Upload page without a browser: what was found, what is said, and that nothing outlives its upload."""

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests import hostile
from tests.segmentations import files_of, seg_bytes, segmentation, series
from tests.upload_files import (
    dicom_bytes,
    dicom_slice,
    dicom_study,
    nifti_bytes,
    nifti_of,
    png_bytes,
    tiff_bytes,
    zip_bytes,
)
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.inference.running import RunningSegmentation
from unet.inference.segmenter import Segmenter
from unet.scans.mapping import Channel
from unet.scans.samples import SAMPLES

# file indices (slice, column, row) to RAS+ millimetres: slices to the back, columns to the left, rows down
CORONAL = np.array([[0, -1.0, 0, 128], [-6.0, 0, 0, 20], [0, 0, -1.0, 128], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def phantom() -> np.ndarray:
    """Eight slices of a phantom, around its lesion."""
    return load_volume(list_patients(DEMO_FOLDER)[0][0]).images[10:18]


@pytest.fixture
def page():
    """The page from a cold start."""
    st.cache_data.clear()
    st.cache_resource.clear()
    app = AppTest.from_file("../pages/upload.py", default_timeout=120)
    app.query_params["simple_viewer"] = "true"
    return app.run()


def drop(app, *files: tuple[str, bytes]):
    app.file_uploader[0].set_value([(name, content, "application/octet-stream") for name, content in files])
    return app.run()


def texts(app) -> str:
    elements = [*app.markdown, *app.caption, *app.text, *app.error, *app.warning]
    return "\n".join(str(element.value) for element in elements)


def labels(app) -> list[str]:
    return [button.label for button in app.get("download_button")]


def test_a_study_is_found_mapped_segmented_and_offered(page, phantom):
    app = drop(page, ("study.zip", zip_bytes(dicom_study(phantom.astype(np.uint16) * 16))))
    assert not app.exception and not app.error and not app.warning
    said = texts(app)
    assert "DICOM · 8 slices of 256 × 256 · 16 bit · MR · axial · 1.00 × 1.00 mm, slices 6.00 mm apart" in said
    assert [box.value.scan for box in app.selectbox[:3]] == [0, 1, 2]
    assert "Doe" not in said and "SECRET" not in said
    assert labels(app) == []
    app.button(key="segment").click().run()
    assert not app.exception and not app.error
    assert set(labels(app)) >= {"Report", "Mask as DICOM-SEG", "Mask as NIfTI", "Sizes as CSV", "Masks as PNG"}
    assert "mL" in texts(app)


def test_a_stopped_segmentation_keeps_its_slices_and_goes_on(page, phantom, monkeypatch):
    app = drop(page, ("a.nii", nifti_of(phantom)))
    advance, calls, segmenters = RunningSegmentation.advance, [], []

    def stopped_after_three(self, *args, **more):
        if len(calls) == 3:
            calls.append("stopped")
            assert st.session_state["stop"] is False  # the button is on the page
            st.session_state.pop("segmented")  # what a click does, and how Streamlit ends the script
            st.rerun()
        calls.append(more)
        segmenters.append(self._segmenter)
        return advance(self, *args, **more)

    monkeypatch.setattr(RunningSegmentation, "advance", stopped_after_three)
    app.button(key="segment").click().run()
    assert not app.exception
    assert "Stopped: 3 of 8 slices are segmented. They are kept." in texts(app)
    assert (len(calls), segmenters[0].waiting) == (4, 0)
    assert app.button(key="segment").label == "Continue"
    app.button(key="segment").click().run()
    assert not app.exception
    assert len(calls) == 4 + 5  # the other slices, and none twice
    assert "Report" in labels(app)


def test_results_survive_other_widgets_without_another_run(page, phantom, monkeypatch):
    app = drop(page, ("a.nii", nifti_of(phantom)))
    app.button(key="segment").click().run()
    calls = []
    original = Segmenter.predict_slices
    monkeypatch.setattr(
        Segmenter,
        "predict_slices",
        lambda *args, **more: calls.append(len(more.get("indices", args[1]))) or original(*args, **more),
    )
    app.slider(key="input_slice").set_value(2).run()
    app.slider(key="export_threshold").set_value(0.7).run()
    app.toggle(key="neurological").set_value(True).run()
    assert calls == []
    assert "Mask as NIfTI" in labels(app)
    assert "Mask as DICOM-SEG" not in labels(app)
    assert not app.exception


def test_a_rejected_file_does_not_show_the_last_ones_result(page, phantom):
    app = drop(page, ("a.nii", nifti_of(phantom)))
    app.button(key="segment").click().run()
    assert labels(app)
    app = drop(app, ("bad.dcm", b"this is no MRI"))
    assert labels(app) == []
    assert "unknown file type" in app.error[0].value
    assert "private_segmentation" not in app.session_state
    app = drop(app, ("a.png", png_bytes(phantom[4])))
    assert not app.error
    assert labels(app) == []  # another picture has to be segmented anew


def test_taking_the_file_away_forgets_it(page, phantom):
    app = drop(page, ("a.nii", nifti_of(phantom)))
    app.button(key="segment").click().run()
    app.file_uploader[0].set_value([])
    app.run()
    for name in ("reading", "upload_volume", "input_statistics", "private_segmentation"):
        assert name not in app.session_state
    assert labels(app) == []


def test_one_good_file_beside_a_bad_one(page, phantom):
    app = drop(page, ("bad.dcm", b"no"), ("flair.png", png_bytes(phantom[4, ..., 1])))
    said = texts(app)
    assert "bad.dcm: unknown file type" in said
    assert "Its name says “flair”." in said
    assert "PNG · 1 slice of 256 × 256 · 8 bit · orientation unknown" in said
    assert "size in millimetres unknown" in said
    assert "Missing: pre-contrast, post-contrast. FLAIR is used instead" in said
    app.button(key="segment").click().run()
    assert not app.exception
    assert "Orientation unknown" in texts(app)


def test_burned_in_text_is_warned_about_where_it_is_found_and_where_it_leaves(page, phantom):
    image = phantom[4, ..., 1].astype(np.uint16)
    app = drop(page, ("a.dcm", dicom_bytes(dicom_slice(image, BurnedInAnnotation="YES"))))
    assert [one.value for one in app.warning if "text is burned" in one.value] != []
    app.button(key="segment").click().run()
    assert len([one for one in app.warning if "text is burned" in one.value]) == 2


def test_a_phones_photo_is_segmented(page):
    photo = np.random.default_rng(0).integers(0, 255, (128, 640, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    app = drop(page, ("a.png", png_bytes(photo)))
    assert not app.error
    assert "Scaled down from 2560 × 512 to 2048 × 410" in texts(app)
    assert app.warning
    app.button(key="segment").click().run()
    assert not app.exception and "Masks as PNG" in labels(app)


def test_an_unlike_picture_is_warned_about(page, phantom):
    app = drop(page, ("a.png", png_bytes(255 - phantom[4])))
    assert "perhaps inverted" in app.warning[0].value
    app = drop(app, ("a.png", png_bytes(phantom[4])))
    assert not app.warning


def test_another_choice_of_sequences_is_another_result(page, phantom):
    app = drop(page, ("study.zip", zip_bytes(dicom_study(phantom.astype(np.uint16)))))
    app.button(key="segment").click().run()
    assert labels(app)
    app.selectbox[0].set_value(app.selectbox[0].options[0]).run()
    assert not app.exception


@pytest.mark.parametrize(
    "name",
    [
        "1x1_png",
        "nifti_of_32000_cubed",
        "dicom_nested_3000_deep",
        "constant_png",
        "nifti_2_of_170000_slices",
        "nifti_of_9_largest_slices",
        "dicom_rows_1e-300_mm_apart",
        "dicom_columns_1e300_mm_apart",
        "dicom_jpeg_of_4096_squared",
    ],
)
def test_hostile_files_end_in_words(page, name, phantom):  # all of them: python -m tests.measure_uploads
    _, files = hostile.corpus()[name]
    app = drop(page, *files)
    assert not app.exception
    assert app.error or app.warning
    app = drop(app, ("a.png", png_bytes(phantom[4])))
    assert not app.exception and not app.error


def test_three_pictures_may_be_slices(page):
    files = [(f"{n}.png", png_bytes(hostile.slice_image(seed=n))) for n in (1, 2, 3)]
    app = drop(page, *files)
    assert [box.label for box in app.selectbox] == ["Pre-contrast", "FLAIR", "Post-contrast", "Expected mask"]
    toggle = next(one for one in app.toggle if "slices of one stack" in one.label)
    toggle.set_value(True).run()
    assert not app.exception
    assert "Neither its name nor its header says which sequence it is." in texts(app)
    assert "PNG · 3 slices of 64 × 64" in texts(app)


def test_a_mask_dropped_along_is_scored(page, phantom):
    mask = load_volume(list_patients(DEMO_FOLDER)[0][0]).expected_mask[14]
    app = drop(page, ("a.png", png_bytes(phantom[4])), ("a_mask.png", png_bytes(mask * np.uint8(255))))
    assert app.selectbox[3].value.scan == 1
    app.button(key="segment").click().run()
    assert not app.exception and not app.error
    assert float({one.label: one.value for one in app.metric}["Volume Dice"]) > 0.8
    app.selectbox[3].set_value(app.selectbox[3].options[0]).run()
    assert labels(app) == []  # without the mask it is another result


def test_a_dicom_seg_beside_its_series_is_the_expected_mask(page, phantom):
    datasets, part = series(4, 256, 256), slice(12, 16)
    volume = load_volume(list_patients(DEMO_FOLDER)[0][0])
    for one, image in zip(datasets, volume.images[part, ..., 1], strict=True):
        one.PixelData = (image.astype(np.uint16) * 16).tobytes()
    brain = (volume.images[part, ..., 1] > 20).astype(np.uint8)
    drawn = segmentation(datasets, {"Whole brain": brain, "Lesion": volume.expected_mask[part]})
    app = drop(page, ("study.zip", zip_bytes(files_of(datasets))), ("seg.dcm", seg_bytes(drawn)))
    assert [app.selectbox[number].value.scan for number in (1, 3)] == [0, 1]
    assert "Not counted as lesion: Whole brain." in texts(app)
    app.button(key="segment").click().run()
    assert not app.exception and not app.error
    assert float({one.label: one.value for one in app.metric}["Volume Dice"]) > 0.7
    [keep] = [box for box in app.checkbox if box.label == "Name the patient in the DICOM-SEG"]
    assert keep.value is False and "The files contain no name" in texts(app)
    keep.check().run()
    assert "The DICOM-SEG names the patient. The other files do not." in texts(app)


def test_a_mask_that_is_none_costs_the_score_and_not_the_picture(page, phantom):
    app = drop(page, ("a.png", png_bytes(phantom[4])), ("a_mask.png", png_bytes(phantom[4, ..., 0])))
    assert "so it is not a mask" in texts(app)
    assert not app.error and not app.exception
    assert app.button(key="segment")


def test_a_mask_of_another_size_is_said_and_left(page, phantom):
    app = drop(page, ("a.png", png_bytes(phantom[4])), ("a_mask.png", png_bytes(np.zeros((32, 32), np.uint8))))
    assert r"Not used as mask\: 2. a\_mask.png has another size than FLAIR" in texts(app)
    assert not app.error and not app.exception


def test_the_words_for_the_order_of_slices_follow_the_plane(page, phantom):
    app = drop(page, ("a.nii", nifti_bytes(np.ascontiguousarray(phantom[..., 1].transpose(0, 2, 1)), CORONAL)))
    app.button(key="segment").click().run()
    assert app.slider(key="slice").label == "Slice of 8, from the nose to the back of the head"
    app = drop(app, ("a.tif", tiff_bytes(np.ascontiguousarray(phantom[..., 1]), photometric="minisblack")))
    app.button(key="segment").click().run()
    assert app.slider(key="slice").label == "Slice of 8, in the order of the file"


def asked(app) -> list[str]:
    """The questions about sequences, one warning each; what the slices show is another warning."""
    return [one.value for one in app.warning if "used as" in one.value and "looks like" not in one.value]


def test_a_picture_that_is_not_stated_to_be_flair_is_a_question(page, phantom):
    app = drop(page, ("t1.png", png_bytes(phantom[3, ..., 0])))
    [question] = asked(app)
    assert "says pre-contrast, but it is used as FLAIR" in question
    app.button(key="upload_confirm").click().run()
    assert asked(app) == []
    assert "segment" in [button.key for button in app.button]
    app = drop(app, ("flair.png", png_bytes(phantom[3, ..., 1])))
    assert asked(app) == []


def test_one_click_says_which_of_the_pictures_is_flair(page, phantom):
    app = drop(page, *((f"{name}.png", png_bytes(phantom[3, ..., n])) for n, name in enumerate("abc")))
    [question] = asked(app)
    assert question.count("\n") == 2  # three sequences by their place alone
    app.button(key=f"flair_{Channel(0, 0)}").click().run()
    assert app.selectbox[1].value == Channel(0, 0)
    assert "You chose it." in texts(app)
    assert asked(app) == []


def test_a_sample_is_read_as_an_upload_and_closed_again(page):
    page.button(key="sample_dicom").click().run()
    assert not page.exception and not page.error
    assert "phantom" in texts(page)
    assert all(box.value.scan >= 0 for box in page.selectbox[:3])
    assert "segment" in [button.key for button in page.button]
    page.button(key="close_sample").click().run()
    assert "reading" not in page.session_state
    assert [button.key for button in page.button] == [f"sample_{sample.key}" for sample in SAMPLES]


def test_own_files_take_the_place_of_a_sample(page, phantom):
    page.button(key="sample_png").click().run()
    app = drop(page, ("flair.png", png_bytes(phantom[3, ..., 1])))
    assert "close_sample" not in [button.key for button in app.button]
    assert "flair" in texts(app) and "phantom" not in texts(app)


def test_aligned_sequences_and_flair_alone_are_one_click_where_the_head_moved(page):
    app = page.button(key="sample_moved").click().run()
    assert [box.value.scan for box in app.selectbox[:3]] == [0, 1, 2]  # not without being asked
    [warning] = [one.value for one in app.warning if "lies elsewhere" in one.value]
    assert warning.startswith(
        "The head lies elsewhere on pre-contrast and post-contrast than on FLAIR, about 9 mm, turned by about 6°"
    )
    app.button(key="align").click().run()
    assert "Moved onto FLAIR: pre-contrast and post-contrast" in texts(app)
    assert not [one.value for one in app.warning if "lies elsewhere" in one.value]
    app.button(key="undo_alignment").click().run()
    app.button(key="flair_alone").click().run()
    assert [box.value.scan for box in app.selectbox[:3]] == [-1, 1, -1]
    assert not [one.value for one in app.warning if "lies elsewhere" in one.value]


def test_scores_stand_only_beside_a_mask(page, phantom):
    app = drop(page, ("flair.png", png_bytes(phantom[4, ..., 1])))
    app.button(key="segment").click().run()
    assert [metric.label for metric in app.metric] == ["Predicted area"]


def test_a_picture_is_enlarged(page, phantom):
    app = drop(page, ("flair.nii", nifti_bytes(np.ascontiguousarray(phantom[..., 1].transpose(2, 1, 0)))))
    app.button(key="enlarge_0").click().run()
    assert not app.exception
    assert app.slider(key="enlarged_slice").max == 8
