"""Every page from a cold start, without a browser."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from unet.data.patients import DEMO_FOLDER, list_patients
from unet.data.slice_files import DataError
from unet.data.volume import Volume
from unet.inference.running import RunningSegmentation
from unet.inference.segmenter import Segmenter
from unet.paths import WEIGHTS_FOLDER
from unet.weights.network import find_weights
from views.explore.finder import _matches
from views.shared import loaders, weights_picker

PHANTOM = "PHANTOM_ICBM_0001_20260101"
SECOND = "PHANTOM_ICBM_0002_20260102"


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Return a function that opens the app on a folder, with empty caches."""
    st.cache_data.clear()
    st.cache_resource.clear()

    def open_app(data=DEMO_FOLDER, **query):
        monkeypatch.setenv("UNET_DATA", str(data))
        app = AppTest.from_file("../streamlit_app.py", default_timeout=120)
        # what the canvas draws is for tests/browser; the simple viewer has widgets that can be driven here
        for name, value in {"simple_viewer": "true", **query}.items():
            app.query_params[name] = value
        return app.run()

    return open_app


def metric(app, label):
    return next(m.value for m in app.metric if m.label == label)


def test_explore_says_why_results_has_another_number(start, monkeypatch):
    app = start()
    published = "Results shows the published volume Dice of this patient, 0.968, computed with OpenVINO bfloat16."
    assert len([one for one in app.caption if one.value.endswith(published)]) == 1
    assert any(one.value.startswith("This page computes the mask with OpenVINO int8.") for one in app.caption)
    reports = loaders.shipped_reports()
    for report in reports["attention-unet-32"].values():
        report["protocol"]["engine"] = "OpenVINO int8"
    monkeypatch.setattr(loaders, "shipped_reports", lambda: reports)
    assert not any("published volume Dice" in one.value for one in app.run().caption)


def test_explore_opens_on_a_segmented_phantom(start):
    app = start()
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="patient").value == PHANTOM
    # the expected lesion of this phantom is on slices 11 to 18; an opening slice outside would show nothing
    assert 11 <= app.slider(key="slice").value <= 18
    assert float(metric(app, "Volume Dice")) >= 0.75
    assert metric(app, "Predicted area").endswith(" px")
    assert any("it does not diagnose" in caption.value for caption in app.caption)
    assert [str(m.value).split(" · ")[0] for m in app.markdown if " × " in str(m.value)] == [
        "**Attention 4**",
        "**Attention 3**",
        "**Attention 2**",
        "**Attention 1**",
        "**Probability**",
    ]


def test_phantoms_are_called_phantoms(start):
    app = start()
    texts = " ".join(str(element.value) for element in app.markdown)
    assert "phantom" in texts
    assert "synthetic" in texts


def test_a_link_restores_the_view(start):
    app = start(patient=SECOND, slice="12", channel="RGB", overlay="Errors", threshold="0.7")
    assert not app.exception
    assert app.selectbox(key="patient").value == SECOND
    assert app.slider(key="slice").value == 12
    assert app.get_by_key("channel").value == "RGB"
    assert app.get_by_key("overlay").value == "Errors"
    assert app.slider(key="threshold").value == 0.7


@pytest.mark.parametrize("linked", ["0", "25", "-3", "x", "²", "9" * 400])
def test_a_link_to_no_slice_opens_the_lesion(start, linked):
    app = start(patient=PHANTOM, slice=linked)
    assert not app.exception
    assert 11 <= app.slider(key="slice").value <= 18


def test_a_link_to_an_unknown_patient_says_so_and_goes_on(start):
    app = start(patient="TCGA_NO_BODY_1")
    assert r"TCGA\_NO\_BODY\_1" in app.warning[0].value  # as words, whatever a link brings
    app = start(patient="[log in](http://elsewhere.example)")
    assert r"\[log in\]\(http\:" in app.warning[0].value
    assert app.selectbox(key="patient").value == PHANTOM


