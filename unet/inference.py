"""Run the trained network: slices in, probability and attention maps out, one forward pass for both.

Two engines give the same answer. OpenVINO is the fast one and the only thing the app's server imports: the
network is converted once, in a process of its own, and kept in a cache folder by the weights' SHA-256. Keras
stands in where OpenVINO is not installed.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet.data import PROJECT_FOLDER
from unet.preprocessing import Fit, IntensityStatistics, intensity_statistics, normalise
from unet.weights import Weights, assign_arrays, load_arrays

ATTENTION_LEVELS = (1, 2, 3, 4)  # finest to coarsest


class InferenceError(RuntimeError):
    """The network cannot be run here; the message says why and what to do."""


@dataclass(frozen=True)
class SlicePrediction:
    """What one forward pass says about one slice.

    Attributes:
        probability: (height, width) float32 in [0, 1], on the slice's own grid.
        attention: four maps, level 1 (finest) to 4, square float32 in [0, 1] on the network's grid.
        milliseconds: time in the engine, without waiting for it.
    """

    probability: np.ndarray
    attention: tuple[np.ndarray, ...]
    milliseconds: float


@dataclass(frozen=True)
class Segmentation:
    """What the network says about a volume; float16 halves the memory and still tells 0.500 from 0.501.

    Attributes:
        probability: (slices, height, width) float16 in [0, 1]; read-only.
        attention: per level, (slices, side, side) float16 in [0, 1]; read-only.
        fit: how a slice lies in the network's square, to bring attention maps back over it.
        engine: name for people, such as `OpenVINO bf16`.
        milliseconds: median time in the engine for a slice.
    """

    probability: np.ndarray
    attention: tuple[np.ndarray, ...]
    fit: Fit
    engine: str
    milliseconds: float

    @classmethod
    def from_slices(cls, slices: list[SlicePrediction], fit: Fit, engine: str) -> "Segmentation":
        """Join the slices of a volume, in order."""
        probability = np.stack([slice_.probability for slice_ in slices]).astype(np.float16)
        levels = zip(*(slice_.attention for slice_ in slices), strict=True)
        attention = tuple(np.stack(level).astype(np.float16) for level in levels)
        for array in (probability, *attention):
            array.flags.writeable = False  # shared by every visitor who looks at this patient
        milliseconds = float(np.median([slice_.milliseconds for slice_ in slices]))
        return cls(probability, attention, fit, engine, milliseconds)

    def mask(self, threshold: float) -> np.ndarray:
        """Return (slices, height, width) uint8 in {0, 1}: probability >= threshold."""
        return (self.probability >= np.float16(threshold)).astype(np.uint8)

    def attention_over_slice(self, level: int, slice_index: int) -> np.ndarray:
        """Return one attention map, (height, width) float32 in [0, 1], stretched over the slice it belongs to.

        Args:
            level: 1 (finest) to 4 (coarsest).
            slice_index: counted from 0.
        """
        attention_map = np.float32(self.attention[level - 1][slice_index])
        square = np.kron(attention_map, np.ones((2**level, 2**level), np.float32))  # as the network upsamples it
        return self.fit.inverse(square)


class Segmenter:
    """Trained weights, ready to run; safe to share between threads, which take turns."""

    def __init__(self, weights: Weights, engine: str = "auto", precision: str | None = None):
        """Load the network.

        Args:
            weights: from `unet.weights.find_weights`.
            engine: `openvino`, `keras`, or `auto`: OpenVINO if it is installed.
            precision: `f32` or `bf16` for OpenVINO; None is the device's default, the fastest it does well.

        Raises:
            InferenceError: the engine is unknown, not installed, or cannot convert the network.
        """
        if engine not in ("auto", "openvino", "keras"):
            raise InferenceError(f"engine {engine!r}; expected auto, openvino or keras")
        self.weights = weights
        self._lock = threading.Lock()
        self._engine = None
        if engine != "keras":
            try:
                self._engine = OpenVinoEngine(openvino_model(weights), precision)
            except ImportError:
                if engine == "openvino":
                    raise InferenceError("OpenVINO is not installed: pip install openvino") from None
        if self._engine is None:
            self._engine = KerasEngine(weights)

    @property
    def engine_name(self) -> str:
        return self._engine.name

    def predict(self, image: np.ndarray, statistics: IntensityStatistics | None = None) -> SlicePrediction:
        """Run one slice.

        Args:
            image: (height, width, 3), pre-contrast, FLAIR, post-contrast in any unit; not changed.
            statistics: of the volume the slice is from; by default of the slice itself.

        Raises:
            ValueError: another shape, or values that are not finite.
        """
        statistics = statistics or intensity_statistics(image[np.newaxis])
        fit = self.fit(image.shape)
        square = fit.forward(normalise(image, statistics))
        with self._lock:
            started = time.perf_counter()
            # copies: the engine reuses its output memory for the next slice
            probability, *attention = (output[0, ..., 0].copy() for output in self._engine.run(square[np.newaxis]))
            milliseconds = 1000 * (time.perf_counter() - started)
        probability = np.clip(fit.inverse(probability), 0, 1)  # resizing may round past 0 or 1
        return SlicePrediction(probability, tuple(attention), milliseconds)

    def segment(self, images: np.ndarray) -> Segmentation:
        """Run a whole volume, (slices, height, width, 3); errors as `predict`."""
        running = RunningSegmentation(self, images)
        while not running.advance():
            pass
        return running.result()

    def fit(self, slice_shape: tuple[int, ...]) -> Fit:
        """Return how a slice of that (height, width, …) is laid into the network's square."""
        return Fit(*slice_shape[:2], self.weights.size)


