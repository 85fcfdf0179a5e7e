"""The clock decides once, and its answer is kept for the same network on the same machine."""

import json

import numpy as np
import pytest

from unet import speed
from unet.inference.engines import OpenVinoEngine, Setting, export_openvino
from unet.model import attention_unet
from unet.speed import available_cores, candidates, fastest_setting

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "model.xml"
    export_openvino(attention_unet(2, (32, 32, 3)), path)
    return path


def test_is_measured_once_and_remembered(converted, tmp_path, monkeypatch):
    asked = []

    def clock(model_path, precision, settings):
        asked.append((precision, settings))
        return {settings[0]: 10.0, settings[1]: 8.9}

    monkeypatch.setattr(speed, "milliseconds_per_slice", clock)
    for _ in range(2):
        assert fastest_setting(converted, None, tmp_path / "cache") == Setting(batch=4)
    assert asked == [(None, candidates(available_cores()))]
    fastest_setting(converted, "f32", tmp_path / "cache")
    assert len(asked) == 2  # another precision is another question
    (first, _) = sorted((tmp_path / "cache").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads(first.read_text()) == {"batch": 4, "threads": 0}

    first.write_text("{")  # damaged: asked again
    assert fastest_setting(converted, None, tmp_path / "cache") == Setting(batch=4)
    assert len(asked) == 3


def test_every_setting_is_timed_on_the_real_network(converted):
    settings = [Setting(), Setting(batch=3), Setting(threads=1)]
    milliseconds = speed.milliseconds_per_slice(converted, "f32", settings)
    assert list(milliseconds) == settings
    assert all(0 < value < 1000 for value in milliseconds.values())


def test_any_number_of_slices_whatever_the_batch(converted):
    slices = np.random.default_rng(0).standard_normal((7, 32, 32, 3)).astype(np.float32)
    plain = OpenVinoEngine(converted, "f32")
    expected = [np.concatenate(o) for o in zip(*([a.copy() for a in plain.run(s[None])] for s in slices), strict=True)]
    for batch in (1, 3):
        engine = OpenVinoEngine(converted, "f32", Setting(batch))
        assert engine.slice_shape == (32, 32, 3)
        for output, wanted in zip(engine.run(slices), expected, strict=True):
            np.testing.assert_allclose(output, wanted, atol=1e-5)
        assert engine.run(slices[:2])[4].shape == (2, 2, 2, 1)


def test_a_network_of_single_slices_stays_so(converted, tmp_path):
    import openvino

    model = openvino.Core().read_model(converted)
    model.reshape([1, 32, 32, 3])
    openvino.save_model(model, tmp_path / "model.xml")
    assert OpenVinoEngine(tmp_path / "model.xml", "f32", Setting(4, 1)).setting == Setting(1, 1)
    assert list(speed.milliseconds_per_slice(tmp_path / "model.xml", "f32", candidates(1))) == [Setting()]
