"""A step up and the convolution after it, made one: the same answers, also at the border, from fewer layers."""

import keras
import numpy as np
import pytest

from unet.inference.conversion import export_openvino
from unet.inference.engines import OpenVinoEngine, output_names
from unet.inference.folding import fold_steps_up, folded_bias, folded_kernel
from unet.model import attention_unet, plain_unet
from unet.weights.network import find_weights, shipped_names

openvino = pytest.importorskip("openvino")


@pytest.mark.parametrize("name", shipped_names())
def test_int8_has_nothing_to_fold(name):
    """Between its layers values are rounded, which is not linear."""
    assert fold_steps_up(openvino.Core().read_model(find_weights(name).int8)) == 0


def test_kernel_of_a_copy_and_a_shift():
    """Each cell is copied into its four pixels, then everything moves up one row and left one column."""
    up = np.ones((1, 1, 2, 2))
    shift = np.zeros((1, 1, 3, 3))
    shift[0, 0, 2, 2] = 1
    assert folded_kernel(up, shift)[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_kernel_of_a_copy_and_a_sum():
    """Of the nine pixels of a sum, a cell has four where it is in the middle, and fewer around."""
    kernel = folded_kernel(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3)))
    assert kernel[0, 0].tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]


def test_bias_is_less_where_the_padding_begins():
    bias = folded_bias(np.array([10.0, 1.0]), np.ones((1, 2, 3, 3)))
    assert bias.tolist() == [[[[44, 66, 44], [66, 99, 66], [44, 66, 44]]]]


@pytest.mark.parametrize("build", [attention_unet, plain_unet])
def test_a_network_answers_as_before(build, tmp_path):
    model = build(2, (32, 48, 3))
    rng = np.random.default_rng(0)
    for variable in model.variables:  # as after training: no bias is 0, no normalisation the identity
        variable.assign(np.abs(variable.numpy() + rng.normal(0, 0.3, variable.shape)))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose | keras.layers.Conv2D):
            kernel = layer.weights[0]
            kernel.assign(rng.normal(0, 0.3, kernel.shape))
    export_openvino(model, tmp_path / "model.xml")
    assert fold_steps_up(openvino.Core().read_model(tmp_path / "model.xml")) == 4
    slices = rng.normal(size=(1, 32, 48, 3)).astype(np.float32)
    expected = model(slices, training=False)
    assert np.std(expected["probability"]) > 0.05
    for name, found in zip(output_names(), OpenVinoEngine(tmp_path / "model.xml", "f32").run(slices), strict=True):
        np.testing.assert_allclose(found, expected[name], atol=1e-3, err_msg=name)
