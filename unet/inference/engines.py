"""The two engines that run the network, and how the trained weights get into each.

Both give the same outputs in the same order. OpenVINO is the fast one; `unet.inference.conversion` converts for it.
"""

import os
import platform
import sys
import tempfile
import types
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unet.inference.folding import fold_steps_up
from unet.language import mark, t
from unet.weights.arrays import assign_arrays, load_arrays
from unet.weights.network import Weights

if TYPE_CHECKING:
    import keras

ATTENTION_LEVELS = (1, 2, 3, 4)  # finest to coarsest


class InferenceError(RuntimeError):
    """The network cannot be run here; the message says why and what to do."""


def load_openvino() -> types.ModuleType:
    """Import OpenVINO without its telemetry.

    Its converter, and NNCF, would ask an analytics service and keep a client id in the home folder. Both take an
    `openvino_telemetry` without contents for one that is not installed.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    sys.modules["openvino_telemetry"] = types.ModuleType("openvino_telemetry")
    import openvino

    return openvino


class KerasEngine:
    """The network as it was trained, in float32."""

    name = mark("Keras float32")

    def __init__(self, weights: Weights) -> None:
        self._model = load_keras_model(weights)

    def run(self, slices: np.ndarray) -> list[np.ndarray]:
        """Return probability, (B, H, W, 1), and the four attention maps, finest first, as float32."""
        outputs = self._model(slices, training=False)
        return [np.asarray(outputs[name]) for name in output_names()]


class OpenVinoEngine:
    """The converted network at the device's best precision, or a forced one; compiled for one slice at a time.

    Attributes:
        name: for people, such as `OpenVINO bfloat16`.
        slice_shape: (height, width, channels).
    """

    def __init__(self, model_path: Path, precision: str | None = None) -> None:
        openvino = load_openvino()

        core = openvino.Core()
        # pinned threads cannot move away from a core that a training run is using
        settings: dict = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        if precision:
            settings["INFERENCE_PRECISION_HINT"] = precision
        model = core.read_model(model_path)
        self.slice_shape = tuple(side.get_length() for side in list(model.input().partial_shape)[1:])
        quantised = any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops())
        fold_steps_up(model)  # finds none in int8, which has roundings in between
        model.reshape([1, *self.slice_shape])  # for any number of slices it would be slower
        compiled = core.compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()
        ran_in = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        named = "int8" if quantised else ran_in.replace("f32", "float32").replace("bf16", "bfloat16")
        self.name = f"OpenVINO {named}"

    def run(self, slices: np.ndarray) -> list[np.ndarray]:
        """Return probability, (B, H, W, 1), and the four attention maps, finest first, as float32."""
        parts = []
        for slice_ in slices:
            results = self._request.infer([slice_[np.newaxis]], share_inputs=True)
            parts.append([results[name].copy() for name in output_names()])  # the next pass reuses the memory
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def output_names() -> list[str]:
    """Return the names of the network's outputs in the order the engines give them."""
    return ["probability", *(f"attention_{level}" for level in ATTENTION_LEVELS)]


def load_keras_model(weights: Weights) -> "keras.Model":
    """Return the Keras model with its trained weights, in float32; imports TensorFlow.

    Raises:
        InferenceError: TensorFlow is not installed.
    """
    require_tensorflow()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from unet.model import ARCHITECTURES, built_in, input_channels

    with built_in("float32"):
        model = ARCHITECTURES[weights.architecture](
            weights.filters, (weights.size, weights.size, input_channels(weights.architecture))
        )
    arrays, _ = load_arrays(weights.path)
    assign_arrays(model.variables, arrays)
    return model


def require_tensorflow() -> None:
    """Raise where TensorFlow is not installed: the shipped 8-bit network runs without it."""
    if not all(find_spec(name) for name in ("tensorflow", "keras")):
        raise InferenceError(
            t(
                "the float network needs TensorFlow, which is not installed: pip install "
                "'brain-mri-attention-unet[train]'"
            )
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
            t(
                "{folder} cannot be written ({strerror}). Set UNET_CACHE to a folder for converted networks.",
                folder=folder,
                strerror=error.strerror,
            )
        ) from None
    return folder
