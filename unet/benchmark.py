"""How fast the engines are beside `keras.predict`, and whether they still give the same answer.

Milliseconds belong to a machine and to what else it is doing; ratios travel better. So all engines run in one
process on one slice, a round at a time in turn, and the median of the rounds is compared: noise hits all alike.

Speed does not depend on the weights' values, so `synthetic_network` serves for any width. Agreement does: it is
counted with the weights that ship, on every slice of the phantoms, and on the synthetic slice where a width ships none.
"""

import os
import platform
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from unet.benchmark_engines import LOADERS, OPENVINO_FILE, memory_mb, write_networks
from unet.data import DEMO_FOLDER, list_patients, load_volume
from unet.engines import OpenVinoEngine
from unet.folding import fold_steps_up
from unet.inference import Segmenter
from unet.speed import available_cores
from unet.weights import Weights, find_weights, shipped_names

SEED = 0
VOLUME_SLICES = 30
MATRIX_SIDE = 3072  # large enough to keep every core busy, 58 GFLOP
LESION_SHARE = 0.05  # of the slice's area
FIT_STEPS = 200
LESION_LOGIT = 6.0  # ±6 is a probability of 0.998 or 0.002: a trained network is about as sure of most pixels
# openvino ms / keras.predict ms at 64 filters: bfloat16 in hardware halves the time, without it less is won
BAR_BFLOAT16, BAR_FLOAT32 = 0.38, 0.85
AGREEMENT_BAR = 0.999


def run_benchmark(
    rounds: int = 15, widths: tuple[int, ...] = (64, 32), size: int = 256, with_memory: bool = True
) -> dict:
    """Time one slice and one volume in each engine and compare their answers; prints a table of ratios.

    Args:
        rounds: each runs every engine once; the median counts.
        widths: `filters` of the networks; the first one decides the bar.
        size: side of the slice in pixels, divisible by 16.
        with_memory: starts a process for each engine to see how large it gets.

    Returns:
        `machine`, with the GFLOP/s of a plain matrix product as its limit; per width the
        figures of `measure`; and `bar`: the `ratio` and `mask_agreement` to reach at the first width, and whether
        they were `met`.

    Raises:
        ImportError: TensorFlow or OpenVINO is not installed.
    """
    result = {"machine": describe_machine()}
    side = min(MATRIX_SIDE, 16 * size)
    result["machine"]["matrix_product_gflops"] = {
        precision: round(matrix_product_rate(precision, side), 1) for precision in ("float32", "bfloat16")
    }
    for filters in widths:
        figures = result[str(filters)] = measure(filters, size, rounds, with_memory)
        if weights := shipped_weights(filters):
            figures |= phantom_agreement(weights)
    first = result[str(widths[0])]
    ratio = BAR_BFLOAT16 if has_bfloat16() else BAR_FLOAT32
    result["bar"] = {
        "ratio": ratio,
        "mask_agreement": AGREEMENT_BAR,
        "met": first["ratio"] <= ratio and first["mask_agreement"] >= AGREEMENT_BAR,
    }
    print(table(result))
    return result


