"""The same validation slices after each epoch, for the slice viewer: the mask as it appears, and where attention goes.

    slices.npz       the slices and their expected masks, once a run
    epoch_NNN.npz    what the network says of them after that epoch

Patients of any size lie in one square, so that the viewer can go through them like through a volume.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet.context import neighbour_places
from unet.inference.engines import ATTENTION_LEVELS
from unet.inference.segmentation import Segmentation
from unet.letterbox import Letterbox
from unet.preprocessing import normalise
from unet.training.sampling import Example
from unet.weights.arrays import load_arrays, save_arrays

SLICES = 6
MAX_SIDE = 256  # pixels, the data set's own
MAX_EPOCHS = 40  # kept of a run, evenly: what a browser can hold, and a disk


@dataclass(frozen=True, eq=False)
class PreviewSlices:
    """What is predicted anew after each epoch.

    Attributes:
        images: (slices, side, side, 3) uint8.
        expected_mask: (slices, side, side) uint8 in {0, 1}.
        patients: patient id of each slice.
        slice_numbers: position of each in its patient, from 1.
    """

    images: np.ndarray
    expected_mask: np.ndarray
    patients: list[str]
    slice_numbers: list[int]


def chosen_slices(validation: list[Example]) -> list[tuple[Example, int]]:
    """Return the slices with most expected lesion: one of each patient, more where there are few patients."""
    first = validation[:SLICES]
    each = SLICES // len(first)
    areas = [example.volume.expected_mask.sum(axis=(1, 2), dtype=np.int64) for example in first]
    largest = [sorted(np.argsort(-area, kind="stable")[:each]) for area in areas]
    return [(example, int(index)) for example, own in zip(first, largest, strict=True) for index in own]


def preview_slices(validation: list[Example]) -> PreviewSlices:
    """Return the chosen slices in a square that holds the largest of them."""
    chosen = chosen_slices(validation)
    side = min(MAX_SIDE, max(max(example.volume.images.shape[1:3]) for example, _ in chosen))
    images, masks = [], []
    for example, index in chosen:
        letterbox = Letterbox.of(example.volume.images.shape[1:], side)
        images.append(letterbox.forward(example.volume.images[index]))
        masks.append(letterbox.forward(example.volume.expected_mask[index].astype(np.float32)) >= 0.5)
    return PreviewSlices(
        np.stack(images),
        np.array(masks, np.uint8),
        [example.volume.patient_id for example, _ in chosen],
        [index + 1 for _, index in chosen],
    )


def predict_slices(validation: list[Example], predict: Callable, size: int, context: int = 0) -> dict[str, np.ndarray]:
    """Return what the network says of the chosen slices: `probability` float16, and `attention_1` to `4` in 255 steps.

    Args:
        validation: examples to choose slices of.
        predict: from slices (B, size, size, 3) to the network's outputs.
        size: side in pixels that the network runs at.
        context: neighbours on each side that it sees.
    """
    squares = []
    for example, index in chosen_slices(validation):
        images = example.volume.images
        places = neighbour_places([index], len(images), context)[0]
        letterbox = Letterbox.of(images.shape[1:], size)
        stack = [letterbox.forward(slice_) for slice_ in normalise(images[places], example.statistics)]
        squares.append(np.concatenate(stack, axis=-1))
    outputs = {name: np.asarray(output, np.float32)[..., 0] for name, output in predict(np.stack(squares)).items()}
    probability = outputs["probability"]
    if size > MAX_SIDE:
        probability = np.stack([Letterbox(MAX_SIDE, MAX_SIDE, size).inverse(square) for square in probability])
    levels = {
        f"attention_{level}": (outputs[f"attention_{level}"] * 255 + 0.5).astype(np.uint8) for level in ATTENTION_LEVELS
    }
    # three decimals, as the viewer shows them: the noise below does not compress
    return {"probability": np.round(probability, 3).astype(np.float16), **levels}


class Previews:
    """The folder of a run with its predicted slices; made when it is first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.slices = path / "slices.npz"

    def epoch(self, epoch: int) -> Path:
        """Return the file of an epoch."""
        return self.path / f"epoch_{epoch:03d}.npz"

    def epochs(self) -> list[int]:
        """Return the epochs that are kept, ascending."""
        return sorted(int(path.stem.removeprefix("epoch_")) for path in self.path.glob("epoch_*.npz"))

    def write_slices(self, slices: PreviewSlices) -> None:
        """Write what is predicted anew after each epoch."""
        self.path.mkdir(exist_ok=True)
        arrays = {"images": slices.images, "expected_mask": np.packbits(slices.expected_mask)}
        meta = {"patients": slices.patients, "slice_numbers": slices.slice_numbers}
        save_arrays(self.slices, arrays, meta, compress=True)

    def read_slices(self) -> PreviewSlices:
        """Return what `write_slices` wrote.

        Raises:
            WeightsError: there is no such file, or it is damaged.
        """
        arrays, meta = load_arrays(self.slices)
        images = arrays["images"]
        masks = np.unpackbits(arrays["expected_mask"])[: images[..., 0].size].reshape(images.shape[:3])
        return PreviewSlices(images, masks, meta["patients"], meta["slice_numbers"])

    def write_epoch(self, epoch: int, predictions: dict[str, np.ndarray], size: int) -> None:
        """Write what `predict_slices` returned at that size, and thin out the epochs before."""
        self.path.mkdir(exist_ok=True)
        save_arrays(self.epoch(epoch), predictions, {"size": size}, compress=True)
        for older in self.epochs():
            if older < epoch and not is_kept(older, epoch):
                self.epoch(older).unlink(missing_ok=True)

    def read_epoch(self, epoch: int, side: int) -> Segmentation:
        """Return what `write_epoch` wrote, on the slices' own grid.

        Args:
            epoch: number from 1.
            side: of the slices, pixels.

        Raises:
            WeightsError: there is no such file, or it is damaged.
        """
        arrays, meta = load_arrays(self.epoch(epoch))
        letterbox = Letterbox(side, side, meta["size"])
        stored = arrays["probability"].astype(np.float32)
        own = Letterbox(side, side, stored.shape[-1])
        probability = np.round([np.clip(own.inverse(square), 0, 1) for square in stored], 3).astype(np.float16)
        attention = tuple(arrays[f"attention_{level}"].astype(np.float32) / 255 for level in ATTENTION_LEVELS)
        return Segmentation(probability, attention, letterbox, f"epoch {epoch}", 0.0)

    def forget_after(self, epoch: int) -> None:
        """Drop what was written after the checkpoint that a run is resumed from."""
        for later in self.epochs():
            if later > epoch:
                self.epoch(later).unlink(missing_ok=True)


def is_kept(epoch: int, newest: int) -> bool:
    """Return whether an epoch stays: the first, the newest and every 1st, 2nd, 4th, … so that `MAX_EPOCHS` suffice.

    >>> [epoch for epoch in range(1, 101) if is_kept(epoch, newest=100)][:5]
    [1, 4, 8, 12, 16]
    """
    step = 1
    while newest // step > MAX_EPOCHS - 2:
        step *= 2
    return epoch in (1, newest) or epoch % step == 0
