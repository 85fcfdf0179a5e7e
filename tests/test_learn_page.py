"""The page "How it works" from a cold start, without a browser."""

import json
import re
import shutil

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.inference.conversion import export_openvino, openvino_model
from unet.inference.engines import InferenceError
from unet.inference.segmenter import Segmenter
from unet.metrics import dice_score
from unet.model import plain_unet
from unet.training.run_folder import RunFolder
from unet.weights.arrays import file_sha256, half_precision, variable_arrays
from unet.weights.network import find_weights
from views.learn.gates import verdict
from views.learn.inside import _reader
from views.learn.perturb import _looks_again
from views.shared import loaders, segmentations

PHANTOM = "PHANTOM_ICBM_0001_20260101"
SECOND = "PHANTOM_ICBM_0002_20260102"
NO_POST = "PHANTOM_ICBM_0004_20260104"


@pytest.fixture
def start(monkeypatch):
    """Return a function that opens the page; nothing is remembered but the networks, which take long to load."""
    for cached in (loaders.patients, loaders.summaries, loaders.clinical_table, segmentations._running, _looks_again):
        cached.clear()

    def open_page(data=DEMO_FOLDER, **query):
        monkeypatch.setenv("UNET_DATA", str(data))
        app = AppTest.from_file("../streamlit_app.py", default_timeout=120)
        app.switch_page("pages/learn.py")
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return open_page


def words(app) -> str:
    return "\n".join(str(one.value) for kind in (app.markdown, app.caption, app.info, app.subheader) for one in kind)


def metric(app, label: str) -> str:
    return next(m.value for m in app.metric if m.label == label)


def test_opens_on_the_largest_lesion_and_walks_through_all_seven_steps(start):
    app = start()
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="patient").value == PHANTOM
    assert 11 <= app.slider(key="learn_slice").value <= 18  # where the phantom's lesion is
    assert [one.value[0] for one in app.subheader][1:] == ["1", "2", "3", "4", "5", "6", "7"]
    text = words(app)
    assert "**Level 1**: 160 × 160 positions × 32 channels. One value depends on the 5 × 5 pixels in the box." in text
    assert (
        "**Bottleneck**: 10 × 10 positions × 512 channels. One value depends on the 140 × 140 pixels in the box."
        in text
    )
    assert "Gate of 40 × 40" in text
    assert "synthetic" in text


def test_a_link_names_patient_and_slice(start):
    app = start(patient=SECOND, slice="12")
    assert app.selectbox(key="patient").value == SECOND
    assert app.slider(key="learn_slice").value == 12
    assert app.query_params["slice"] == "12"


def test_a_linked_slice_runs_the_network_on_that_slice_alone(start, monkeypatch):
    looked_at = []
    original = Segmenter.predict_slices
    monkeypatch.setattr(
        Segmenter,
        "predict_slices",
        lambda *args, **more: looked_at.append(len(more.get("indices", args[1]))) or original(*args, **more),
    )
    start(patient=SECOND, slice="12")
    assert looked_at == [1]


def test_the_score_is_explores(start):
    app = start(patient=SECOND, slice="14")
    volume = load_volume(next(p for p in list_patients(DEMO_FOLDER)[0] if p.patient_id == SECOND))
    weights = find_weights()
    predicted = Segmenter(weights, precision="int8" if weights.int8 else None).segment(volume.images).mask(0.5)[13]
    dice = f"{dice_score(predicted, volume.expected_mask[13]):.3f}"
    assert rf"\mathbf{{{dice}}}" in app.latex[0].value
    assert metric(app, "Pixels in the mask") == f"{predicted.sum():,}"


def test_threshold_and_a_spoiled_mask_change_the_sum(start):
    app = start(patient=SECOND, slice="14")
    before = app.latex[0].value
    pixels = metric(app, "Pixels in the mask")
    app.slider(key="learn_pixels").set_value(10).run()
    moved = app.latex[0].value
    assert moved != before
    assert metric(app, "Pixels in the mask") == pixels
    app.get_by_key("learn_spoil").set_value("Grow or shrink it").run()
    assert app.latex[0].value not in (before, moved)
    app.slider(key="learn_threshold").set_value(0.95).run()
    assert metric(app, "Pixels in the mask") != pixels
    assert not app.exception


