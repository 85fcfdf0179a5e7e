"""The Training page from a cold start, without a browser and without a network that learns."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.test_jobs import PROJECT, STAND_IN, wait_for
from tests.upload_files import zip_bytes
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.slice_files import DataError
from unet.jobs import index, queue, runners
from unet.jobs.request import Request
from unet.preprocessing import intensity_statistics
from unet.scans import sandbox
from unet.training.augmentation import NO_AUGMENTATION, Augmentation
from unet.training.config import TrainingConfig
from unet.training.previews import PreviewSlices
from unet.training.run_folder import RunFolder
from unet.weights.network import WEIGHTS_FOLDER


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Return a function that opens the page; `train.py` is a stand-in that learns nothing."""
    st.cache_data.clear()
    st.cache_resource.clear()
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN.format(project=str(PROJECT)))
    monkeypatch.setattr(runners, "COMMAND", (sys.executable, str(script)))
    monkeypatch.setenv("UNET_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("UNET_DATA", str(DEMO_FOLDER))
    monkeypatch.setenv("STAND_IN_SECONDS", "0")

    def open_page(**query):
        app = AppTest.from_file("../pages/training.py", default_timeout=120)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return open_page


def button(app, label: str):
    return next(one for one in app.button if one.label == label)


def fake_run(run_id: str, title: str, filters: int, dice: list[float]) -> RunFolder:
    """A finished run with the shipped weights as its result."""
    folder = RunFolder(index.runs_folder() / run_id)
    folder.path.mkdir(parents=True)
    request = Request(title, TrainingConfig(filters=filters, epochs=2), DEMO_FOLDER)
    folder.write_request({**request.to_json(), "time": float(len(title))})
    ids = ["PHANTOM_ICBM_0001_20260101"]
    folder.write_spec({"config": {"filters": filters, "seed": 1}, "validation_patients": ids, "parameters": 5})
    (folder.path / "curve.png").touch()  # or it would be drawn
    for epoch, value in enumerate(dice, 1):
        names = ["loss", "validation_dice", "moving_average", "learning_rate", "epoch_seconds", "seconds"]
        folder.append_metrics({"epoch": epoch, **dict.fromkeys(names, value)}, last=False)
        attention = {f"attention_{level}": np.zeros((2, 32 >> level, 32 >> level), np.uint8) for level in (1, 2, 3, 4)}
        predictions = {"probability": np.full((2, 32, 32), epoch / 10, np.float16), **attention}
        folder.previews.write_epoch(epoch, predictions, 32)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    folder.previews.write_slices(PreviewSlices(images, np.ones((2, 32, 32), np.uint8), ids * 2, [3, 4]))
    folder.write_status({"state": "finished", "progress": 1.0, "best_validation_dice": max(dice)})
    folder.best.mkdir()
    for name in ("config.json", "weights.npz"):
        (folder.best / name).write_bytes((WEIGHTS_FOLDER / "attention-unet-32" / name).read_bytes())
    return folder


def test_a_preset_starts_one_run(start):
    app = start()
    assert not app.exception
    assert "No run yet" in app.info[0].value
    button(app, "Start").click().run()
    assert not app.exception
    (run,) = index.list_runs()
    assert run.title == "60 seconds on phantoms"
    request = Request.from_json(run.request)
    assert (request.config.filters, request.training_patients, request.validation_patients) == (8, 4, 2)
    wait_for(lambda: index.find_run(run.id).state == "finished")
    app.run()
    assert len(index.list_runs()) == 1  # a rerun of the page is no second click
    assert any("finished" in str(one.value) for one in app.markdown)


def test_a_pair_starts_two_runs_that_differ_in_one_thing(start):
    app = start()
    app.get_by_key("preset").set_value("Augmentation, with and without").run()
    button(app, "Start").click().run()
    runs = {run.title: Request.from_json(run.request) for run in index.list_runs()}
    assert set(runs) == {"with augmentation", "without augmentation"}
    first, second = runs["with augmentation"], runs["without augmentation"]
    assert (first.config.augmentation, second.config.augmentation) == (Augmentation(), NO_AUGMENTATION)
    assert (first.config.slices, first.config.minutes) == (8000, None)  # the same run on any computer
    changed = replace(second.config, augmentation=Augmentation())
    assert replace(second, title=first.title, config=changed) == first
    for run in index.list_runs():
        wait_for(lambda run=run: not index.find_run(run.id).active)


def test_a_pair_with_place_for_one_says_that_one_was_started(start, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_QUEUE", "0")
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    app = start()
    app.get_by_key("preset").set_value("Augmentation, with and without").run()
    button(app, "Start").click().run()
    assert app.error[0].proto.title == "Only the first of the two runs started"
    assert app.error[0].value == "1 run is training or waiting already. Stop it, or try again later."
    (run,) = index.list_runs()
    queue.stop(run).join()


def test_the_length_of_a_run_is_set_in_slices_epochs_or_minutes(start):
    app = start()
    for length, field, value in (("slices", "slices", 5000), ("epochs", "epochs", 7), ("minutes", "minutes", 1.5)):
        app.segmented_control(key="train_length").set_value(length).run()
        app.number_input(key=f"train_{field}").set_value(value).run()
        button(app, "Start").click().run()
        assert not app.exception
        config = Request.from_json(index.list_runs()[0].request).config
        assert {name: getattr(config, name) for name in ("slices", "epochs", "minutes")} == {
            "slices": None, "epochs": None, "minutes": None, field: value,
        }  # fmt: skip
    wait_for(lambda: not any(run.active for run in index.list_runs()))


@pytest.mark.parametrize("filters", ["0", "3", "4", "16"])
def test_limits_of_the_host_fit_the_form(start, monkeypatch, filters):
    monkeypatch.setenv("UNET_TRAINING_FILTERS", filters)
    monkeypatch.setenv("UNET_TRAINING_PATIENTS", "3")
    app = start()
    assert not app.exception
    button(app, "Start").click().run()
    assert not app.exception
    if filters == "0":
        assert app.error[0].value == "1 filters are more than this server allows (0)."
        return
    request = Request.from_json(index.list_runs()[0].request)
    assert (request.config.filters, request.training_patients, request.validation_patients) == (
        min(8, int(filters)), 1, 2,
    )  # fmt: skip
    wait_for(lambda: not any(run.active for run in index.list_runs()))


def test_a_host_of_short_runs_ends_a_run_of_many_slices(start, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_MINUTES", "0.05")
    app = start()
    app.segmented_control(key="train_length").set_value("slices").run()
    button(app, "Start").click().run()
    assert not app.exception
    config = Request.from_json(index.list_runs()[0].request).config
    assert (config.slices, config.minutes) == (8000, 0.05)
    wait_for(lambda: not any(run.active for run in index.list_runs()))


def test_counts_cannot_overlap(start):
    app = start()
    validation, training = (app.number_input(key=f"train_{name}") for name in ("validation", "training"))
    assert (validation.value, training.value, training.max) == (2, 4, 4)
    validation.set_value(5).run()
    training = [one for one in app.number_input if one.key == "train_training"]
    assert not training  # one is left, there is nothing to choose
    assert not app.exception


def test_fine_tuning_takes_the_network_of_the_weights(start):
    app = start()
    app.get_by_key("preset").set_value("Fine-tune the shipped weights").run()
    button(app, "Start").click().run()
    (run,) = index.list_runs()
    config = Request.from_json(run.request).config
    assert (config.filters, config.from_weights) == (32, "attention-unet-32")
    wait_for(lambda: not index.find_run(run.id).active)


def test_where_training_is_off_runs_can_only_be_looked_at(start, monkeypatch):
    fake_run("20260101-000000-abcd", "mine", 8, [0.1, 0.5])
    monkeypatch.setenv("UNET_TRAINING", "disabled")
    app = start(run="20260101-000000-abcd")
    assert app.info[0].value == "Training is switched off on this server. Runs can be viewed only."
    assert [one.label for one in app.button] == ["Use in Explore"]
    assert not app.get("download_button") and not app.exception


def test_where_training_is_off_nobody_stops_the_hosts_own_run(start, monkeypatch):
    other = subprocess.Popen(["sleep", "60"])
    folder = RunFolder(index.runs_folder() / "of-the-host")
    folder.path.mkdir(parents=True)
    folder.write_process(runners.local_handle(other.pid))
    folder.write_status({"state": "training"})
    monkeypatch.setenv("UNET_TRAINING", "off")
    app = start()
    assert button(app, "Stop").disabled
    other.kill()
    other.wait()


def test_finished_run_is_shown_with_all_that_can_be_done(start):
    fake_run("20260101-000000-abcd", "mine", 8, [0.1, 0.5])
    app = start(run="20260101-000000-abcd")
    assert not app.exception
    assert {"Use in Explore", "Evaluate"} <= {one.label for one in app.button}
    assert next(m.value for m in app.metric if m.label == "Mean volume Dice") == "0.500"
    assert len(app.get("bidi_component")) == 1 + 1 + 2  # viewer, slices, an epoch each
    assert "validation phantoms PHANTOM_ICBM_0001_20260101" in app.caption[-2].value


def test_epochs_in_the_simple_viewer(start):
    fake_run("20260101-000000-abcd", "mine", 8, [0.1, 0.5])
    app = start(run="20260101-000000-abcd", simple_viewer="true")
    epoch = next(s for s in app.select_slider if s.label == "After epoch")
    assert (epoch.value, list(epoch.options)) == (2, ["1", "2"])
    assert "mine, epoch 2: volume Dice 0.500" in [one.value for one in app.markdown]
    assert next(m.value for m in app.metric if m.label == "Predicted area") == "0 px"  # 0.2 everywhere
    app.slider(key="threshold").set_value(0.15).run()
    assert next(m.value for m in app.metric if m.label == "Predicted area") == "1,024 px"
    next(s for s in app.select_slider if s.label == "After epoch").set_value(1).run()
    assert not app.exception
    assert "mine, epoch 1: volume Dice 0.100" in [one.value for one in app.markdown]
    assert next(m.value for m in app.metric if m.label == "Predicted area") == "0 px"
    assert "Volume Dice" not in [m.label for m in app.metric]  # slices are no volume


def test_a_run_of_an_older_version_opens_and_says_what_it_lacks(start):
    folder = fake_run("20260101-000000-abcd", "mine", 8, [0.1, 0.5])
    for file in folder.previews.path.iterdir():
        file.unlink()
    (folder.previews.path / "epoch_001.png").touch()
    app = start(run="20260101-000000-abcd")
    assert not app.exception
    assert "mine has no predicted slices to show" in " ".join(one.value for one in app.caption)
    assert next(m.value for m in app.metric if m.label == "Mean volume Dice") == "0.500"


@pytest.mark.parametrize("name", ["status", "request", "process", "spec"])
def test_a_damaged_run_is_shown_with_its_reason(start, name):
    folder = fake_run("20260101-000000-abcd", "mine", 8, [0.1, 0.5])
    fake_run("20260101-000001-abcd", "other", 8, [0.1])
    (folder.path / f"{name}.json").write_text("[]")
    for view in ("Train", "Compare"):
        app = start(run="20260101-000000-abcd", view=view)
        assert not app.exception
    app = start(run="20260101-000000-abcd")
    assert f"{name}.json holds a list; expected an object" in " ".join(one.value for one in app.markdown)
    assert "Delete it" in [one.label for one in app.button]


def test_a_reason_is_no_markdown(start):
    folder = fake_run("20260101-000000-abcd", "mine", 8, [0.1])
    folder.write_status({"state": "failed", "reason": "patient ![x](https://evil.example/a.png)"})
    app = start(run="20260101-000000-abcd")
    shown = next(one.value for one in app.markdown if "evil" in one.value)
    assert shown == "patient \\!\\[x\\]\\(https\\://evil.example/a.png\\)"


def test_compare_shows_what_differs(start):
    fake_run("20260101-000000-abcd", "narrow", 8, [0.1, 0.5])
    fake_run("20260101-000001-abcd", "wide one", 16, [0.2])
    app = start(view="Compare")
    assert not app.exception
    assert app.dataframe[1].value.to_dict("records") == [{"Setting": "filters", "wide one": "16", "narrow": "8"}]
    assert app.dataframe[0].value["Best volume Dice"].tolist() == [0.2, 0.5]
    assert (app.selectbox(key="preview_left").value, app.selectbox(key="preview_right").value) == ("wide one", "narrow")
    assert len(app.get("bidi_component")) == 1 + 1 + 1 + 2  # viewer, slices, the epochs of both


def test_augmentation_is_shown(start):
    app = start(view="Augmentation")
    assert not app.exception
    assert "**coil bias**" in [one.value for one in app.markdown]


def test_mask_moves_with_its_slice():
    from views.training.augmentation import draw, only

    image = np.zeros((64, 64, 3), np.uint8)
    image[20:40, 5:20] = 200
    mask = (image[..., 1] > 0).astype(np.uint8)
    statistics = intensity_statistics(image[np.newaxis])
    plain, mirrored = (draw(image, mask, statistics, only(name), 1, 1) for name in ("noise", "flip"))
    outline = [np.argwhere((picture != picture[..., :1]).any(axis=-1))[:, 1].mean() for picture in (plain, mirrored)]
    assert outline[0] < 60 < 100 < outline[1]
    assert only("rotation").flip == 0
    assert only("flip").flip == 1 != Augmentation().flip


# --- uploads


def encoded(array: np.ndarray, form: str = "TIFF") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


def uploaded(name: str, content: bytes):
    return type("File", (), {"name": name, "getvalue": lambda self: content})()


def test_upload_is_decoded_in_a_child_process(monkeypatch):
    from views.training.upload import decode

    picture = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    found = decode([uploaded("A_1.tif", encoded(picture)), uploaded("A_1_mask.png", encoded(picture[..., 0], "PNG"))])
    assert (found["A_1.tif"] == picture).all()
    assert (found["A_1_mask.png"] == picture[..., :1]).all()
    monkeypatch.setattr(sandbox, "_run_child", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decode([uploaded("A_1.tif", encoded(picture))])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (encoded(np.zeros((16, 2000, 3), np.uint8)), "A_1.tif: 2000×16 pixels, a slice has at most 1024×1024"),
        (encoded(np.zeros((32, 32, 3), np.uint8))[:100], "A_1.tif"),
        (encoded(np.zeros((32, 32, 3), np.uint8), "JPEG"), "expected a TIFF or PNG of one"),
        (encoded(np.zeros((32, 32), np.uint16)), "16 bits; expected one or three of 8"),
    ],
)
def test_upload_that_is_no_slice_is_refused_in_words(content, words):
    from views.training.upload import decode

    with pytest.raises(DataError, match=words):
        decode([uploaded("A_1.tif", content)])


def test_own_slices_from_upload_to_run(start):
    app = start()
    app.selectbox(key="train_data").set_value("upload").run()
    assert not app.exception
    assert button(app, "Start").disabled
    picture, mask = np.full((32, 48, 3), 9, np.uint8), np.zeros((32, 48), np.uint8)
    mask[4:9, 4:9] = 255
    files = {
        f"{name}_1{suffix}": encoded(array)
        for name in "AB"
        for suffix, array in ((".tif", picture), ("_mask.tif", mask))
    }
    app.file_uploader[0].set_value([(name, content, "image/tiff") for name, content in files.items()]).run()
    assert not app.exception
    assert app.number_input(key="train_minutes").value == 0.75  # the preset's, as before the upload
    button(app, "Start").click().run()
    assert not app.exception
    (run,) = index.list_runs()
    request = Request.from_json(run.request)
    assert (request.training_patients, request.validation_patients) == (1, 1)
    assert request.data == run.folder.path / "data"
    (first, second), problems = list_patients(run.folder.path / "data")
    assert (first.patient_id, second.patient_id, problems) == ("upload_001", "upload_002", [])
    assert "upload_001 is A, upload_002 is B" in [one.value for one in app.caption]
    assert (run.folder.path / "data").stat().st_mode & 0o777 == 0o700
    assert load_volume(first).expected_mask.sum() == 25
    app.selectbox(key="train_data").set_value("demo").run()
    assert app.number_input(key="train_training").value == 4  # all of them, not as many as were uploaded
    wait_for(lambda: not index.find_run(run.id).active)
    assert len(app.run().get("download_button")) == 1
    assert not start(run=run.id).get("download_button")  # another visit


def take_slices(app, files: dict[str, bytes]):
    """Choose own slices, drop these and start."""
    app.selectbox(key="train_data").set_value("upload").run()
    app.file_uploader[0].set_value([(name, content, "image/tiff") for name, content in files.items()]).run()
    button(app, "Start").click().run()
    return app


def two_patients(side: int = 32) -> dict[str, bytes]:
    picture, mask = np.full((side, side, 3), 9, np.uint8), np.full((side, side), 255, np.uint8)
    pairs = {"A_1.tif": picture, "A_1_mask.tif": mask, "B_1.tif": picture, "B_1_mask.tif": mask}
    return {name: encoded(array) for name, array in pairs.items()}


def run_folders() -> list:
    return [path for path in index.runs_folder().glob("*") if path.is_dir()]


def test_slices_that_take_too_much_are_refused_and_leave_nothing(start, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_UPLOAD", "0.01")  # 12,288 bytes are two pictures and two masks of 32 × 32 × 3
    app = take_slices(start(), two_patients())
    assert app.error[0].value.startswith("These slices and those of your other runs decode to 0 MB;")
    assert run_folders() == []


def test_what_a_visit_keeps_counts_for_all_its_runs(start, monkeypatch):
    monkeypatch.setenv("UNET_TRAINING_UPLOAD", "0.02")
    app = take_slices(start(), two_patients())
    assert not app.error
    (run,) = index.list_runs()
    wait_for(lambda: not index.find_run(run.id).active)
    button(app.run(), "Start").click().run()
    assert "Upload fewer, or delete one of your runs." in app.error[0].value
    queue.delete(index.find_run(run.id))
    button(app.run(), "Start").click().run()
    assert not app.error
    wait_for(lambda: not any(one.active for one in index.list_runs()))


def test_an_archive_named_as_a_slice_leaves_nothing_in_folder_and_log(start, caplog):
    files = two_patients()
    files["B_1.tif"] = zip_bytes([("SECRET_1.tif", files["A_1.tif"])])
    app = take_slices(start(), files)
    assert not app.exception
    assert app.error[0].value == "B_1.tif: expected a TIFF or PNG of one picture, not an archive and not several pages."
    assert run_folders() == []
    assert "B_1" not in caplog.text and "SECRET" not in caplog.text


def test_an_error_of_the_program_leaves_no_slices(start, monkeypatch):
    monkeypatch.setattr("views.training.upload.decode", lambda files: 1 / 0)
    app = take_slices(start(), two_patients())
    assert app.exception
    assert run_folders() == []


def test_settings_survive_a_look_at_another_view(start):
    app = start()
    app.get_by_key("preset").set_value("Overfit one patient").run()
    app.number_input(key="train_batch").set_value(4).run()
    for view in ("Compare", "Train"):
        app.segmented_control(key="view").set_value(view).run()
    assert not app.exception
    assert (app.get_by_key("preset").value, app.number_input(key="train_batch").value) == ("Overfit one patient", 4)


def test_an_estimate_stays_as_long_as_its_settings(start, monkeypatch):
    found = {"epoch_seconds": [2.0], "epochs": 30, "minutes": 1.25, "memory_mb": 900}
    monkeypatch.setattr("views.training.form.estimate", lambda request, runs, memory_limit: found)
    app = start()
    button(app, "Measure time and memory").click().run()
    assert "About **1.2 minutes** for 30 epochs" in app.info[0].value
    app.run()
    assert "About **1.2 minutes** for 30 epochs" in app.info[0].value
    app.number_input(key="train_batch").set_value(4).run()
    assert "minutes" not in app.info[0].value


def test_what_a_visitor_cannot_do_any_more_is_said(start):
    folder = fake_run("20260101-000000-abcd", "mine", 8, [0.1])
    app = start(run="20260101-000000-abcd")
    (folder.best / "weights.npz").write_bytes(b"cut off")
    button(app, "Evaluate").click().run()
    assert not app.exception
    assert "is truncated, or does not hold weights of this project" in app.toast[0].value


def test_upload_becomes_patients_by_name():
    from views.training.upload import _by_patient

    def named(*names: str) -> list:
        return [type("File", (), {"name": name}) for name in names]

    pairs = _by_patient(named("A_1.tif", "A_1_mask.tif", "A_2.tif", "B_x_10.png", "B_x_10_mask.png"))
    assert {name: list(slices) for name, slices in pairs.items()} == {"A": [1], "B_x": [10]}
    with pytest.raises(DataError, match="No slice has a mask"):
        _by_patient(named("A_1.tif", "A_2_mask.tif"))
    for bad in ("../A_1.tif", "A.tif", ".._1.tif", "A_1.tif.exe", "/etc/passwd_1.tif"):
        with pytest.raises(DataError, match="expected names such as"):
            _by_patient(named(bad))


# --- in Explore


def test_explore_offers_a_finished_run(start, monkeypatch):
    fake_run("20260101-000000-abcd", "mine", 32, [0.5])
    app = AppTest.from_file("../pages/explore.py", default_timeout=120)
    app.query_params["weights"] = "20260101-000000-abcd"
    app.run()
    assert not app.exception
    assert app.selectbox(key="weights").value == "20260101-000000-abcd"
    assert app.query_params["weights"] == "20260101-000000-abcd"


@pytest.mark.parametrize("linked", ["../../etc", "/etc/passwd", "20260101-000000-ffff"])
def test_explore_takes_no_other_name(start, linked):
    app = AppTest.from_file("../pages/explore.py", default_timeout=120)
    app.query_params["weights"] = linked
    app.run()
    assert not app.exception
    assert "which no longer exist" in app.warning[0].value