def measure(filters: int, size: int, rounds: int, with_memory: bool) -> dict:
    """Return the figures of one width.

    Returns:
        Per engine of `LOADERS`: `<engine>_ms`, one slice; its ratio to `keras_predict_ms` in `ratios`; GFLOP/s in
        `gflops`; seconds for a volume in `volume_s`; the memory of a process of its own in `memory_mb`, empty without
        `with_memory`. Those that cannot run here are in `left_out`, with the reason. `ratio`, that of OpenVINO at the
        precision it chose, is the one for the bar; `gflop` the work of one slice, on which `gflops` is counted;
        `openvino_gflop` what is left of it after `unet.folding`; `openvino_name` tells the precision.
        Between that and Keras: the figures of `agreement_figures` on the synthetic slice,
        `max_probability_difference` and `attention_max_difference`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    slices, lesion = synthetic_slice(size)
    model = synthetic_network(filters, slices, lesion)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        left_out = write_networks(model, slices, folder)
        if not has_bfloat16():  # PyTorch would emulate it, at a tenth of the speed of float32
            left_out.setdefault("pytorch_bfloat16", "the processor has no instructions for bfloat16")
        engines = [engine for engine in LOADERS if engine not in left_out]
        memory = {engine: memory_mb(engine, folder, slices) for engine in engines if with_memory}
        runs = {engine: LOADERS[engine](folder) for engine in engines}
        milliseconds = median_milliseconds({engine: partial(run, slices) for engine, run in runs.items()}, rounds)
        volume = np.repeat(slices, VOLUME_SLICES, axis=0)
        volume_calls = {engine: partial(run, volume) for engine, run in runs.items()}
        volume_milliseconds = median_milliseconds(volume_calls, 1, warm_up=0)
        expected, found = runs["keras_predict"](slices), runs["openvino"](slices)
        openvino_name = OpenVinoEngine(folder / OPENVINO_FILE).name
        openvino_gflop = converted_flop(folder / OPENVINO_FILE) / 1e9

    gflop = convolution_flop(model) / 1e9
    ratios = {engine: round(value / milliseconds["keras_predict"], 4) for engine, value in milliseconds.items()}
    return {
        **{f"{engine}_ms": round(value, 3) for engine, value in milliseconds.items()},
        "ratio": ratios["openvino"],
        "ratios": ratios,
        "left_out": left_out,
        "volume_s": {engine: round(value / 1000, 3) for engine, value in volume_milliseconds.items()},
        "memory_mb": memory,
        "gflop": round(gflop, 6),
        "gflops": {engine: round(1000 * gflop / value, 6) for engine, value in milliseconds.items()},
        "openvino_gflop": round(openvino_gflop, 6),
        "openvino_name": openvino_name,
        **agreement_figures([found[0] >= 0.5], [expected[0] >= 0.5], "the synthetic slice"),
        "max_probability_difference": _largest_difference(found[:1], expected[:1]),
        "attention_max_difference": _largest_difference(found[1:], expected[1:]),
    }


def matrix_product_rate(precision: str, side: int) -> float:
    """Return the GFLOP/s of a square matrix product in TensorFlow, the best of a few: what the machine can do."""
    import tensorflow as tf

    random = np.random.default_rng(SEED).standard_normal((2, side, side), np.float32)
    left, right = (tf.constant(matrix, precision) for matrix in random)
    product = tf.function(tf.matmul)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        product(left, right).numpy()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds) / 1e9


def median_milliseconds(calls: dict, rounds: int, warm_up: int = 2) -> dict[str, float]:
    """Return the median time of each call, all of them run once a round, after rounds that are not counted."""
    times = {name: [] for name in calls}
    for round_ in range(warm_up + rounds):
        order = list(calls.items())
        for name, call in order if round_ % 2 else reversed(order):  # nobody always follows the same one
            started = time.perf_counter()
            call()
            if round_ >= warm_up:
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: float(np.median(values)) for name, values in times.items()}


def mask_agreement(mask: np.ndarray, other: np.ndarray) -> float:
    """Return the share of lesion pixels, those in either mask, that are in both; nan where there is no lesion.

    >>> mask_agreement(np.array([1, 1, 1, 0]), np.array([1, 1, 0, 0]))
    0.6666666666666666
    """
    either = int(np.sum(np.logical_or(mask, other)))
    return int(np.sum(np.logical_and(mask, other))) / either if either else float("nan")


def agreement_figures(masks: list[np.ndarray], others: list[np.ndarray], counted_on: str) -> dict:
    """Return `mask_agreement` over all pixels of several masks, on how many `lesion_pixels`, and `counted_on` what."""
    mask, other = (np.concatenate([one.reshape(-1) for one in several]) for several in (masks, others))
    return {
        "mask_agreement": mask_agreement(mask, other),
        "lesion_pixels": int(np.sum(mask | other)),
        "counted_on": counted_on,
    }


def shipped_weights(filters: int) -> Weights | None:
    """Return the shipped weights of that width, if there are any."""
    shipped = (find_weights(name) for name in shipped_names())
    return next((weights for weights in shipped if weights.filters == filters), None)


def phantom_agreement(weights: Weights) -> dict:
    """Return `agreement_figures` of OpenVINO at its default precision against Keras, on every slice of the phantoms."""
    segmenters = Segmenter(weights, "openvino"), Segmenter(weights, "keras")
    patients, _ = list_patients(DEMO_FOLDER)
    volumes = [load_volume(patient).images for patient in patients]
    masks, others = ([s.segment(images).probability >= 0.5 for images in volumes] for s in segmenters)
    return agreement_figures(masks, others, f"{len(volumes)} phantoms with {weights.name}")


def convolution_flop(model) -> int:
    """Return the floating point operations of one slice, 2 for each multiply-add of the convolutions.

    Everything else (normalisation, pooling, activations) is left out, as is customary: below 1 % from 32 filters.
    """
    from keras import layers

    flop = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2DTranspose):  # its kernel meets every input pixel
            _, height, width, _ = layer.input.shape
        elif isinstance(layer, layers.Conv2D):  # every output pixel
            _, height, width, _ = layer.output.shape
        else:
            continue
        flop += 2 * height * width * int(np.prod(layer.kernel.shape))
    return flop


def converted_flop(model_path: Path) -> int:
    """Return the same for a network converted for OpenVINO as the app runs it: less, for the same answer."""
    import openvino

    flop = 0
    model = openvino.Core().read_model(model_path)
    fold_steps_up(model)
    for node in model.get_ops():
        if node.get_type_name() == "ConvolutionBackpropData":
            shape = node.get_input_partial_shape(0)
        elif node.get_type_name() == "Convolution":
            shape = node.get_output_partial_shape(0)
        else:
            continue
        height, width = (side.get_length() for side in list(shape)[2:])
        flop += 2 * height * width * int(np.prod(node.get_input_shape(1)))
    return flop


def synthetic_slice(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a normalised slice, (1, size, size, 3) float32: smooth noise and a bright disc; and the disc's mask.

    The mask is (size, size) bool. Both are the same on every call.
    """
    random = np.random.default_rng(SEED)
    noise = cv2.GaussianBlur(random.standard_normal((size, size, 3)).astype(np.float32), (0, 0), size / 32)
    noise = (noise - noise.mean((0, 1))) / noise.std((0, 1))
    radius = size * np.sqrt(LESION_SHARE / np.pi)
    rows, columns = np.ogrid[:size, :size]
    lesion = np.hypot(rows - 0.4 * size, columns - 0.6 * size) < radius
    return np.float32(noise + 4 * lesion[..., np.newaxis])[np.newaxis], lesion


