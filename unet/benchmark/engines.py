"""Every engine that `python -m unet benchmark` compares: the same network, read from a file of its own format.

The app's engine, OpenVINO, and what people would otherwise use: Keras, a plain PyTorch port that takes the Keras
weights layer by layer, and ONNX Runtime on that port exported. Those beyond Keras and OpenVINO are extra requirements
(the extra `benchmark`); the app uses none of them.

One network a file, so that new processes can load them: memory is that of a process with one engine in it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from unet.inference.conversion import export_openvino
from unet.inference.engines import OpenVinoEngine, load_openvino, output_names
from unet.paths import CODE_FOLDER

if TYPE_CHECKING:
    import keras
    import torch  # pyright: ignore[reportMissingImports]

KERAS_FILE, OPENVINO_FILE, INT8_FILE = "model.keras", "model.xml", "int8.xml"
PYTORCH_FILE, ONNX_FILE = "model.pt", "model.onnx"
SLICES_FILE = "slices.npy"
Run = Callable[[np.ndarray], list[np.ndarray]]  # (B, H, W, 3) to probability and the four attention maps, (B, h, w, 1)


def write_networks(model: "keras.Model", slices: np.ndarray, folder: Path) -> dict[str, str]:
    """Write a Keras `attention_unet` into a folder in the format of each engine, and the slices.

    Args:
        model: the network.
        slices: (1, H, W, 3), normalised; int8 is calibrated on it, which is good for its time, not for its answers.
        folder: where to.

    Returns:
        The engines whose packages are not installed, with the reason.
    """
    left_out = {}
    np.save(folder / SLICES_FILE, slices)
    model.save(folder / KERAS_FILE)
    export_openvino(model, folder / OPENVINO_FILE)
    try:
        _write_int8(slices, folder)
    except ImportError as error:
        left_out["openvino_int8"] = str(error)
    try:
        import torch  # pyright: ignore[reportMissingImports]

        port = torch_network(model)
        batch = (torch.from_numpy(np.ascontiguousarray(slices.transpose(0, 3, 1, 2))),)
        # TorchScript, as torch.export brings a second LLVM into the process, which ends it beside TensorFlow's
        torch.jit.trace(port, batch).save(folder / PYTORCH_FILE)
    except ImportError as error:
        return left_out | {engine: str(error) for engine in ("pytorch", "pytorch_bfloat16", "onnxruntime")}
    try:
        import_module("onnxruntime")  # what cannot run is not written
        names = {"input_names": ["slices"], "output_names": output_names()}
        torch.onnx.export(port, batch, str(folder / ONNX_FILE), dynamo=False, **names)
    except ImportError as error:
        left_out["onnxruntime"] = str(error)
    return left_out


def _write_int8(slices: np.ndarray, folder: Path) -> None:
    openvino = load_openvino()  # before NNCF, which reports too
    import nncf  # pyright: ignore[reportMissingImports]

    model = openvino.Core().read_model(folder / OPENVINO_FILE)
    quantised = nncf.quantize(model, nncf.Dataset([slices]), subset_size=1)
    openvino.save_model(quantised, folder / INT8_FILE)


def _keras_model(folder: Path) -> "keras.Model":
    import keras

    model = keras.saving.load_model(folder / KERAS_FILE)
    assert isinstance(model, keras.Model)
    return model


def keras_predict(folder: Path) -> Run:
    """Keras as everyone writes it."""
    model = _keras_model(folder)
    return lambda slices: _in_order(model.predict(slices, verbose=0))  # pyright: ignore[reportArgumentType] an int too


def tf_function(folder: Path) -> Run:
    """The Keras network as one traced function, without what `predict` does around it."""
    import tensorflow as tf

    model = _keras_model(folder)
    forward = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)
    return lambda slices: _in_order({name: value.numpy() for name, value in forward(slices).items()})


def openvino(folder: Path, name: str = OPENVINO_FILE, precision: str | None = None) -> Run:
    """What the app runs, by default at the precision that OpenVINO chooses."""
    return OpenVinoEngine(folder / name, precision).run


def openvino_fp32(folder: Path) -> Run:
    """The OpenVINO network with all arithmetic forced to float32."""
    return openvino(folder, precision="f32")


def openvino_int8(folder: Path) -> Run:
    """The OpenVINO network that NNCF has quantised to 8-bit integers."""
    return openvino(folder, INT8_FILE)


def pytorch(folder: Path, bfloat16: bool = False) -> Run:
    """The port, channels last, a slice at a time."""
    import torch  # pyright: ignore[reportMissingImports]

    network = torch.jit.load(folder / PYTORCH_FILE).to(memory_format=torch.channels_last)

    def run(slices: np.ndarray) -> list[np.ndarray]:
        batch = torch.from_numpy(slices).permute(0, 3, 1, 2)  # the memory of channels last
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            outputs = [network(batch[index : index + 1]) for index in range(len(batch))]
        return [torch.cat(several).float().permute(0, 2, 3, 1).numpy() for several in zip(*outputs, strict=True)]

    return run


def pytorch_bfloat16(folder: Path) -> Run:
    """The PyTorch port under autocast to bfloat16; outputs are float32 again."""
    return pytorch(folder, bfloat16=True)


def onnxruntime(folder: Path) -> Run:
    """The port as ONNX, a slice at a time."""
    from onnxruntime import InferenceSession  # pyright: ignore[reportMissingImports]

    session = InferenceSession(folder / ONNX_FILE, providers=["CPUExecutionProvider"])

    def run(slices: np.ndarray) -> list[np.ndarray]:
        batch = np.ascontiguousarray(slices.transpose(0, 3, 1, 2))
        outputs = [session.run(None, {"slices": batch[index : index + 1]}) for index in range(len(batch))]
        return [np.concatenate(several).transpose(0, 2, 3, 1) for several in zip(*outputs, strict=True)]

    return run


LOADERS = {
    loader.__name__: loader
    for loader in (
        keras_predict,
        tf_function,
        openvino,
        openvino_fp32,
        openvino_int8,
        pytorch,
        pytorch_bfloat16,
        onnxruntime,
    )
}


def in_own_process(figures: str, folder: Path, *arguments: str | int) -> Any:
    """Return what a function of `OWN_PROCESS` returns in a new process.

    Raises:
        subprocess.CalledProcessError: the process failed.
    """
    command = [sys.executable, "-m", "unet.benchmark.engines", figures, str(folder), *map(str, arguments)]
    done = subprocess.run(command, cwd=CODE_FOLDER, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def memory_mb(folder: str, engine: str) -> int:
    """Return the resident memory of this process, in MB, after it has loaded one engine and run it once."""
    run = LOADERS[engine](Path(folder))  # kept: what it holds counts
    run(np.load(Path(folder, SLICES_FILE)))
    return round(psutil.Process().memory_info().rss / 1e6)


def milliseconds(folder: str, rounds: str, *engines: str) -> dict[str, float]:
    """Return the median time of one slice in each engine."""
    slices = np.load(Path(folder, SLICES_FILE))
    runs = {engine: LOADERS[engine](Path(folder)) for engine in engines}
    return median_milliseconds({engine: partial(run, slices) for engine, run in runs.items()}, int(rounds))


def median_milliseconds(calls: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Return the median time of each call, all of them run in turn once a round.

    Each is run twice and the second time counts: in an app the engine ran a moment before, while after other engines
    it would find its weights gone from the processor's caches.
    """
    times = {name: [] for name in calls}
    for round_ in range(rounds):
        order = list(calls.items())
        for name, call in order if round_ % 2 else reversed(order):  # nobody always follows the same one
            call()
            times[name].append(1000 * seconds(call))
    return {name: float(np.median(values)) for name, values in times.items()}


