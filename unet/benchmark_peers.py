"""The same network in the frameworks people would otherwise use, for `python -m unet benchmark`.

A plain PyTorch port that takes the Keras weights layer by layer, and ONNX Runtime on that port exported. Both are
extra requirements (requirements-benchmark.txt); the app uses neither.
"""

import io

import numpy as np

from unet.model import LEVELS


def torch_network(model):
    """Return the port of a Keras `attention_unet` as a `torch.nn.Module`, (B, 3, H, W) to its five outputs.

    Raises:
        ImportError: PyTorch is not installed.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Port(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict()
            for layer in model.layers:
                if ported := _ported(layer, nn, torch):
                    self.layers[layer.name] = ported

        def conv_block(self, x, name):
            x = functional.relu(self.layers[f"{name}_conv_1"](x))
            return functional.relu(self.layers[f"{name}_norm"](self.layers[f"{name}_conv_2"](x)))

        def forward(self, x):
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


def _ported(layer, nn, torch):
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


def torch_call(port, slices: np.ndarray, bfloat16: bool):
    """Return a function without arguments that runs the port on slices, (B, H, W, 3), and gives the outputs."""
    import torch

    batch = torch.from_numpy(slices).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    network = port.to(memory_format=torch.channels_last)

    def call() -> list[np.ndarray]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return [output.float().permute(0, 2, 3, 1).numpy() for output in network(batch)]

    return call


def onnx_call(port, slices: np.ndarray):
    """Return a function that runs the port in ONNX Runtime.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
    """
    import onnx  # noqa: F401  the exporter needs it
    import onnxruntime
    import torch

    batch = np.ascontiguousarray(slices.transpose(0, 3, 1, 2))
    written = io.BytesIO()
    torch.onnx.export(port.float(), (torch.from_numpy(batch),), written, input_names=["slices"], dynamo=False)
    session = onnxruntime.InferenceSession(written.getvalue(), providers=["CPUExecutionProvider"])
    return lambda: [output.transpose(0, 2, 3, 1) for output in session.run(None, {"slices": batch})]
