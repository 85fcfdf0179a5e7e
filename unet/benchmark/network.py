"""The network and the slice that the benchmark times, and how much work one slice is.

Speed does not depend on the weights' values, so a network that nobody trained serves for any width.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import keras
    import openvino

SEED = 0
LESION_SHARE = 0.05  # of the slice's area
FIT_STEPS = 200
LESION_LOGIT = 6.0  # ±6 is a probability of 0.998 or 0.002: a trained network is about as sure of most pixels


def synthetic_slice(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a normalised slice, (1, size, size, 3) float32: smooth noise and a bright disc; and the disc's mask.

    The mask is (size, size) bool. Both are the same on every call.
    """
    random = np.random.default_rng(SEED)
    noise = cv2.GaussianBlur(random.standard_normal((size, size, 3)).astype(np.float32), (0, 0), size / 32)
    noise = (noise - noise.mean((0, 1))) / noise.std((0, 1))
    radius = size * np.sqrt(LESION_SHARE / np.pi)
    rows, columns = np.ogrid[:size, :size]
    lesion = np.hypot(rows - 0.4 * size, columns - 0.6 * size) < radius
    return (noise + 4 * lesion[..., np.newaxis]).astype(np.float32)[np.newaxis], lesion


def synthetic_network(filters: int, slices: np.ndarray, lesion: np.ndarray) -> "keras.Model":
    """Return an `attention_unet` that marks the disc of `synthetic_slice`, without training.

    Random kernels alone leave logits that are all but 0, or after scaling a bell curve around the threshold, so that
    rounding flips many pixels; a trained network is in doubt only along outlines. So the batch-norm statistics are
    those of the slice, which keeps all features alive, and the last layer is fitted to the disc: least squares
    towards ±6, repeated with each target moved to its prediction where that is already beyond, so that only pixels
    in doubt pull (the idea of Ho and Kashyap 1965). Same weights on every call.

    Args:
        filters: width of the network.
        slices: (1, size, size, 3), normalised.
        lesion: (size, size) bool.
    """
    import keras

    from unet.model import attention_unet

    keras.utils.set_random_seed(SEED)
    model = attention_unet(filters, slices.shape[1:])
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0  # one pass in training mode puts the slice's own statistics in place
    model(slices, training=True)
    for layer in norms:
        layer.momentum = 0.9

    readout = model.get_layer("logits")
    features = np.asarray(keras.Model(model.input, readout.input)(slices, training=False))[0]  # (H, W, filters)
    design = np.column_stack([features.reshape(-1, filters), np.ones(lesion.size)]).astype(np.float64)
    sign = np.where(lesion.reshape(-1), 1.0, -1.0)
    weighted = design * np.where(lesion.reshape(-1, 1), 0.5 / lesion.mean(), 0.5 / (1 - lesion.mean()))  # 1 : 1
    gram = weighted.T @ design
    gram += 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))  # ridge: large weights would magnify rounding
    target = LESION_LOGIT * sign
    solution = np.zeros(filters + 1)
    for _ in range(FIT_STEPS):
        solution = np.linalg.solve(gram, weighted.T @ target)
        target = sign * np.maximum(LESION_LOGIT, sign * (design @ solution))
    readout.set_weights([solution[:-1].reshape(1, 1, filters, 1), solution[-1:]])
    return model


def convolution_flop(model: "openvino.Model") -> int:
    """Return the floating point operations of one slice, 2 for each multiply-add of the convolutions.

    Everything else (normalisation, pooling, activations) is left out, as is customary: below 1 % from 32 filters.

    Args:
        model: an `openvino.Model`, for slices of one size.
    """
    flop = 0
    for node in model.get_ops():
        if node.get_type_name() == "ConvolutionBackpropData":  # transposed: its kernel meets every input pixel
            shape = node.get_input_partial_shape(0)
        elif node.get_type_name() == "Convolution":  # every output pixel
            shape = node.get_output_partial_shape(0)
        else:
            continue
        height, width = (side.get_length() for side in list(shape)[2:])
        flop += 2 * height * width * int(np.prod(node.get_input_shape(1)))
    return flop