def test_nothing_but_the_patient_runs_the_network(start, monkeypatch):
    app = start()
    calls = []
    original = Segmenter.predict_slices
    monkeypatch.setattr(
        Segmenter,
        "predict_slices",
        lambda *args, **more: calls.append(len(more.get("indices", args[1]))) or original(*args, **more),
    )
    app.slider(key="slice").set_value(3).run()
    app.slider(key="threshold").set_value(0.8).run()
    app.slider(key="opacity").set_value(90).run()
    app.get_by_key("overlay").set_value("Attention 2").run()
    assert calls == []
    app.selectbox(key="patient").set_value(SECOND).run()
    assert sum(calls) == 24
    assert not app.exception


def test_threshold_changes_mask_and_scores(start):
    app = start()
    before = metric(app, "Predicted area"), metric(app, "Precision")
    app.slider(key="threshold").set_value(0.95).run()
    after = metric(app, "Predicted area"), metric(app, "Precision")
    pixels = [int(text.removesuffix(" px").replace(",", "")) for text in (before[0], after[0])]
    assert pixels[1] < pixels[0]
    assert float(after[1]) >= float(before[1])


def test_a_new_patient_opens_on_its_own_lesion(start):
    app = start()
    app.slider(key="slice").set_value(1).run()
    app.selectbox(key="patient").set_value("PHANTOM_ICBM_0005_20260105").run()
    # its lesion is on slices 15 to 20
    assert 15 <= app.slider(key="slice").value <= 20


def test_hide_button_takes_the_overlay_away_and_back(start):
    app = start()
    assert app.button(key="hide").label == "Hide"
    app.button(key="hide").click().run()
    assert app.button(key="hide").label == "Show"
    app.button(key="hide").click().run()
    assert app.button(key="hide").label == "Hide"


def test_search_narrows_the_table(start):
    app = start()
    assert len(app.dataframe[0].value) == 6
    app.text_input(key="patient_search").set_value("0003").run()
    assert app.dataframe[0].value["Patient"].tolist() == ["PHANTOM_ICBM_0003_20260103"]
    app.text_input(key="patient_search").set_value("Phantom POST-contrast").run()  # every word, in any order
    assert app.dataframe[0].value["Patient"].tolist() == ["PHANTOM_ICBM_0004_20260104"]
    app.text_input(key="patient_search").set_value("unknown").run()  # no phantom has a grade
    assert len(app.dataframe[0].value) == 6
    app.text_input(key="patient_search").set_value("None").run()  # a word of Python's, not of the table
    assert len(app.dataframe[0].value) == 0
    row = pd.Series({"Patient": "A", "Sex": "female", "Histology": "oligoastrocytoma"})
    assert [word for word in ("female", "male", "astro", "Astro female", "astro male") if _matches(row, word)] == [
        "female",
        "astro",
        "Astro female",
    ]
    app.text_input(key="patient_search").set_value("no such thing").run()
    assert len(app.dataframe[0].value) == 0
    assert not app.exception


def test_a_slice_without_expected_mask_has_no_score(start, tmp_path):
    root = tmp_path / "kaggle_3m"
    shutil.copytree(DEMO_FOLDER / PHANTOM, root / PHANTOM)
    (root / PHANTOM / f"{PHANTOM}_14_mask.tif").unlink()
    app = start(root, slice="14")
    assert metric(app, "Slice Dice") == "–"
    assert metric(app, "Recall") == "–"
    assert float(metric(app, "Volume Dice")) > 0.5
    assert any("no expected mask" in caption.value for caption in app.caption)
    assert any(f"{PHANTOM}_14_mask.tif" in text.value for text in app.text)


def test_an_empty_slice_scores_nothing_rather_than_one(start):
    app = start(slice="24")  # the crown: nothing expected, nothing predicted
    assert metric(app, "Predicted area") == "0 px"
    assert metric(app, "Slice Dice") == "–"


def test_missing_sequence_is_said(start):
    app = start(patient="PHANTOM_ICBM_0004_20260104")
    assert any("no post-contrast" in str(element.value) for element in app.markdown)


def test_a_broken_patient_does_not_take_the_others(start, tmp_path):
    root = tmp_path / "kaggle_3m"
    shutil.copytree(DEMO_FOLDER / PHANTOM, root / PHANTOM)
    broken = root / "TCGA_BAD_0001_20000101"
    broken.mkdir()
    for number in (1, 2):
        (broken / f"{broken.name}_{number}.tif").write_bytes(b"II*\0 cut off")
    app = start(root, patient=broken.name)
    assert "none of its 2 slices can be read" in app.error[0].value
    app.selectbox(key="patient").set_value(PHANTOM).run()
    assert not app.error
    assert not app.exception