def seconds(call: Callable, *arguments: object) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def _in_order(outputs: dict) -> list[np.ndarray]:
    return [outputs[name] for name in output_names()]


def torch_network(model: "keras.Model") -> "torch.nn.Module":
    """Return the port of a Keras `attention_unet` as a `torch.nn.Module`, (B, 3, H, W) to its five outputs.

    Raises:
        ImportError: PyTorch is not installed.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    from unet.model import LEVELS  # here, as it brings TensorFlow, whose memory only its own engines should show

    class Port(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleDict()
            for layer in model.layers:
                if ported := _ported(layer, nn, torch):
                    self.layers[layer.name] = ported

        def conv_block(self, x: "torch.Tensor", name: str) -> "torch.Tensor":
            x = functional.relu(self.layers[f"{name}_conv_1"](x))
            return functional.relu(self.layers[f"{name}_norm"](self.layers[f"{name}_conv_2"](x)))

        def forward(self, x: "torch.Tensor") -> "tuple[torch.Tensor, ...]":
            skips, attention = {}, {}
            for level in range(1, LEVELS + 1):
                skips[level] = self.conv_block(x, f"encoder_{level}")
                x = functional.max_pool2d(skips[level], 2)
            x = self.conv_block(x, "bottleneck")
            for level in range(LEVELS, 0, -1):
                name = f"attention_{level}"
                added = self.layers[f"{name}_phi"](x) + self.layers[f"{name}_theta"](skips[level])
                attention[level] = torch.sigmoid(self.layers[name](functional.relu(added)))
                gate = functional.interpolate(attention[level], scale_factor=2.0, mode="nearest")
                gated = self.layers[f"{name}_norm"](skips[level] * gate)
                x = torch.cat([self.layers[f"decoder_{level}_up"](x), gated], 1)
                x = self.conv_block(x, f"decoder_{level}")
            return (torch.sigmoid(self.layers["logits"](x)), *(attention[level] for level in range(1, LEVELS + 1)))

    return Port().eval()


def _ported(layer: "keras.Layer", nn: ModuleType, torch: ModuleType) -> "torch.nn.Module | None":
    """Return a Keras layer with weights as a PyTorch one, else None."""
    kind = type(layer).__name__
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    if kind == "Conv2D":
        kernel, bias = weights  # (height, width, in, out)
        side, _, inside, outside = kernel.shape
        ported = nn.Conv2d(inside, outside, side, stride=layer.strides[0], padding=side // 2)
        arrays = kernel.transpose(3, 2, 0, 1), bias
    elif kind == "Conv2DTranspose":
        kernel, bias = weights  # (height, width, out, in)
        ported = nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], kernel.shape[0], stride=layer.strides[0])
        arrays = kernel.transpose(3, 2, 0, 1), bias
    elif kind == "BatchNormalization":
        gamma, beta, mean, variance = weights
        ported = nn.BatchNorm2d(len(gamma), eps=layer.epsilon)
        ported.running_mean.copy_(torch.from_numpy(mean))
        ported.running_var.copy_(torch.from_numpy(variance))
        arrays = gamma, beta
    else:
        return None
    with torch.no_grad():
        for parameter, array in zip((ported.weight, ported.bias), arrays, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
    return ported


OWN_PROCESS = {function.__name__: function for function in (memory_mb, milliseconds)}

if __name__ == "__main__":
    print(json.dumps(OWN_PROCESS[sys.argv[1]](*sys.argv[2:])))
