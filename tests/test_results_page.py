"""The Results page from a cold start: shipped evaluations, two models, patients of one's own."""

import json
import shutil

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import unet.weights.network
from unet.data.patients import DEMO_FOLDER
from views.results import own_patients

ONE = "PHANTOM_ICBM_0001_20260101"


@pytest.fixture
def start(monkeypatch, tmp_path):
    """A function that opens the page by its direct link, on a folder of one phantom, with empty caches."""
    st.cache_data.clear()
    st.cache_resource.clear()
    shutil.copytree(DEMO_FOLDER / ONE, tmp_path / "kaggle_3m" / ONE)

    def open_page(**query):
        monkeypatch.setenv("UNET_DATA", str(tmp_path / "kaggle_3m"))
        app = AppTest.from_file("../pages/results.py", default_timeout=120)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return open_page


@pytest.fixture
def weights_folder(monkeypatch, tmp_path):
    """A copy of the shipped weights that a test may change."""
    folder = tmp_path / "weights" / "attention-unet-32"
    shutil.copytree(unet.weights.network.WEIGHTS_FOLDER / folder.name, folder)
    monkeypatch.setattr(unet.weights.network, "WEIGHTS_FOLDER", folder.parent)
    return folder


def metric(app, label):
    return next(m.value for m in app.metric if m.label == label)


def texts(app):
    return " ".join(str(element.value) for element in (*app.markdown, *app.caption, *app.info))


def test_validation_shows_what_the_file_says(start, weights_folder):
    app = start()
    app.get_by_key("split").set_value("validation").run()
    assert not app.exception
    report = json.loads((weights_folder / "validation.json").read_text())
    assert metric(app, "Mean volume Dice") == f"{report['protocol']['rows']['published']['mean']:.3f}"
    assert len(app.get("plotly_chart")) == 8
    assert "./?patient=TCGA_" in texts(app) and "overlay=Errors" in texts(app)
    assert "not count as 1" in texts(app)


def test_the_peer_s_figures_come_with_their_caveat(start):
    app = start()
    app.get_by_key("split").set_value("test").run()
    said = texts(app)
    assert "0.909" in said and "0.923" in said
    assert "the best of 100 epochs, chosen on these ten patients; trained on the other 100" in said
    app.get_by_key("split").set_value("phantoms").run()
    assert "0.909" not in texts(app)
    assert "synthetic" in texts(app)


def test_pictures_of_failures_where_the_patients_are_there(start):
    app = start()
    app.get_by_key("split").set_value("phantoms").run()
    assert len(app.get("image")) == 0
    app.toggle[0].set_value(True).run()
    assert not app.exception
    assert 1 <= len(app.get("image")) <= 2  # of the one phantom that is there, at most two slices
    assert "The pictures show OpenVINO int8, the figures are those of OpenVINO bfloat16" in texts(app)
    app.get_by_key("split").set_value("validation").run()
    assert not app.toggle
    assert "need these patients in the app's data folder" in texts(app)


def test_a_failure_opens_in_the_viewer_at_its_slice(start):
    app = start(simple_viewer="true")
    app.get_by_key("split").set_value("phantoms").run()
    here = [button for button in app.button if button.label == "Show it here"]
    assert {button.key.split("_slice")[0].rsplit("_", 1)[0] for button in here} == {f"failure_{ONE}"}
    here[0].click().run()
    assert not app.exception
    number = here[0].key.rsplit("_", 1)[1]
    assert app.slider(key="slice").value == int(number)
    assert app.get_by_key("overlay").value == "Errors"
    app.slider(key="slice").set_value(20).run()  # from there on the visitor decides
    assert app.slider(key="slice").value == 20
    next(button for button in app.button if button.label == "Close").click().run()
    assert not app.exception
    assert not app.get("image")


def test_patients_that_are_not_there_have_no_button(start):
    app = start()
    app.get_by_key("split").set_value("validation").run()
    assert not [button for button in app.button if button.label == "Show it here"]
    assert "The pictures, the viewer and the links to Explore need these patients" in texts(app)


def test_a_short_evaluation_shows_dice_and_says_what_is_missing(start, weights_folder):
    report = json.loads((weights_folder / "validation.json").read_text())
    del report["protocol"]
    (weights_folder / "validation.json").write_text(json.dumps(report))
    app = start()
    app.get_by_key("split").set_value("validation").run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1
    assert "--protocol full" in texts(app)


def test_two_models_stand_side_by_side(start, weights_folder):
    other = weights_folder.with_name("other")
    shutil.copytree(weights_folder, other)
    report = json.loads((other / "validation.json").read_text())
    report["weights"] = "other"
    for numbers in report["protocol"]["patients"].values():
        numbers["dice"]["published"] -= 0.01
    (other / "validation.json").write_text(json.dumps(report))
    app = start()
    app.get_by_key("split").set_value("validation").run()
    app.selectbox(key="beside").set_value("other").run()
    assert not app.exception
    assert "difference −0.010" in texts(app)
    assert "better in 0 and worse in 11 patients" in texts(app)


def test_a_failure_s_link_names_weights_that_are_not_the_default(start, weights_folder):
    other = weights_folder.with_name("other")
    shutil.copytree(weights_folder, other)
    app = start(weights="other")
    app.get_by_key("split").set_value("phantoms").run()
    assert "overlay=Errors&weights=other)" in texts(app)
    app.selectbox(key="weights").set_value("attention-unet-32").run()
    assert "overlay=Errors)" in texts(app) and "weights=other" not in texts(app)


def test_a_broken_evaluation_is_one_plain_sentence(start, weights_folder):
    (weights_folder / "test.json").write_text("{")
    app = start()
    assert "test.json cannot be used" in app.error[0].value
    assert not app.exception


def test_own_patients_are_evaluated_and_join_the_page(start, monkeypatch):
    monkeypatch.setattr(own_patients, "SECONDS_A_RERUN", 60.0)  # AppTest does not rerun by the clock
    app = start()
    app.button(key="own_start").click().run()
    assert not app.exception
    assert app.get_by_key("split").value == "your patients"
    report = json.loads((unet.weights.network.WEIGHTS_FOLDER / "attention-unet-32" / "phantoms.json").read_text())
    assert float(metric(app, "Mean volume Dice")) == pytest.approx(report["patients"][ONE]["raw"], abs=0.001)


def test_cancel_keeps_nothing_half_done(start, monkeypatch):
    monkeypatch.setattr(own_patients, "SECONDS_A_RERUN", 0.01)
    app = start()
    app.button(key="own_start").click().run()
    app.button(key="own_cancel").click().run()
    assert not app.exception
    assert "your patients" not in app.get_by_key("split").options
    assert app.button(key="own_start").label == "Evaluate"


def test_patients_without_masks_are_named_and_left_out(start, monkeypatch, tmp_path):
    monkeypatch.setattr(own_patients, "SECONDS_A_RERUN", 60.0)
    for mask in (tmp_path / "kaggle_3m" / ONE).glob("*_mask.tif"):
        mask.unlink()
    app = start()
    app.button(key="own_start").click().run()
    assert not app.exception
    assert any(f"{ONE} has no expected masks" in text.value for text in app.text)
