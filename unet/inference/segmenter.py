"""Run the trained network: slices in, probability and attention maps out, one forward pass for both."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unet.context import context_slices, gather, neighbour_places
from unet.inference.conversion import openvino_model
from unet.inference.engines import InferenceError, KerasEngine, OpenVinoEngine
from unet.inference.fair_lock import FairLock
from unet.inference.segmentation import Segmentation, SlicePrediction
from unet.language import t
from unet.letterbox import Letterbox
from unet.preprocessing import IntensityStatistics, intensity_statistics, normalise
from unet.weights.network import Weights


def quick_precision(weights: Weights) -> str | None:
    """Return the precision to look at pictures with: int8 where that is shipped, as it has been found to be as good."""
    return "int8" if weights.int8 else None


class Segmenter:
    """Trained weights, ready to run; safe to share between threads, which take turns pass by pass."""

    def __init__(self, weights: Weights, engine: str = "auto", precision: str | None = None) -> None:
        """Load the network.

        Args:
            weights: from `unet.weights.network.find_weights`.
            engine: `openvino`, `keras`, or `auto`: OpenVINO if it is installed.
            precision: `f32` or `bf16` for OpenVINO; `int8` for the shipped 8-bit network; None is the device's
                default among the floats, which is what scores are published for.

        Raises:
            InferenceError: the engine is unknown, not installed, or cannot convert the network; or the cache folder
                cannot be written.
        """
        if engine not in ("auto", "openvino", "keras"):
            raise InferenceError(t("engine {engine!r}; expected auto, openvino or keras", engine=engine))
        self.weights = weights
        self._lock = FairLock()
        self._engine = self._load(engine, precision)

    def _load(self, engine: str, precision: str | None) -> OpenVinoEngine | KerasEngine:
        if engine != "keras":
            try:
                return OpenVinoEngine(*self._openvino(precision))
            except ImportError:
                if engine == "openvino":
                    raise InferenceError(t("OpenVINO is not installed: pip install openvino")) from None
        return KerasEngine(self.weights)

    def _openvino(self, precision: str | None) -> tuple[Path, str | None]:
        """Return which converted network to run, and the precision to force."""
        if precision != "int8":
            return openvino_model(self.weights), precision
        if self.weights.int8 is None:
            raise InferenceError(t("{weights} has no int8 network. Leave `precision` out.", weights=self.weights.name))
        return self.weights.int8, None

    @property
    def engine_name(self) -> str:
        """The engine and its precision for people, such as `OpenVINO bfloat16`."""
        return self._engine.name

    @property
    def waiting(self) -> int:
        """How many passes of other threads wait for their turn."""
        return self._lock.waiting

    def predict(
        self, image: np.ndarray, statistics: IntensityStatistics | None = None, flip_averaging: bool | None = None
    ) -> SlicePrediction:
        """Run one slice, (height, width, 3); the rest as `predict_slices`."""
        return self.predict_slices(image[np.newaxis], statistics, flip_averaging)[0]

    def predict_slices(
        self,
        images: np.ndarray,
        statistics: IntensityStatistics | None = None,
        flip_averaging: bool | None = None,
        indices: list[int] | None = None,
        on_wait: Callable[[int], object] | None = None,
    ) -> list[SlicePrediction]:
        """Run slices of one volume.

        Args:
            images: (slices, height, width, 3), pre-contrast, FLAIR, post-contrast in any unit, bottom to top; not
                changed.
            indices: which of them to run; by default all. The others may be neighbours that the network sees.
            statistics: of the volume the slices are from; by default of these slices themselves.
            on_wait: told twice a second how many slices are before these, while others use the network; may raise.
            flip_averaging: average with the mirrored slice, a second pass; by default what the weights were tuned to.

        Raises:
            ValueError: another shape, or values that are not finite.
        """
        statistics = statistics or intensity_statistics(images)
        letterbox = self.letterbox(images.shape[1:])
        indices = list(range(len(images))) if indices is None else indices
        squares = self._inputs(images, indices, statistics, letterbox)
        with self._lock.turn(on_wait):
            started = time.perf_counter()
            outputs = [output[..., 0] for output in self._engine.run(squares)]
            milliseconds = 1000 * (time.perf_counter() - started) / len(indices)
        predictions = [  # clipped, as resizing may round past 0 or 1
            SlicePrediction(np.clip(letterbox.inverse(probability), 0, 1), tuple(attention), milliseconds)
            for probability, *attention in zip(*outputs, strict=True)
        ]
        if self.weights.post_processing.flip_averaging if flip_averaging is None else flip_averaging:
            mirrored = self.predict_slices(images[:, :, ::-1], statistics, False, indices, on_wait)
            predictions = [_averaged(*pair) for pair in zip(predictions, mirrored, strict=True)]
        return predictions

    def _inputs(
        self, images: np.ndarray, indices: list[int], statistics: IntensityStatistics, letterbox: Letterbox
    ) -> np.ndarray:
        """Return what the network is given of some slices, (slices, size, size, channels)."""
        places = neighbour_places(indices, len(images), context_slices(self.weights.architecture))
        needed, position = np.unique(places, return_inverse=True)
        squares = np.stack([letterbox.forward(slice_) for slice_ in normalise(images[needed], statistics)])
        return gather(squares, position.reshape(places.shape))

    def segment(self, images: np.ndarray) -> Segmentation:
        """Run a whole volume, (slices, height, width, 3), as the weights were tuned; errors as `predict`."""
        statistics = intensity_statistics(images)
        slices = [self.predict_slices(images, statistics, indices=[index])[0] for index in range(len(images))]
        return self.join(slices, images.shape[1:])

    def join(self, slices: list[SlicePrediction], slice_shape: tuple[int, ...]) -> Segmentation:
        """Return what the network says about neighbouring slices of that (height, width, …), in order."""
        return Segmentation.from_slices(
            slices, self.letterbox(slice_shape), self.engine_name, self.weights.post_processing
        )

    def letterbox(self, slice_shape: tuple[int, ...]) -> Letterbox:
        """Return how a slice of that (height, width, …) is laid into the network's square."""
        return Letterbox.of(slice_shape, self.weights.size)


def _averaged(prediction: SlicePrediction, mirrored: SlicePrediction) -> SlicePrediction:
    """Return a prediction with the probability of both passes and the first one's attention maps."""
    probability = (prediction.probability + mirrored.probability[:, ::-1]) / 2
    return SlicePrediction(probability, prediction.attention, prediction.milliseconds + mirrored.milliseconds)