def test_guess_first_then_each_sequence_is_taken_away(start, monkeypatch):
    app = start(patient=SECOND, slice="14")
    looked_at = []
    original = Segmenter.predict_slices
    monkeypatch.setattr(
        Segmenter,
        "predict_slices",
        lambda *args, **more: looked_at.append(len(more.get("indices", args[1]))) or original(*args, **more),
    )
    guess = next(one for one in app.radio if "Guess first" in one.label)
    assert list(guess.options) == ["pre-contrast", "FLAIR", "post-contrast"]
    assert "You guessed" not in words(app)
    guess.set_value("pre-contrast").run()
    assert looked_at == [1, 1, 1]
    assert "You guessed **pre-contrast**, which is wrong. Without **FLAIR** slice Dice falls most" in words(app)
    app.run()
    assert looked_at == [1, 1, 1]  # remembered


def test_the_baseline_scores_by_the_patients_own_slices_only(start):
    app = start(patient=SECOND, slice="14")
    assert metric(app, "Mean slice Dice, split by slice") == "0.57"
    assert metric(app, "Mean slice Dice, split by patient") == "0.03"
    said = words(app)
    assert re.search(r"Most similar: slice (13|15) of this patient; slice Dice of the copied mask \*\*0\.[5-9]", said)
    assert "**Split by patient**: the training slices come from 5 other patients" in said
    assert re.search(r"Most similar: slice \d+ of PHANTOM_ICBM_000[13456]_\d+; slice Dice", said)
    assert "This patient's part, **phantom**: Synthetic: made from an average brain, not from a person." in said


def test_one_patient_alone_has_no_other_to_learn_from(start, tmp_path):
    shutil.copytree(DEMO_FOLDER / SECOND, tmp_path / "kaggle_3m" / SECOND)
    app = start(tmp_path / "kaggle_3m", slice="14")
    assert not app.exception
    assert "other patients with expected masks." in words(app)


def test_a_mirrored_head_keeps_its_lesion_and_grain_hides_it(start):
    app = start(patient=SECOND, slice="14")
    app.get_by_key("learn_trial").set_value("Turn or mirror").run()
    assert float(metric(app, "Slice Dice")) > 0.85
    app.slider(key="learn_angle").set_value(90).run()
    assert metric(app, "Slice Dice") != "–"  # the expected mask was turned too
    app.get_by_key("learn_trial").set_value("Noise").run()
    app.slider(key="learn_noise").set_value(2.0).run()
    assert float(metric(app, "Slice Dice")) < 0.85
    assert not app.exception


def test_covering_the_lesion_takes_it_away_and_normalising_takes_brightness_out(start):
    app = start(patient=SECOND, slice="14")
    expected = int(metric(app, "Pixels in the mask").replace(",", ""))
    app.get_by_key("learn_trial").set_value("Cover a patch").run()
    next(s for s in app.slider if s.label.startswith("Side of the patch")).set_value(120).run()
    assert int(metric(app, "Predicted area, px").replace(",", "")) < expected / 2
    app.get_by_key("learn_trial").set_value("Brightness and contrast").run()
    app.toggle(key="learn_normalised_after").set_value(True).run()
    assert abs(int(metric(app, "Predicted area, px").replace(",", "")) - expected) <= expected // 100


def test_a_slice_without_lesion(start):
    app = start(patient=SECOND, slice="24")  # the crown
    assert not app.exception
    text = words(app)
    assert "No lesion is predicted on this slice" in text
    assert "Dice would be 0 / 0" in text
    next(one for one in app.radio if "Guess first" in one.label).set_value("FLAIR").run()
    assert "This slice shows no lesion. Try a slice with one." in words(app)
    for trial in ("Cover a patch", "Noise"):
        app.get_by_key("learn_trial").set_value(trial).run()
    assert not app.exception


def test_a_slice_without_expected_mask(start, tmp_path):
    root = tmp_path / "kaggle_3m"
    shutil.copytree(DEMO_FOLDER / PHANTOM, root / PHANTOM)
    (root / PHANTOM / f"{PHANTOM}_14_mask.tif").unlink()
    app = start(root, slice="14")
    assert not app.exception
    assert "no expected mask" in words(app)
    next(one for one in app.radio if "Guess first" in one.label).set_value("FLAIR").run()
    assert "Slice Dice **1.000**" in words(app)  # unchanged, against itself
    assert not app.exception


