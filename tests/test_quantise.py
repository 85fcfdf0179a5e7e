"""Int8 ships if validation Dice stays; else nothing is written. NNCF is a stand-in here: the gate is ours."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from unet.data.patients import DEMO_FOLDER, list_patients
from unet.release.quantise import QuantisationError, quantise
from unet.weights.network import WEIGHTS_FOLDER, find_weights

openvino = pytest.importorskip("openvino")


def finds_nothing(size: int):
    """A network in OpenVINO whose probability is 0 everywhere."""
    ops = openvino.opset13
    slices = ops.parameter([1, size, size, 3], np.float32)
    nothing = ops.multiply(ops.reduce_mean(slices, np.array([3]), True), np.float32(0))
    nothing.output(0).get_tensor().set_names({"probability"})
    return openvino.Model([nothing], [slices], "nothing")


@pytest.fixture
def phantom():
    return list_patients(DEMO_FOLDER)[0][:1]


@pytest.fixture
def weights(tmp_path):
    """The default weights in a folder of their own, without int8."""
    folder = tmp_path / "float"
    shutil.copytree(WEIGHTS_FOLDER / "attention-unet-32", folder, ignore=shutil.ignore_patterns("int8.*"))
    config = json.loads((folder / "config.json").read_text())
    del config["int8"]
    (folder / "config.json").write_text(json.dumps(config))
    return find_weights(folder)


@pytest.fixture
def nncf(monkeypatch):
    """A stand-in that leaves the network as it is; what it was called with is kept in `calls`."""
    calls = []

    def quantize(model, ranges, **settings):
        calls.append(("quantize", len(ranges), settings["subset_size"]))
        return model

    def with_accuracy_control(model, ranges, validation, score, **settings):
        calls.append(("accuracy control", settings["max_drop"]))
        return model

    stand_in = SimpleNamespace(
        quantize=quantize,
        quantize_with_accuracy_control=with_accuracy_control,
        Dataset=lambda items, transform=None: list(items),
        QuantizationPreset=SimpleNamespace(MIXED="mixed"),
        DropType=SimpleNamespace(ABSOLUTE="absolute"),
        calls=calls,
    )
    monkeypatch.setitem(sys.modules, "nncf", stand_in)
    return stand_in


def test_what_stays_as_good_is_written_and_found(weights, phantom, nncf):
    entry = quantise(weights, phantom, phantom)
    assert nncf.calls == [("quantize", 4, 4)]
    assert entry["validation_dice"] == entry["validation_dice_before"] > 0.9
    assert entry["calibration_patients"] == 1
    assert find_weights(weights.path.parent).int8 == weights.path.with_name("int8.xml")


def test_what_loses_too_much_is_not_written(weights, phantom, nncf):
    nncf.quantize = nncf.quantize_with_accuracy_control = lambda *_, **__: finds_nothing(weights.size)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in weights.path.parent.iterdir())
    with pytest.raises(QuantisationError, match="on 1 validation patients, more than the 0.005 that are allowed"):
        quantise(weights, phantom, phantom)
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in weights.path.parent.iterdir())


def test_layers_go_back_to_float_where_the_first_try_loses_too_much(weights, phantom, nncf):
    nncf.quantize = lambda *_, **__: finds_nothing(weights.size)
    entry = quantise(weights, phantom, phantom)
    assert nncf.calls == [("accuracy control", 0.005)]
    assert entry["validation_dice"] == entry["validation_dice_before"]
