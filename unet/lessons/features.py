"""Look inside the network: what each of its blocks says of one slice, and how much of the picture one value sees.

The blocks are found in the converted network by its shape and not by names, which the conversion does not keep: an
encoder level is what a pooling takes in, the bottleneck and the decoder levels are what is scaled up next.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet.inference.conversion import openvino_model
from unet.inference.engines import ATTENTION_LEVELS, InferenceError, load_openvino, output_names
from unet.inference.fair_lock import FairLock
from unet.language import t
from unet.letterbox import Letterbox
from unet.preprocessing import IntensityStatistics, normalise
from unet.weights.network import Weights

if TYPE_CHECKING:
    import openvino

BOTTLENECK = len(ATTENTION_LEVELS) + 1  # counted as the level below the coarsest one
CONVOLUTIONS = 2  # of 3 × 3 in each block
ALIKE = 0.8  # correlation from which two channels show the same thing


@dataclass(frozen=True, eq=False)
class Features:
    """What one forward pass leaves in the blocks for one slice, on the network's grid, float32.

    Attributes:
        encoder: level 1 (finest) to 4, then the bottleneck; (side, side, channels), 0 or more, before pooling.
        decoder: level 1 (finest) to 4; (side, side, channels), 0 or more.
        attention: level 1 (finest) to 4; (side, side) in [0, 1], on half the side of the level's skip. All 1 for a
            U-Net without gates.
        probability: (size, size) in [0, 1].
    """

    encoder: tuple[np.ndarray, ...]
    decoder: tuple[np.ndarray, ...]
    attention: tuple[np.ndarray, ...]
    probability: np.ndarray

    def gate(self, level: int) -> np.ndarray:
        """Return a level's attention map on the grid of its skip, (side, side): each value four times."""
        return self.attention[level - 1].repeat(2, axis=0).repeat(2, axis=1)


class FeatureReader:
    """A network that also gives out what is inside it, in float32; threads take turns.

    Attributes:
        gated: whether its skips pass through attention gates.
    """

    def __init__(self, weights: Weights) -> None:
        """Load the network a second time, with more outputs.

        Raises:
            InferenceError: OpenVINO is not installed, the network cannot be converted, or is built differently.
        """
        try:
            openvino = load_openvino()
        except ImportError:
            raise InferenceError(t("Looking inside the network needs OpenVINO: pip install openvino")) from None
        self._size, self.gated = weights.size, weights.architecture != "unet"
        core = openvino.Core()
        model = core.read_model(openvino_model(weights))
        model.reshape([1, weights.size, weights.size, 3])
        model.add_outputs(_blocks(model, weights.name))
        settings = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        self._lock = FairLock()

    def read(self, image: np.ndarray, statistics: IntensityStatistics) -> Features:
        """Run one slice.

        Args:
            image: (height, width, 3), pre-contrast, FLAIR, post-contrast in any unit; not changed.
            statistics: of the volume the slice is from.
        """
        square = Letterbox.of(image.shape, self._size).forward(normalise(image, statistics))
        with self._lock.turn():
            results = self._request.infer([square[np.newaxis]])
            probability, *attention = (results[name][0, ..., 0].copy() for name in output_names())
            inside = list(results.values())[len(output_names()) :]
            blocks = [np.moveaxis(block[0], 0, -1).copy() for block in inside]  # OpenVINO keeps channels first
        return Features(tuple(blocks[:BOTTLENECK]), tuple(blocks[: BOTTLENECK - 1 : -1]), tuple(attention), probability)


def _blocks(model: "openvino.Model", name: str) -> "list[openvino.Output]":
    """Return the outputs of the encoder levels 1 to 4, the bottleneck, and the decoder levels 4 to 1."""
    by_type: dict[str, list[openvino.Node]] = {}
    for operation in model.get_ordered_ops():
        by_type.setdefault(operation.get_type_name(), []).append(operation)
    pooled = [operation.input_value(0) for operation in by_type.get("MaxPool", [])]
    scaled_up = [operation.input_value(0) for operation in by_type.get("ConvolutionBackpropData", [])]
    levels = len(ATTENTION_LEVELS)
    if len(pooled) != levels or len(scaled_up) != levels:
        raise InferenceError(
            t(
                "{name} has {down} pooling steps and {up} upsampling steps; expected {levels} of each",
                name=name,
                down=len(pooled),
                up=len(scaled_up),
                levels=levels,
            )
        )
    logits = by_type["Convolution"][-1]  # all others come before it
    return [*pooled, *scaled_up, logits.input_value(0)]


def most_varied(features: np.ndarray, count: int) -> np.ndarray:
    """Return channels that differ much from place to place, and from each other.

    By their standard deviation over the picture, the largest first; one that looks like a channel already taken
    (correlation of 0.8 or more) waits until all others have been asked.

    Args:
        features: (side, side, channels).
        count: how many; fewer where there are no more.

    Returns:
        (count,) int.

    >>> most_varied(np.array([[[5.0, 0.0, 0.0, 2.0], [5.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [1, 3]
    """
    flat = features.reshape(-1, features.shape[-1])
    spread = flat.std(axis=0)
    centred = (flat - flat.mean(axis=0)) / (np.maximum(spread, 1e-6) * np.sqrt(len(flat)))
    taken, similar = [], []
    for channel in np.argsort(-spread, kind="stable"):
        alike = any(centred[:, channel] @ centred[:, other] >= ALIKE for other in taken)
        (similar if alike else taken).append(channel)
        if len(taken) == count:
            break
    return np.array((taken + similar)[:count])


def receptive_field(level: int, cell: int) -> tuple[int, int]:
    """Return the first and the last input pixel, along one axis, that one value of an encoder level depends on.

    Each 3 × 3 convolution sees one cell further on either side, each pooling doubles what a cell stands for.

    Args:
        level: 1 (finest) to 4, or 5 for the bottleneck.
        cell: position on that level's grid, from 0.

    Returns:
        Pixels on the network's grid, which may lie outside the picture.

    >>> [receptive_field(level, 0) for level in (1, 2)]
    [(-2, 2), (-6, 7)]
    """
    first = last = cell
    for _ in range(level - 1):
        first, last = 2 * (first - CONVOLUTIONS), 2 * (last + CONVOLUTIONS) + 1
    return first - CONVOLUTIONS, last + CONVOLUTIONS