def test_a_missing_sequence_is_said_and_not_offered(start):
    app = start(patient=NO_POST)
    guess = next(one for one in app.radio if "Guess first" in one.label)
    assert list(guess.options) == ["pre-contrast", "FLAIR"]
    guess.set_value("FLAIR").run()
    text = words(app)
    assert "**Post-contrast**, missing: a copy of FLAIR" in text
    assert "A copy of pre-contrast is used instead." in text
    assert not app.exception


def test_flair_only(start, tmp_path, write_patient):
    rng = np.random.default_rng(0)
    images = {n: np.repeat(rng.integers(0, 255, (64, 64, 1), np.uint8), 3, axis=-1) for n in (1, 2)}
    write_patient(tmp_path / "kaggle_3m", "TCGA_XX_0001_20000101", images, {})
    app = start(tmp_path / "kaggle_3m")
    assert not app.exception
    assert "This patient has only FLAIR, in all three channels" in words(app)


def test_a_plain_unet_is_said_to_have_no_gates(start, tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("UNET_CACHE", str(tmp_path / "cache"))
    folder = RunFolder(tmp_path / "runs" / "20260101-000000-abcd")
    folder.path.mkdir(parents=True)
    (folder.path / "request.json").write_text(json.dumps({"title": "plain", "arguments": [], "time": 1.0}))
    folder.write_status({"state": "finished", "progress": 1.0})
    model = plain_unet(2, (32, 32, 3))
    config = {"architecture": "unet", "filters": 2, "size": 32, "threshold": 0.5, "epoch": 1, "validation_dice": 0.1}
    folder.write_best(half_precision(variable_arrays(model.variables)), config)
    weights = find_weights(folder.best)
    converted = tmp_path / "cache" / f"{weights.sha256[:32]}-32" / "model.xml"
    converted.parent.mkdir(parents=True)
    export_openvino(model, converted)  # or a process of its own would load TensorFlow
    digests = {name: file_sha256(converted.with_name(name)) for name in ("model.xml", "model.bin")}
    converted.with_name("sha256.json").write_text(json.dumps(digests))
    assert openvino_model(weights) == converted
    app = start(weights="20260101-000000-abcd", slice="14")
    assert not app.exception
    assert not app.error
    assert "plain U-Net without gates" in words(app)
    assert "**Level 1**: 32 × 32 positions × 2 channels" in words(app)


def test_a_network_that_cannot_be_looked_into_leaves_the_rest(start, monkeypatch):
    def refuse(weights):
        raise InferenceError("Looking inside the network needs OpenVINO: pip install openvino")

    monkeypatch.setattr("views.learn.inside.FeatureReader", refuse)
    _reader.clear()
    app = start(slice="3")  # that no other test has looked into
    assert not app.exception
    assert "pip install openvino" in words(app)
    assert "3 · Attention gates: what the skips pass on" in [heading.value for heading in app.subheader]
    assert metric(app, "Pixels in the mask")


def test_a_folder_without_patients_is_an_error_with_a_remedy(start, tmp_path):
    app = start(tmp_path)
    assert f"python -m unet download --output {tmp_path}" in app.error[0].value
    assert not app.exception


@pytest.mark.parametrize(
    ("averages", "said"),
    [
        ({"outside the head": 0.1, "the rest of the head": 0.5}, "No lesion is predicted"),
        (
            {"lesion": 0.95, "its edge": 0.9, "the rest of the head": 0.05},
            "Passes the lesion far more than the rest",
        ),
        ({"lesion": 0.99, "its edge": 0.99, "the rest of the head": 0.8}, "but much of the rest too"),
        ({"lesion": 0.05, "its edge": 0.5, "the rest of the head": 0.1}, "Passes the edge of the lesion"),
        ({"lesion": 0.5, "its edge": 0.5, "the rest of the head": 0.5}, "almost alike"),
        ({"lesion": 0.1, "its edge": 0.2, "the rest of the head": 0.4}, "Blocks the lesion more"),
        ({"lesion": 0.02, "its edge": 0.08, "the rest of the head": 0.01}, "almost alike"),
        ({"its edge": 0.9, "the rest of the head": 0.1}, "Passes the lesion far more than the rest"),
    ],
)
def test_a_gate_in_words(averages, said):
    assert said in verdict(averages)