def test_a_folder_without_patients_is_an_error_with_a_remedy(start, tmp_path):
    app = start(tmp_path)
    assert f"python -m unet download --output {tmp_path}" in app.error[0].value
    assert not app.exception


def test_changed_weights_are_refused(start, monkeypatch, tmp_path):
    import unet.weights.network

    folder = tmp_path / "weights" / "attention-unet-32"
    shutil.copytree(unet.weights.network.WEIGHTS_FOLDER / "attention-unet-32", folder)
    with (folder / "weights.npz").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(unet.weights.network, "WEIGHTS_FOLDER", folder.parent)
    app = start()
    assert "truncated or was changed" in app.error[0].value
    assert not app.exception


def test_opening_slice():
    from views.viewer.slices import opening_slice

    predicted, expected = np.zeros((2, 5, 2, 2), np.uint8)
    volume = Volume("a", np.zeros((5, 2, 2, 3), np.uint8), expected, np.ones(5, bool), np.arange(5))
    assert opening_slice(volume, predicted) == 2
    expected[4, 0, 0] = 1
    assert opening_slice(volume, predicted) == 4
    predicted[1] = 1
    assert opening_slice(volume, predicted) == 1


def test_the_canvas_viewer_gets_a_volume_and_every_slice(start):
    app = start(simple_viewer="false")
    assert not app.exception
    assert not app.metric  # its numbers are in the browser
    assert len(app.get("bidi_component")) == 1 + 2 + 6  # viewer, volume, 24 slices in parcels of four


def test_the_canvas_stops_and_goes_on(start, monkeypatch):
    advance, calls = RunningSegmentation.advance, []

    def stopped_after_five(self, *args, **more):
        if len(calls) == 5:
            calls.append(None)
            assert st.session_state["stop_volume"] is False  # the button is on the page
            st.session_state.stopped = loaders.volume(list_patients(DEMO_FOLDER)[0][0])[1]
            st.rerun()  # how Streamlit ends the script at a click
        calls.append(more)
        return advance(self, *args, **more)

    monkeypatch.setattr(RunningSegmentation, "advance", stopped_after_five)
    app = start(simple_viewer="false")
    assert not app.exception
    assert len(calls) == 6
    go_on = app.button(key="continue_volume")
    assert go_on.label == "Stopped: some slices have no mask. Continue"
    go_on.click().run()
    assert not app.exception
    assert len(calls) == 6 + 24 - 5
    assert [button.key for button in app.button if button.key in ("stop_volume", "continue_volume")] == []


def test_what_the_caches_are_asked_for_comes_with_the_question(start, tmp_path):
    """A folder that is gone since the patients were listed is an error in words, and is forgotten when it is back."""
    folder = tmp_path / "data" / PHANTOM
    shutil.copytree(DEMO_FOLDER / PHANTOM, folder)
    start(tmp_path / "data")
    (patient,), _ = list_patients(tmp_path / "data")
    folder.rename(tmp_path / "away")
    st.cache_resource.clear()
    with pytest.raises(DataError):
        loaders.volume(patient)
    (tmp_path / "away").rename(folder)
    assert loaders.volume(patient)[0].patient_id == PHANTOM
    assert loaders.summaries([patient])[PHANTOM].slices == len(patient.images)


def test_a_second_network_that_is_the_first_is_shown_once(start, monkeypatch, tmp_path):
    copy = tmp_path / "again"
    shutil.copytree(WEIGHTS_FOLDER / "attention-unet-32", copy)
    found = {"attention-unet-32": find_weights(), "again": replace(find_weights(copy), name="again")}
    monkeypatch.setattr(weights_picker, "shipped_names", lambda: list(found))
    monkeypatch.setattr(weights_picker, "shipped_weights", lambda: found)
    app = start(patient=PHANTOM, beside="again")
    assert not app.exception
    assert "Both choices are the same network, so only one is shown." in [caption.value for caption in app.caption]