class RunningSegmentation:
    """A volume on its way through the network, slice by slice.

    Several threads may advance it: each call does the next slice, so two visitors who open the same patient
    share the work, both see it progress, and one who leaves half-way loses nothing.
    """

    def __init__(self, segmenter: Segmenter, images: np.ndarray):
        self._segmenter, self._images = segmenter, images
        self._statistics = intensity_statistics(images)
        self._slices: list[SlicePrediction] = []
        self._result: Segmentation | None = None
        self._lock = threading.Lock()

    @property
    def progress(self) -> float:
        """Share of the slices that are done, in [0, 1]."""
        return 1.0 if self._result else len(self._slices) / len(self._images)

    def advance(self) -> bool:
        """Do one more slice, unless all are done; return whether they are."""
        with self._lock:
            if self._result:
                return True
            self._slices.append(self._segmenter.predict(self._images[len(self._slices)], self._statistics))
            if len(self._slices) == len(self._images):
                fit = self._segmenter.fit(self._images.shape[1:])
                self._result = Segmentation.from_slices(self._slices, fit, self._segmenter.engine_name)
                self._slices = []  # float32; the result keeps half
            return self._result is not None

    def result(self) -> Segmentation:
        """Return the finished segmentation.

        Raises:
            InferenceError: it is not finished.
        """
        if self._result is None:
            raise InferenceError(f"{self.progress:.0%} of the slices are done; call advance until it returns True")
        return self._result


class KerasEngine:
    """The network as it was trained, in float32."""

    name = "Keras float32"

    def __init__(self, weights: Weights):
        self._model = load_keras_model(weights)

    def run(self, slices: np.ndarray) -> list[np.ndarray]:
        """Return probability, (B, H, W, 1), and the four attention maps, finest first, as float32."""
        outputs = self._model(slices, training=False)
        return [np.asarray(outputs[name]) for name in output_names()]


class OpenVinoEngine:
    """The converted network at the device's best precision, or a forced one."""

    def __init__(self, model_path: Path, precision: str | None = None):
        import openvino

        core = openvino.Core()
        settings = {"PERFORMANCE_HINT": "LATENCY", "CACHE_DIR": str(model_path.parent)}
        if precision:
            settings["INFERENCE_PRECISION_HINT"] = precision
        compiled = core.compile_model(core.read_model(model_path), "CPU", settings)
        precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        self.name = f"OpenVINO {precision.replace('f32', 'float32').replace('bf16', 'bfloat16')}"
        self._request = compiled.create_infer_request()
        self._ports = [compiled.output(name) for name in output_names()]

    def run(self, slices: np.ndarray) -> list[np.ndarray]:
        """Return probability, (B, H, W, 1), and the four attention maps, finest first, as float32."""
        results = self._request.infer([slices], share_inputs=True)
        return [results[port] for port in self._ports]


def output_names() -> list[str]:
    """Return the names of the network's outputs in the order the engines give them."""
    return ["probability", *(f"attention_{level}" for level in ATTENTION_LEVELS)]


def load_keras_model(weights: Weights):
    """Return the Keras model with its trained weights, in float32; imports TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from unet.model import attention_unet

    model = attention_unet(weights.filters, (weights.size, weights.size, 3))
    arrays, _ = load_arrays(weights.path)
    assign_arrays(model.variables, arrays)
    return model


def cache_folder() -> Path:
    """Return where converted networks are kept: `UNET_CACHE`, or `brain-mri-unet` in the user's cache folder."""
    if configured := os.environ.get("UNET_CACHE"):
        return Path(configured)
    if platform.system() == "Windows":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "brain-mri-unet"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "brain-mri-unet"


def openvino_model(weights: Weights) -> Path:
    """Return the converted network's `.xml`, made on first use; the cache is keyed by the weights' SHA-256.

    The conversion runs in its own process, so the 700 MB that TensorFlow takes are given back.

    Raises:
        ImportError: OpenVINO is not installed.
        InferenceError: the conversion failed; the message ends with its last words.
    """
    import openvino  # noqa: F401  fail before converting

    folder = cache_folder() / f"{weights.sha256[:32]}-{weights.size}"
    model_path = folder / "model.xml"
    if model_path.exists():
        return model_path
    folder.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        command = [sys.executable, "-m", "unet.inference", str(weights.path.parent), str(workplace / "model.xml")]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT_FOLDER)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise InferenceError(f"{weights.name} could not be converted for OpenVINO: {done.stderr[-500:]}")
        try:
            workplace.rename(folder)
        except OSError:
            if not model_path.exists():  # else another process was faster, with the same result
                raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return model_path


def export_openvino(model, path: Path) -> None:
    """Write a Keras model of `attention_unet` as OpenVINO IR, its outputs named as in Keras, one slice at a time."""
    import openvino

    @_tensorflow_function(model)
    def forward(slices):
        outputs = model(slices, training=False)
        return [outputs[name] for name in output_names()]

    converted = openvino.convert_model(forward, input=[1, *model.input_shape[1:]])
    for port, name in zip(converted.outputs, output_names(), strict=True):
        port.get_tensor().set_names({name})
    openvino.save_model(converted, path, compress_to_fp16=False)


def _tensorflow_function(model):
    """Return a decorator that makes a concrete function of one fixed input shape."""
    import tensorflow as tf

    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="slices")
    return lambda function: tf.function(function, input_signature=[spec])


if __name__ == "__main__":
    from unet.weights import find_weights

    export_openvino(load_keras_model(find_weights(sys.argv[1])), Path(sys.argv[2]))
