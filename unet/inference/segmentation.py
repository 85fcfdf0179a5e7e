"""What the network says about a slice and about a volume."""

from dataclasses import dataclass, replace

import numpy as np

from unet.letterbox import Letterbox
from unet.postprocessing import PLAIN, PostProcessing


@dataclass(frozen=True, eq=False)
class SlicePrediction:
    """What one forward pass says about one slice.

    Attributes:
        probability: (height, width) float32 in [0, 1], on the slice's own grid.
        attention: four maps, level 1 (finest) to 4, square float32 in [0, 1] on the network's grid.
        milliseconds: time in the engine, without waiting for it, shared out among the slices that ran together; of
            both passes with flip averaging.
    """

    probability: np.ndarray
    attention: tuple[np.ndarray, ...]
    milliseconds: float


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the network says about a volume; float16 halves the memory and still tells 0.500 from 0.501.

    Attributes:
        probability: (slices, height, width) float16 in [0, 1]; read-only.
        attention: per level, (slices, side, side) float16 in [0, 1]; read-only.
        letterbox: how a slice lies in the network's square, to bring attention maps back over it.
        engine: name for people, such as `OpenVINO bf16`.
        milliseconds: median time in the engine for a slice.
        post_processing: the rule of the weights, applied by `mask`.
    """

    probability: np.ndarray
    attention: tuple[np.ndarray, ...]
    letterbox: Letterbox
    engine: str
    milliseconds: float
    post_processing: PostProcessing = PLAIN

    @classmethod
    def from_slices(
        cls, slices: list[SlicePrediction], letterbox: Letterbox, engine: str, post_processing: PostProcessing = PLAIN
    ) -> "Segmentation":
        """Join the slices of a volume, in order."""
        probability = np.stack([slice_.probability for slice_ in slices]).astype(np.float16)
        levels = zip(*(slice_.attention for slice_ in slices), strict=True)
        attention = tuple(np.stack(level).astype(np.float16) for level in levels)
        for array in (probability, *attention):
            array.flags.writeable = False  # shared by every visitor who looks at this patient
        milliseconds = float(np.median([slice_.milliseconds for slice_ in slices]))
        return cls(probability, attention, letterbox, engine, milliseconds, post_processing)

    def mask(self, threshold: float) -> np.ndarray:
        """Return (slices, height, width) uint8 in {0, 1}: probability >= threshold, then the weights' own rule."""
        return self.post_processing.mask(self.probability, threshold)

    def part(self, first: int, end: int) -> "Segmentation":
        """Return the slices from `first` up to but not with `end`, a view."""
        attention = tuple(level[first:end] for level in self.attention)
        return replace(self, probability=self.probability[first:end], attention=attention)

    def attention_over_slice(self, level: int, slice_index: int) -> np.ndarray:
        """Return one attention map, (height, width) float32 in [0, 1], stretched over the slice it belongs to.

        Args:
            level: 1 (finest) to 4 (coarsest).
            slice_index: counted from 0.
        """
        attention_map = self.attention[level - 1][slice_index].astype(np.float32)
        rows, columns = self.letterbox.cells(len(attention_map))  # each value as a square, as the network upsamples it
        return attention_map[np.ix_(rows, columns)]
