"""The network is the published one, block for block, and its gates gate."""

import keras
import numpy as np
import pytest
from keras import layers

from unet.model import attention_block, attention_unet, built_in, conv_block, decoder_block, encoder_block

MAPS = [f"attention_{level}" for level in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def slices() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 32, 48, 3)).astype(np.float32)


@pytest.fixture
def small() -> keras.Model:
    keras.utils.set_random_seed(1)
    return attention_unet(2, (None, None, 3))


def layer_output(model: keras.Model, *names: str) -> keras.Model:
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


@pytest.mark.parametrize("filters, parameters", [(64, 32_094_725), (32, 8_030_469)])
def test_number_of_parameters_is_that_of_the_reference(filters, parameters):
    assert attention_unet(filters).count_params() == parameters


def test_outputs_have_names_and_shapes():
    outputs = attention_unet(2).output
    assert isinstance(outputs, dict)
    assert {name: tensor.shape for name, tensor in outputs.items()} == {
        "probability": (None, 256, 256, 1),
        "attention_1": (None, 128, 128, 1),
        "attention_2": (None, 64, 64, 1),
        "attention_3": (None, 32, 32, 1),
        "attention_4": (None, 16, 16, 1),
    }


def test_levels_double_in_width():
    model = attention_unet(3, (32, 32, 3))
    names = [f"encoder_{level}_relu" for level in (1, 2, 3, 4)] + ["bottleneck_relu"]
    names += [f"decoder_{level}_relu" for level in (4, 3, 2, 1)]
    assert [model.get_layer(name).output.shape[1:] for name in names] == [
        (32, 32, 3),
        (16, 16, 6),
        (8, 8, 12),
        (4, 4, 24),
        (2, 2, 48),
        (4, 4, 24),
        (8, 8, 12),
        (16, 16, 6),
        (32, 32, 3),
    ]


def test_one_pass_gives_probability_and_maps_between_zero_and_one(small, slices):
    result = {name: np.asarray(value) for name, value in small(slices, training=False).items()}
    assert set(result) == {"probability", *MAPS}
    assert result["probability"].shape == (2, 32, 48, 1)
    assert result["attention_4"].shape == (2, 2, 3, 1)
    assert all(0 < value.min() < value.max() < 1 for value in result.values())
    for value in map(np.asarray, small(1e4 * slices, training=False).values()):
        assert np.isfinite(value).all() and value.min() >= 0 and value.max() <= 1


@pytest.mark.parametrize("filters", [0, -3])
def test_width_below_one_raises(filters):
    with pytest.raises(ValueError, match=f"filters is {filters}; expected a width of 1 or more"):
        attention_unet(filters)


@pytest.mark.parametrize("shape, side", [((250, 256, 3), 250), ((256, 8, 3), 8), ((None, 100, 3), 100)])
def test_side_that_does_not_halve_four_times_raises(shape, side):
    with pytest.raises(ValueError, match=f"a side of {side} pixels is not divisible by 16"):
        attention_unet(2, shape)


def test_only_built_in_layers(small):
    assert {type(layer).__module__.split(".")[0] for layer in small.layers} == {"keras"}
    assert not any(isinstance(layer, layers.Lambda) for layer in small.layers)


def test_saved_model_loads_in_safe_mode_and_predicts_the_same(small, slices, tmp_path):
    small.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
    assert isinstance(loaded, keras.Model)
    before, after = small(slices, training=False), loaded(slices, training=False)
    assert set(after) == {"probability", *MAPS}
    for name in after:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


def test_sigmoid_is_in_float32_whatever_the_policy():
    with built_in("mixed_bfloat16"):
        model = attention_unet(2, (32, 32, 3))
    assert model.get_layer("logits").compute_dtype == "float32"
    outputs = model.output
    assert isinstance(outputs, dict)
    assert outputs["probability"].dtype == "float32"
    assert model.get_layer("encoder_1_conv_1").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


# --- blocks


