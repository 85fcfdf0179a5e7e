"""A wider network that begins as a trained narrow one.

Every channel is copied, and what reads the copies shares the old weight out among them: the wide network computes the
narrow one's function and goes on from there (Net2Net, Chen et al. 2015, arXiv:1511.05641). On few cores this is the
affordable way to many filters.
"""

import keras
import numpy as np

from unet.language import t
from unet.weights.arrays import WeightsError

UNEVEN = 0.5  # how far a copy's share may be from an even one; equal copies would learn the same for ever


def widen(arrays: dict[str, np.ndarray], model: keras.Model, seed: int) -> dict[str, np.ndarray]:
    """Return weights for `model` that make it compute what `arrays` make a narrower one compute.

    Args:
        arrays: weights of the narrow network, by variable path, float32.
        model: the same architecture, some whole number of times as wide; not changed.
        seed: of the shares.

    Raises:
        WeightsError: another architecture, or a width that is no multiple.
    """
    rng = np.random.default_rng(seed)
    widened = {}
    for layer in model.layers:
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        for variable in layer.variables:
            narrow = arrays.get(variable.path)
            if narrow is None or narrow.ndim != len(variable.shape) or np.any(np.mod(variable.shape, narrow.shape)):
                found = t("missing") if narrow is None else t("of shape {shape}", shape=narrow.shape)
                raise WeightsError(
                    t(
                        "{path} is {found} in the narrow weights; expected a shape that divides {variable}. "
                        "Start from the same architecture with half or a third of the filters.",
                        path=variable.path,
                        found=found,
                        variable=variable.shape,
                    )
                )
            copies = np.floor_divide(variable.shape, narrow.shape)
            value = narrow
            for axis, count in enumerate(copies):
                value = np.repeat(value, count, axis)
            if value.ndim == 4:
                value = _share_out(value, axis=3 if transposed else 2, copies=copies[3 if transposed else 2], rng=rng)
            widened[variable.path] = value
    return widened


def _share_out(kernel: np.ndarray, axis: int, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Scale the copies of each incoming channel by random shares that add up to 1."""
    kernel = np.moveaxis(kernel, axis, 0)
    grouped = kernel.reshape(-1, copies, *kernel.shape[1:])
    shares = rng.uniform(1 - UNEVEN, 1 + UNEVEN, grouped.shape).astype(np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    return np.moveaxis((grouped * shares).reshape(kernel.shape), 0, axis)