def synthetic_network(filters: int, slices: np.ndarray, lesion: np.ndarray):
    """Return an `attention_unet` that marks the disc of `synthetic_slice`, without training.

    Random kernels alone leave logits that are all but 0, or after scaling a bell curve around the threshold, so that
    rounding flips many pixels; a trained network is in doubt only along outlines. So the batch-norm statistics are
    those of the slice, which keeps all features alive, and the last layer is fitted to the disc: least squares
    towards ±6, repeated with each target moved to its prediction where that is already beyond, so that only pixels
    in doubt pull (the idea of Ho and Kashyap 1965). Same weights on every call.

    Args:
        filters: width of the network.
        slices: (1, size, size, 3), normalised.
        lesion: (size, size) bool.
    """
    import keras

    from unet.model import attention_unet

    keras.utils.set_random_seed(SEED)
    model = attention_unet(filters, slices.shape[1:])
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0  # one pass in training mode puts the slice's own statistics in place
    model(slices, training=True)
    for layer in norms:
        layer.momentum = 0.9

    readout = model.get_layer("logits")
    features = np.asarray(keras.Model(model.input, readout.input)(slices, training=False))[0]  # (H, W, filters)
    design = np.column_stack([features.reshape(-1, filters), np.ones(lesion.size)]).astype(np.float64)
    sign = np.where(lesion.reshape(-1), 1.0, -1.0)
    weighted = design * np.where(lesion.reshape(-1, 1), 0.5 / lesion.mean(), 0.5 / (1 - lesion.mean()))  # 1 : 1
    gram = weighted.T @ design
    gram += 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))  # ridge: large weights would magnify rounding
    target = LESION_LOGIT * sign
    for _ in range(FIT_STEPS):
        solution = np.linalg.solve(gram, weighted.T @ target)
        target = sign * np.maximum(LESION_LOGIT, sign * (design @ solution))
    readout.set_weights([solution[:-1].reshape(1, 1, filters, 1), solution[-1:]])
    return model


