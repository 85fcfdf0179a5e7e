"""Run the trained network: slices in, probability and attention maps out, one forward pass for both."""

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unet.context import context_slices, gather, neighbour_places
from unet.inference.conversion import openvino_model
from unet.inference.engines import InferenceError, KerasEngine, OpenVinoEngine
from unet.letterbox import Letterbox
from unet.postprocessing import PLAIN, PostProcessing
from unet.preprocessing import IntensityStatistics, intensity_statistics, normalise
from unet.weights.network import Weights


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


class Turns:
    """A lock that lets threads in by the order in which they asked, so that no visitor waits for ever.

    >>> turns = Turns()
    >>> with turns:
    ...     turns.waiting
    0
    """

    def __init__(self):
        self._queue: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many stand behind the one whose turn it is."""
        return max(0, len(self._queue) - 1)

    def __enter__(self):
        mine = threading.Event()
        with self._lock:
            self._queue.append(mine)
            if len(self._queue) == 1:
                mine.set()
        mine.wait()

    def __exit__(self, *_):
        with self._lock:
            self._queue.popleft()
            if self._queue:
                self._queue[0].set()


def quick_precision(weights: Weights) -> str | None:
    """Return the precision to look at pictures with: int8 where that is shipped, as it has been found to be as good."""
    return "int8" if weights.int8 else None


class Segmenter:
    """Trained weights, ready to run; safe to share between threads, which take turns pass by pass."""

    def __init__(self, weights: Weights, engine: str = "auto", precision: str | None = None):
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
            raise InferenceError(f"engine {engine!r}; expected auto, openvino or keras")
        self.weights = weights
        self._turns = Turns()
        self._engine = self._load(engine, precision)

    def _load(self, engine: str, precision: str | None) -> OpenVinoEngine | KerasEngine:
        if engine != "keras":
            try:
                return OpenVinoEngine(*self._openvino(precision))
            except ImportError:
                if engine == "openvino":
                    raise InferenceError("OpenVINO is not installed: pip install openvino") from None
        return KerasEngine(self.weights)

    def _openvino(self, precision: str | None) -> tuple[Path, str | None]:
        """Return which converted network to run, and the precision to force."""
        if precision != "int8":
            return openvino_model(self.weights), precision
        if self.weights.int8 is None:
            raise InferenceError(f"{self.weights.name} is not shipped in int8; leave precision out")
        return self.weights.int8, None

    @property
    def engine_name(self) -> str:
        return self._engine.name

    @property
    def waiting(self) -> int:
        """How many passes of other threads wait for their turn."""
        return self._turns.waiting

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
    ) -> list[SlicePrediction]:
        """Run slices of one volume.

        Args:
            images: (slices, height, width, 3), pre-contrast, FLAIR, post-contrast in any unit, bottom to top; not
                changed.
            indices: which of them to run; by default all. The others may be neighbours that the network sees.
            statistics: of the volume the slices are from; by default of these slices themselves.
            flip_averaging: average with the mirrored slice, a second pass; by default what the weights were tuned to.

        Raises:
            ValueError: another shape, or values that are not finite.
        """
        statistics = statistics or intensity_statistics(images)
        letterbox = self.letterbox(images.shape[1:])
        indices = list(range(len(images))) if indices is None else indices
        squares = self._inputs(images, indices, statistics, letterbox)
        with self._turns:
            started = time.perf_counter()
            outputs = [output[..., 0] for output in self._engine.run(squares)]
            milliseconds = 1000 * (time.perf_counter() - started) / len(indices)
        predictions = [  # clipped, as resizing may round past 0 or 1
            SlicePrediction(np.clip(letterbox.inverse(probability), 0, 1), tuple(attention), milliseconds)
            for probability, *attention in zip(*outputs, strict=True)
        ]
        if self.weights.post_processing.flip_averaging if flip_averaging is None else flip_averaging:
            mirrored = self.predict_slices(images[:, :, ::-1], statistics, False, indices)
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
        running = RunningSegmentation(self, images)
        while not running.advance():
            pass
        return running.result()

    def letterbox(self, slice_shape: tuple[int, ...]) -> Letterbox:
        """Return how a slice of that (height, width, …) is laid into the network's square."""
        return Letterbox.of(slice_shape, self.weights.size)


def _averaged(prediction: SlicePrediction, mirrored: SlicePrediction) -> SlicePrediction:
    """Return a prediction with the probability of both passes and the first one's attention maps."""
    probability = (prediction.probability + mirrored.probability[:, ::-1]) / 2
    return SlicePrediction(probability, prediction.attention, prediction.milliseconds + mirrored.milliseconds)


class RunningSegmentation:
    """A volume on its way through the network, slice by slice.

    Several threads may advance it: each call does the next one, so two visitors who open the same patient
    share the work, both see it progress, and one who leaves half-way loses nothing.
    """

    def __init__(self, segmenter: Segmenter, images: np.ndarray):
        self._segmenter, self._shape = segmenter, images.shape
        self._images: np.ndarray | None = images  # let go when all are done: results outlive volumes in the app
        self._statistics: IntensityStatistics | None = None  # from the first pass on
        self._slices: dict[int, SlicePrediction] = {}
        self._result: Segmentation | None = None
        self._lock = threading.Lock()

    @property
    def slices(self) -> int:
        return self._shape[0]

    @property
    def letterbox(self) -> Letterbox:
        return self._segmenter.letterbox(self._shape[1:])

    @property
    def engine_name(self) -> str:
        return self._segmenter.engine_name

    @property
    def waiting(self) -> int:
        """How many slices, of this volume or of others, wait for the network."""
        return self._segmenter.waiting

    @property
    def progress(self) -> float:
        """Share of the slices that are done, in [0, 1]."""
        done = len(self._slices)  # before the result, which empties them
        return 1.0 if self._result else done / self.slices

    def advance(self, near: int = 0) -> bool:
        """Do one more slice, the nearest to `near` that is not done; return whether all are."""
        with self._lock:
            if self._result:
                return True
            assert self._images is not None  # they are let go together with the first result
            self._statistics = self._statistics or intensity_statistics(self._images)
            waiting = (index for index in range(self.slices) if index not in self._slices)
            index = min(waiting, key=lambda index: abs(index - near))
            (prediction,) = self._segmenter.predict_slices(self._images, self._statistics, indices=[index])
            self._slices[index] = prediction
            if len(self._slices) == self.slices:
                self._result = self._join(self._slices, range(self.slices))
                self._slices = {}  # float32; the result keeps half
                self._images = None
            return self._result is not None

    def part(self, first: int, end: int) -> Segmentation | None:
        """Return the slices from `first` up to but not with `end`, or None while one of them is not done.

        Never waits: whoever looks at slices that are done need not queue for the network.
        """
        slices = self._slices  # before the result, which puts an empty one in its place
        if self._result:
            return self._result.part(first, end)
        done = all(index in slices for index in range(first, end))
        return self._join(slices, range(first, end)) if done else None

    def _join(self, slices: dict[int, SlicePrediction], indices: range) -> Segmentation:
        rule = self._segmenter.weights.post_processing
        return Segmentation.from_slices([slices[i] for i in indices], self.letterbox, self.engine_name, rule)

    def result(self) -> Segmentation:
        """Return the finished segmentation.

        Raises:
            InferenceError: it is not finished.
        """
        if self._result is None:
            raise InferenceError(f"{self.progress:.0%} of the slices are done; call advance until it returns True")
        return self._result
