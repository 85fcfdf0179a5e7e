"""From trained weights to OpenVINO: converted once, in a process of its own, kept and checked by SHA-256."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from unet.files import flush, write_text
from unet.inference.engines import (
    InferenceError,
    load_keras_model,
    load_openvino,
    output_names,
    require_tensorflow,
    writable_cache_folder,
)
from unet.language import t
from unet.paths import CODE_FOLDER
from unet.weights.arrays import file_sha256
from unet.weights.network import Weights

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_FILES = ("model.xml", "model.bin")


def openvino_model(weights: Weights) -> Path:
    """Return the converted network's `.xml`, made on first use; the cache is keyed by the weights' SHA-256.

    A cache file that is cut, overwritten or foreign is found by its own SHA-256 and made again. The conversion runs in
    its own process, so the 700 MB that TensorFlow takes are given back.

    Raises:
        ImportError: OpenVINO is not installed.
        InferenceError: TensorFlow is not installed, the cache folder cannot be written, or the conversion failed; the
            message ends with its last words.
    """
    load_openvino()  # fail before converting

    cache = writable_cache_folder()
    folder = cache / f"{weights.sha256[:32]}-{weights.size}"
    if _is_whole(folder):
        return folder / "model.xml"
    with FileLock(cache / "convert.lock"):
        for left_over in cache.glob("converting-*"):  # of a conversion that was killed: whoever converts holds the lock
            shutil.rmtree(left_over, ignore_errors=True)
        if not _is_whole(folder):  # another process may have been faster
            shutil.rmtree(folder, ignore_errors=True)
            _convert(weights, folder)
    return folder / "model.xml"


def _is_whole(folder: Path) -> bool:
    """Tell whether the files are those that a conversion wrote."""
    try:
        written = json.loads((folder / "sha256.json").read_text())
        return all(file_sha256(folder / name) == written[name] for name in _FILES)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _convert(weights: Weights, folder: Path) -> None:
    """Convert in a child process; the folder gets its name when all of it is on the disk."""
    require_tensorflow()
    workplace = folder.with_name(f"converting-{os.getpid()}")
    workplace.mkdir()
    try:
        command = [sys.executable, "-m", "unet.inference.conversion", str(weights.path.parent), str(workplace)]
        environment = {**os.environ, "PYTHONPATH": str(CODE_FOLDER)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise InferenceError(
                t(
                    "{weights} could not be converted for OpenVINO: {stderr}",
                    weights=weights.name,
                    stderr=done.stderr[-500:],
                )
            )
        for name in _FILES:
            flush(workplace / name)
        digests = {name: file_sha256(workplace / name) for name in _FILES}
        write_text(workplace / "sha256.json", json.dumps(digests))
        workplace.rename(folder)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def export_openvino(model: "keras.Model", path: Path) -> None:
    """Write a Keras model of `attention_unet` as OpenVINO IR for any number of slices, outputs named as in Keras."""
    openvino = load_openvino()

    @_tensorflow_function(model)
    def forward(slices: "tf.Tensor") -> "list[tf.Tensor]":
        outputs = model(slices, training=False)
        return [outputs[name] for name in output_names()]

    converted = openvino.convert_model(forward, input=[-1, *model.input_shape[1:]])
    for port, name in zip(converted.outputs, output_names(), strict=True):
        port.get_tensor().set_names({name})
    openvino.save_model(converted, path, compress_to_fp16=False)


def _tensorflow_function(model: "keras.Model") -> Callable[[Callable], Callable]:
    """Return a decorator that makes a concrete function of slices of one fixed size."""
    import tensorflow as tf

    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="slices")
    return lambda function: tf.function(function, input_signature=[spec])


if __name__ == "__main__":
    load_openvino()  # before Keras does
    from unet.weights.network import find_weights

    export_openvino(load_keras_model(find_weights(sys.argv[1])), Path(sys.argv[2]) / "model.xml")
