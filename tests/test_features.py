"""Looking inside the network: the right blocks, at the right size, and what one value depends on."""

import keras
import numpy as np
import pytest

from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.inference.conversion import export_openvino
from unet.inference.engines import InferenceError, load_keras_model
from unet.inference.segmenter import Segmenter
from unet.lessons import features
from unet.lessons.features import FeatureReader, most_varied, receptive_field
from unet.letterbox import Letterbox
from unet.model import attention_unet, plain_unet
from unet.preprocessing import intensity_statistics, normalise
from unet.weights.network import Weights, find_weights

SLICE = 13


@pytest.fixture(scope="module")
def weights():
    return find_weights()


@pytest.fixture(scope="module")
def phantom():
    volume = load_volume(list_patients(DEMO_FOLDER)[0][1])
    return volume.images[SLICE], intensity_statistics(volume.images)


@pytest.fixture(scope="module")
def reader(weights):
    return FeatureReader(weights)


@pytest.fixture(scope="module")
def inside(reader, phantom):
    return reader.read(*phantom)


def test_shapes_of_every_block(reader, inside):
    assert reader.gated
    assert [block.shape for block in inside.encoder] == [
        (160, 160, 32),
        (80, 80, 64),
        (40, 40, 128),
        (20, 20, 256),
        (10, 10, 512),
    ]
    assert [block.shape for block in inside.decoder] == [(160, 160, 32), (80, 80, 64), (40, 40, 128), (20, 20, 256)]
    assert [gate.shape for gate in inside.attention] == [(80, 80), (40, 40), (20, 20), (10, 10)]
    assert inside.gate(1).shape == (160, 160)
    assert (inside.gate(4)[:2, :2] == inside.attention[3][0, 0]).all()
    assert inside.probability.shape == (160, 160)


def test_the_probability_is_the_engines(weights, inside, phantom):
    prediction = Segmenter(weights, "openvino", "f32").predict(*phantom)
    ours = Letterbox(256, 256, 160).inverse(inside.probability)
    assert ours.max() > 0.9
    assert np.abs(ours - prediction.probability).max() < 1e-4
    for level in (1, 2, 3, 4):
        assert np.abs(inside.attention[level - 1] - prediction.attention[level - 1]).max() < 1e-4


def test_the_blocks_are_those_of_the_keras_model(weights, inside, phantom):
    model = load_keras_model(weights)
    names = [*(f"encoder_{level}" for level in (1, 2, 3, 4)), "bottleneck", *(f"decoder_{n}" for n in (1, 2, 3, 4))]
    blocks = keras.Model(model.input, [model.get_layer(f"{name}_relu").output for name in names])
    square = Letterbox(256, 256, 160).forward(normalise(*phantom))[np.newaxis]
    for name, ours, theirs in zip(names, (*inside.encoder, *inside.decoder), blocks(square), strict=True):
        assert np.abs(ours - np.asarray(theirs)[0]).max() < 1e-2, name


def test_a_second_read_leaves_the_first_as_it_was(reader, inside, phantom):
    image, statistics = phantom
    first = inside.encoder[0].copy()
    other = reader.read(image[:, ::-1], statistics)
    assert (inside.encoder[0] == first).all()
    assert not (other.encoder[0] == first).all()


def tiny(model, monkeypatch, tmp_path, architecture: str) -> FeatureReader:
    export_openvino(model, tmp_path / "model.xml")
    monkeypatch.setattr(features, "openvino_model", lambda weights: tmp_path / "model.xml")
    return FeatureReader(Weights("tiny", 2, 32, 0.5, "0" * 64, tmp_path / "weights.npz", architecture=architecture))


def test_a_plain_unet_has_no_gates_and_is_read_all_the_same(monkeypatch, tmp_path, phantom):
    reader = tiny(plain_unet(2, (32, 32, 3)), monkeypatch, tmp_path, "unet")
    assert not reader.gated
    inside = reader.read(*phantom)
    assert [block.shape for block in inside.encoder] == [(32, 32, 2), (16, 16, 4), (8, 8, 8), (4, 4, 16), (2, 2, 32)]
    assert [block.shape for block in inside.decoder] == [(32, 32, 2), (16, 16, 4), (8, 8, 8), (4, 4, 16)]
    assert all((gate == 1).all() for gate in inside.attention)


def test_a_network_that_is_built_differently_is_refused(monkeypatch, tmp_path):
    inputs = keras.Input((32, 32, 3))
    outputs = {name: keras.layers.Conv2D(1, 1, name=name)(inputs) for name in features.output_names()}
    with pytest.raises(InferenceError, match="tiny has 0 pooling steps and 0 upsampling steps; expected 4 of each"):
        tiny(keras.Model(inputs, outputs), monkeypatch, tmp_path, "other")


@pytest.mark.parametrize(
    ("level", "cell", "span"), [(1, 10, (8, 12)), (2, 5, (4, 17)), (3, 5, (6, 37)), (4, 5, (10, 77)), (5, 5, (18, 157))]
)
def test_receptive_fields(level, cell, span):
    assert receptive_field(level, cell) == span


def test_receptive_fields_are_those_of_the_network():
    """A network that only adds up: one bright pixel is noticed where, and only where, it is seen."""
    model = attention_unet(1, (160, 160, 3))
    for variable in model.trainable_variables:
        if variable.path.endswith("kernel"):
            variable.assign(np.ones(variable.shape))
    names = ["encoder_1", "encoder_2", "encoder_3", "encoder_4", "bottleneck"]
    blocks = keras.Model(model.input, [model.get_layer(f"{name}_relu").output for name in names])
    noticed = {level: [] for level in range(1, 6)}
    for start in range(0, 160, 16):
        pixels = np.zeros((16, 160, 160, 3), np.float32)
        pixels[np.arange(16), 80, start + np.arange(16)] = 1
        for level, block in enumerate(blocks(pixels), 1):
            cell = 80 >> (level - 1)
            noticed[level] += (np.asarray(block)[:, cell, cell].max(axis=-1) > 0).tolist()
    for level, seen in noticed.items():
        first, last = receptive_field(level, 80 >> (level - 1))
        assert np.flatnonzero(seen).tolist() == list(range(first, last + 1)), level


def test_most_varied_channels_come_first_and_look_alikes_last():
    rng = np.random.default_rng(0)
    noise = rng.random((8, 8, 3))
    channels = np.dstack([np.zeros((8, 8)), 3 * noise[..., 0], 2 * noise[..., 0], noise[..., 1], 4 * noise[..., 2]])
    assert most_varied(channels, 3).tolist() == [4, 1, 3]
    assert most_varied(channels, 9).tolist() == [4, 1, 3, 0, 2]
