"""The two engines that run the network, and how the trained weights get into each.

Both give the same outputs in the same order. OpenVINO is the fast one: the network is converted once, in a process
of its own, and kept in a cache folder by the weights' SHA-256.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from unet.inference.folding import fold_steps_up
from unet.paths import CODE_FOLDER
from unet.weights.arrays import assign_arrays, load_arrays
from unet.weights.network import Weights

ATTENTION_LEVELS = (1, 2, 3, 4)  # finest to coarsest


class InferenceError(RuntimeError):
    """The network cannot be run here; the message says why and what to do."""


class KerasEngine:
    """The network as it was trained, in float32."""

    name = "Keras float32"
    batch = 1

    def __init__(self, weights: Weights):
        self._model = load_keras_model(weights)

    def run(self, slices: np.ndarray) -> list[np.ndarray]:
        """Return probability, (B, H, W, 1), and the four attention maps, finest first, as float32."""
        outputs = self._model(slices, training=False)
        return [np.asarray(outputs[name]) for name in output_names()]


@dataclass(frozen=True)
class Setting:
    """How the network is run.

    Attributes:
        batch: slices at once, where that many wait.
        threads: 0 leaves it to OpenVINO, which takes every core.
    """

    batch: int = 1
    threads: int = 0


class OpenVinoEngine:
    """The converted network at the device's best precision, or a forced one.

    It is compiled for fixed numbers of slices, one and `setting.batch`: for any number it would be slower.

    Attributes:
        name: for people, such as `OpenVINO bfloat16`.
        batch: how many slices at once are fastest.
        setting: as asked for, with `batch` 1 where the network was converted for single slices.
        slice_shape: (height, width, 3).
    """

    def __init__(self, model_path: Path, precision: str | None = None, setting: Setting | None = None):
        import openvino

        core = openvino.Core()
        setting = setting or Setting()
        # pinned threads cannot move away from a core that a training run is using
        settings = {"PERFORMANCE_HINT": "LATENCY", "CACHE_DIR": str(cache_folder()), "ENABLE_CPU_PINNING": False}
        if precision:
            settings["INFERENCE_PRECISION_HINT"] = precision
        if setting.threads:
            settings["INFERENCE_NUM_THREADS"] = setting.threads
        model = core.read_model(model_path)
        if model.input().partial_shape[0].is_static:
            setting = Setting(1, setting.threads)
        self.setting, self.batch = setting, setting.batch
        self.slice_shape = tuple(side.get_length() for side in list(model.input().partial_shape)[1:])
        quantised = any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops())
        fold_steps_up(model)  # finds none in int8, which has roundings in between
        self._requests, precisions = {}, set()
        for count in {1, self.batch}:
            model.reshape([count, *self.slice_shape])
            compiled = core.compile_model(model, "CPU", settings)
            self._requests[count] = compiled.create_infer_request()
            precisions.add(str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()))
        (ran_in,) = precisions  # the same for every number of slices
        named = "int8" if quantised else ran_in.replace("f32", "float32").replace("bf16", "bfloat16")
        self.name = f"OpenVINO {named}"

    def run(self, slices: np.ndarray) -> list[np.ndarray]:
        """Return probability, (B, H, W, 1), and the four attention maps, finest first, as float32.

        The next call reuses the memory of the result where B is 1 or the engine's batch.
        """
        if len(slices) in self._requests:
            results = self._requests[len(slices)].infer([slices], share_inputs=True)
            return [results[name] for name in output_names()]
        step = self.batch if len(slices) > self.batch else 1
        parts = []
        for start in range(0, len(slices), step):
            parts.append([output.copy() for output in self.run(slices[start : start + step])])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def output_names() -> list[str]:
    """Return the names of the network's outputs in the order the engines give them."""
    return ["probability", *(f"attention_{level}" for level in ATTENTION_LEVELS)]


def load_keras_model(weights: Weights):
    """Return the Keras model with its trained weights, in float32; imports TensorFlow.

    Raises:
        InferenceError: TensorFlow is not installed.
    """
    _require_tensorflow()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from unet.model import ARCHITECTURES, built_in

    with built_in("float32"):
        model = ARCHITECTURES[weights.architecture](weights.filters, (weights.size, weights.size, 3))
    arrays, _ = load_arrays(weights.path)
    assign_arrays(model.variables, arrays)
    return model


def _require_tensorflow() -> None:
    """Raise where TensorFlow is not installed: the shipped 8-bit network runs without it."""
    if not all(find_spec(name) for name in ("tensorflow", "keras")):
        raise InferenceError(
            "the network in float is built with TensorFlow, which is not installed: "
            "pip install 'brain-mri-attention-unet[train]'"
        )


def cache_folder() -> Path:
    """Return where converted networks are kept: `UNET_CACHE`, or `brain-mri-unet` in the user's cache folder."""
    if configured := os.environ.get("UNET_CACHE"):
        return Path(configured)
    if platform.system() == "Windows":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "brain-mri-unet"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "brain-mri-unet"


def writable_cache_folder() -> Path:
    """Return `cache_folder`, made if it is not there.

    Raises:
        InferenceError: it cannot be made or written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InferenceError(
            f"{folder} cannot be written ({error.strerror}); set UNET_CACHE to a folder for converted networks"
        ) from None
    return folder


def openvino_model(weights: Weights) -> Path:
    """Return the converted network's `.xml`, made on first use; the cache is keyed by the weights' SHA-256.

    The conversion runs in its own process, so the 700 MB that TensorFlow takes are given back.

    Raises:
        ImportError: OpenVINO is not installed.
        InferenceError: TensorFlow is not installed, or the conversion failed; the message ends with its last words.
    """
    import openvino  # noqa: F401  fail before converting

    folder = cache_folder() / f"{weights.sha256[:32]}-{weights.size}"
    model_path = folder / "model.xml"
    if model_path.exists():
        return model_path
    _require_tensorflow()
    folder.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        arguments = str(weights.path.parent), str(workplace / "model.xml")
        command = [sys.executable, "-m", "unet.inference.engines", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(CODE_FOLDER)}
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
    """Write a Keras model of `attention_unet` as OpenVINO IR for any number of slices, outputs named as in Keras."""
    import openvino

    @_tensorflow_function(model)
    def forward(slices):
        outputs = model(slices, training=False)
        return [outputs[name] for name in output_names()]

    converted = openvino.convert_model(forward, input=[-1, *model.input_shape[1:]])
    for port, name in zip(converted.outputs, output_names(), strict=True):
        port.get_tensor().set_names({name})
    openvino.save_model(converted, path, compress_to_fp16=False)


def _tensorflow_function(model):
    """Return a decorator that makes a concrete function of slices of one fixed size."""
    import tensorflow as tf

    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="slices")
    return lambda function: tf.function(function, input_signature=[spec])


if __name__ == "__main__":
    from unet.weights.network import find_weights

    export_openvino(load_keras_model(find_weights(sys.argv[1])), Path(sys.argv[2]))