def test_conv_block_normalises_before_its_second_relu():
    picture = keras.Input((8, 8, 3))
    model = keras.Model(picture, conv_block(picture, 5, "block"))
    first, second, norm, relu = model.layers[1:]
    assert [type(layer) for layer in (first, second, norm, relu)] == [
        layers.Conv2D,
        layers.Conv2D,
        layers.BatchNormalization,
        layers.ReLU,
    ]
    assert [layer.activation.__name__ for layer in (first, second)] == ["relu", "linear"]
    assert [layer.kernel_size for layer in (first, second)] == [(3, 3), (3, 3)]
    assert norm.momentum == 0.9
    assert model.outputs[0].shape == (None, 8, 8, 5)
    assert np.asarray(model(np.random.default_rng(0).normal(size=(1, 8, 8, 3)))).min() == 0


def test_encoder_block_halves_by_the_maximum():
    picture = keras.Input((8, 8, 3))
    model = keras.Model(picture, encoder_block(picture, 4, "down"))
    skip, down = (np.asarray(x) for x in model(np.random.default_rng(0).normal(size=(1, 8, 8, 3))))
    np.testing.assert_array_equal(down, skip.reshape(1, 4, 2, 4, 2, 4).max(axis=(2, 4)))


def test_decoder_block_doubles_and_joins():
    deep, skip = keras.Input((4, 4, 8)), keras.Input((8, 8, 6))
    model = keras.Model([deep, skip], decoder_block(deep, 5, skip, "up"))
    assert model.outputs[0].shape == (None, 8, 8, 5)
    assert model.get_layer("up_join").output.shape == (None, 8, 8, 11)


@pytest.fixture
def gate():
    """An attention gate alone: (gating signal, skip) → (gated skip, attention map), and its model."""
    keras.utils.set_random_seed(2)
    gating, skip = keras.Input((4, 4, 8)), keras.Input((8, 8, 6))
    return keras.Model([gating, skip], attention_block(gating, skip, 3))


def test_gate_scales_each_two_by_two_block_of_the_skip_by_its_map(gate):
    rng = np.random.default_rng(0)
    gating, skip = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 4, 4, 8), (1, 8, 8, 6)))
    gated, attention_map = (np.asarray(x) for x in gate([gating, skip]))
    assert attention_map.shape == (1, 4, 4, 1) and attention_map.std() > 0.01
    unit = np.sqrt(1 + 1e-3)  # a fresh batch normalisation divides by this
    np.testing.assert_allclose(gated * unit, skip * attention_map.repeat(2, axis=1).repeat(2, axis=2), atol=1e-5)


def test_gate_looks_at_gating_signal_and_skip(gate):
    rng = np.random.default_rng(0)
    gating, skip = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 4, 4, 8), (1, 8, 8, 6)))
    reference = np.asarray(gate([gating, skip])[1])
    assert np.abs(np.asarray(gate([gating + 1, skip])[1]) - reference).max() > 0.01
    assert np.abs(np.asarray(gate([gating, skip + 1])[1]) - reference).max() > 0.01


def shut(model: keras.Model, level: int, bias: float) -> None:
    kernel, _ = model.get_layer(f"attention_{level}").get_weights()
    model.get_layer(f"attention_{level}").set_weights([0 * kernel, np.array([bias], np.float32)])


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_shut_gate_lets_nothing_through(small, slices, level):
    names = f"encoder_{level}_relu", f"attention_{level}_gate", f"attention_{level}_norm"
    open_prediction = np.asarray(small(slices, training=False)["probability"])
    shut(small, level, -100)
    skip, gated, normalised = (np.asarray(x) for x in layer_output(small, *names)(slices, training=False))
    result = small(slices, training=False)
    assert np.asarray(result[f"attention_{level}"]).max() < 1e-30
    assert skip.max() > 0.01
    assert np.abs(gated).max() < 1e-30 and np.abs(normalised).max() < 1e-30
    assert np.abs(np.asarray(result["probability"]) - open_prediction).max() > 1e-6


def test_open_gate_lets_the_skip_through_unchanged(small, slices):
    shut(small, 2, 100)
    skip, gated = (np.asarray(x) for x in layer_output(small, "encoder_2_relu", "attention_2_gate")(slices))
    np.testing.assert_array_equal(gated, skip)
