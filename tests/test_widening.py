"""A widened network computes the same, and its copies then learn different things."""

import numpy as np
import pytest
import tensorflow as tf

from unet.model import ARCHITECTURES, attention_unet
from unet.training.config import TrainingConfig
from unet.training.learner import Learner
from unet.weights.arrays import WeightsError, assign_arrays, variable_arrays
from unet.weights.widening import widen

SLICES = np.random.default_rng(3).standard_normal((2, 32, 32, 3), np.float32)


def trained(architecture="attention-unet"):
    """A network whose every variable, batch-norm statistics too, has a value of its own."""
    model = ARCHITECTURES[architecture](2, (None, None, 3))
    rng = np.random.default_rng(1)
    for variable in model.variables:
        value = variable.numpy() + rng.normal(0, 0.1, variable.shape)
        variable.assign(np.abs(value) if "variance" in variable.path else value)
    return model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("times", [2, 3])
def test_computes_the_same(architecture, times):
    narrow = trained(architecture)
    wide = ARCHITECTURES[architecture](2 * times, (None, None, 3))
    before = {path: value.copy() for path, value in variable_arrays(narrow.variables).items()}
    arrays = widen(before, wide, seed=5)
    assign_arrays(wide.variables, arrays)
    expected, got = narrow(SLICES), wide(SLICES)
    assert np.ptp(expected["probability"]) > 0.01
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], atol=2e-5)
    for path, value in variable_arrays(narrow.variables).items():
        np.testing.assert_array_equal(before[path], value)


def test_copies_differ_after_a_step():
    narrow = trained()
    wide = attention_unet(4, (None, None, 3))
    start = widen(variable_arrays(narrow.variables), wide, seed=5)
    learner = Learner(TrainingConfig(filters=4, epochs=1, batch_size=2), tf.distribute.get_strategy(), start)
    kernel = learner.network.get_layer("encoder_1_conv_1").kernel
    np.testing.assert_array_equal(kernel[..., 0::2], kernel[..., 1::2])
    learner.step(SLICES, (SLICES[..., :1] > 1).astype(np.float32), 1e-3)
    assert np.abs(kernel[..., 0::2] - kernel[..., 1::2]).max() > 1e-4


def test_refuses_a_width_that_is_no_multiple():
    arrays = variable_arrays(trained().variables)
    with pytest.raises(WeightsError, match=r"shape \(3, 3, 3, 2\).*divides \(3, 3, 3, 3\)"):
        widen(arrays, attention_unet(3, (None, None, 3)), seed=0)


def test_refuses_another_architecture():
    arrays = variable_arrays(trained("unet").variables)
    with pytest.raises(WeightsError, match="attention_4_phi/kernel is missing in the narrow weights"):
        widen(arrays, attention_unet(4, (None, None, 3)), seed=0)