def describe_machine() -> dict:
    """Return what the figures depend on: the processor's cores and matrix instructions, and the versions."""
    return {
        "cpu_flags": cpu_flags(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in ("tensorflow", "keras", "openvino", "numpy")},
    }


def has_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16; no where Linux is not there to say."""
    return bool({"avx512_bf16", "amx_bf16"} & set(cpu_flags()))


def cpu_flags() -> list[str]:
    """Return which of the instruction sets that matter here the processor has; empty where Linux is not there to say.

    Without the answer the easier bar holds.
    """
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return sorted(words & {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"})


def table(result: dict) -> str:
    """Return the figures of `run_benchmark` as text for people; ratios are to `keras.predict`."""
    bar = result["bar"]
    limits = result["machine"]["matrix_product_gflops"]
    lines = [
        "a matrix product: " + ", ".join(f"{rate:.0f} GFLOP/s in {precision}" for precision, rate in limits.items()),
        f"{'filters':>7}  {'engine':16}  {'ms':>8}  {'GFLOP/s':>8}  ratio  {'30 slices':>9}  ratio  {'MB':>6}",
    ]
    for filters, figures in result.items():
        if filters in ("machine", "bar"):
            continue
        volume_s, memory = figures["volume_s"], figures["memory_mb"]
        for engine, ratio in figures["ratios"].items():
            milliseconds, rate = figures[f"{engine}_ms"], figures["gflops"][engine]
            volume_ratio = volume_s[engine] / volume_s["keras_predict"]
            lines.append(
                f"{filters:>7}  {engine:16}  {milliseconds:8.1f}  {rate:8.0f}  {ratio:5.2f}"
                f"  {volume_s[engine]:7.1f} s  {volume_ratio:5.2f}  {memory.get(engine, '-'):>6}"
            )
        precision = figures["openvino_name"].split()[-1]
        share = 1000 * figures["openvino_gflop"] / figures["openvino_ms"] / limits[precision]
        lines.append(f"{'':7}  {figures['openvino_name']} reaches {share:.0%} of the matrix product's rate")
        for engine, reason in figures["left_out"].items():
            lines.append(f"{'':7}  {engine} is left out: {reason}")
        lines.append(
            f"{'':7}  {figures['openvino_name']} against Keras: masks equal on {figures['mask_agreement']:.3%} of "
            f"{figures['lesion_pixels']} lesion pixels of {figures['counted_on']}; on the synthetic slice largest "
            f"difference of a probability {figures['max_probability_difference']:.1e}, of attention "
            f"{figures['attention_max_difference']:.1e}"
        )
    verdict = "met" if bar["met"] else "not met"
    lines.append(
        f"bar: ratio ≤ {bar['ratio']}, masks equal on ≥ {bar['mask_agreement']:.1%} of lesion pixels: {verdict}"
    )
    return "\n".join(lines)


def _largest_difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))
