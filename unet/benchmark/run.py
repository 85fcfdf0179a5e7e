"""How fast the engines are beside `keras.predict`, and whether they still give the same answer.

Milliseconds belong to a machine and to what else it is doing; ratios travel better. So all engines run on one slice
in one process, a round at a time in turn, and the medians are compared: noise hits all alike. One process is not
enough: with nothing else running `keras.predict` takes a fifth longer in some than in others, the same all through
each. So several are started, and the median of their ratios counts.

Speed does not depend on the weights' values, so `synthetic_network` serves for any width. Agreement does: it is
counted with the weights that ship, on every slice of the phantoms, and on the synthetic slice where a width ships none.
"""

import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from unet.benchmark.engines import LOADERS, OPENVINO_FILE, in_own_process, seconds, write_networks
from unet.benchmark.network import SEED, convolution_flop, synthetic_network, synthetic_slice
from unet.data.patients import list_patients, load_volume
from unet.inference.engines import OpenVinoEngine, load_openvino
from unet.inference.folding import fold_steps_up
from unet.inference.segmenter import Segmenter
from unet.paths import DEMO_FOLDER
from unet.weights.network import Weights, find_weights, shipped_names

VOLUME_SLICES = 30
MATRIX_SIDE = 3072  # large enough to keep every core busy, 58 GFLOP
# openvino ms / keras.predict ms at 64 filters: bfloat16 in hardware halves the time, without it less is won
BAR_BFLOAT16, BAR_FLOAT32 = 0.38, 0.85
AGREEMENT_BAR = 0.999


def run_benchmark(
    processes: int = 5,
    rounds: int = 3,
    widths: tuple[int, ...] = (64, 32),
    size: int = 256,
    with_memory: bool = True,
) -> dict:
    """Time one slice and one volume in each engine and compare their answers; prints a table of ratios.

    Args:
        processes: each loads every engine and times them; the median counts.
        rounds: of each process.
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
        figures = result[str(filters)] = measure(filters, size, processes, rounds, with_memory)
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


def measure(filters: int, size: int, processes: int, rounds: int, with_memory: bool) -> dict:
    """Return the figures of one width.

    Returns:
        Per engine of `LOADERS`: `<engine>_ms`, one slice; its ratio to `keras_predict` in each process in
        `process_ratios`, and their median in `ratios`; GFLOP/s in `gflops`; seconds for a volume in `volume_s`; the
        memory of a process of its own in `memory_mb`, empty without `with_memory`. Those that cannot run here are in
        `left_out`, with the reason. `ratio`, that of OpenVINO at the precision it chose, is the one for the bar;
        `gflop` the work of one slice, on which `gflops` is counted; `openvino_gflop` what is left of it after
        `unet.inference.folding`; `openvino_name` tells the precision.
        Between that and Keras: the figures of `agreement_figures` on the synthetic slice,
        `max_probability_difference` and `attention_max_difference`.
    """
    openvino = load_openvino()

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    slices, lesion = synthetic_slice(size)
    model = synthetic_network(filters, slices, lesion)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        left_out = write_networks(model, slices, folder)
        if not has_bfloat16():  # PyTorch would emulate it, at a tenth of the speed of float32
            left_out.setdefault("pytorch_bfloat16", "the processor has no instructions for bfloat16")
        engines = [engine for engine in LOADERS if engine not in left_out]
        memory = {engine: in_own_process("memory_mb", folder, engine) for engine in engines if with_memory}
        times = [in_own_process("milliseconds", folder, rounds, *engines) for _ in range(processes)]
        runs = {engine: LOADERS[engine](folder) for engine in engines}
        expected, found = runs["keras_predict"](slices), runs["openvino"](slices)
        volume = np.repeat(slices, VOLUME_SLICES, axis=0)
        for run in runs.values():
            run(volume[:2])  # what an engine does once for a new number of slices is not counted
        volume_s = {engine: round(seconds(run, volume), 3) for engine, run in runs.items()}
        openvino_name = OpenVinoEngine(folder / OPENVINO_FILE).name
        converted = openvino.Core().read_model(folder / OPENVINO_FILE)
        gflop = convolution_flop(converted) / 1e9
        fold_steps_up(converted)
        openvino_gflop = convolution_flop(converted) / 1e9

    milliseconds = {engine: float(np.median([each[engine] for each in times])) for engine in engines}
    process_ratios = {engine: [round(each[engine] / each["keras_predict"], 4) for each in times] for engine in engines}
    ratios = {engine: float(np.median(several)) for engine, several in process_ratios.items()}
    return {
        **{f"{engine}_ms": round(value, 3) for engine, value in milliseconds.items()},
        "ratio": ratios["openvino"],
        "ratios": ratios,
        "process_ratios": process_ratios,
        "left_out": left_out,
        "volume_s": volume_s,
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
    return 2 * side**3 / min(seconds(lambda: product(left, right).numpy()) for _ in range(6)) / 1e9


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
    """Return `agreement_figures` of OpenVINO at its default precision against Keras, on every slice of the phantoms.

    `float32_mask_agreement` is that of the conversion alone, and where int8 is shipped `int8_mask_agreement` that of
    what the pages run.
    """
    patients, _ = list_patients(DEMO_FOLDER)
    volumes = [load_volume(patient).images for patient in patients]

    def masks(segmenter: Segmenter) -> list[np.ndarray]:
        return [segmenter.segment(images).probability >= 0.5 for images in volumes]

    expected, counted_on = masks(Segmenter(weights, "keras")), f"{len(volumes)} phantoms with {weights.name}"
    figures = agreement_figures(masks(Segmenter(weights, "openvino")), expected, counted_on)
    others = {"float32": "f32"} | ({"int8": "int8"} if weights.int8 else {})
    for name, precision in others.items():
        found = masks(Segmenter(weights, "openvino", precision))
        figures[f"{name}_mask_agreement"] = agreement_figures(found, expected, counted_on)["mask_agreement"]
    return figures


def describe_machine() -> dict:
    """Return what the figures depend on: the processor's cores and matrix instructions, and the versions."""
    return {
        "cpu_flags": cpu_flags(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in ("tensorflow", "keras", "openvino", "numpy")},
    }


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        each = ", ".join(f"{ratio:.2f}" for ratio in sorted(figures["process_ratios"]["openvino"]))
        lines.append(f"{'':7}  ratio of {figures['openvino_name']} in each process: {each}")
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
        lines.extend(
            f"{'':7}  the same in {name}: {agreement:.3%}"
            for name in ("float32", "int8")
            if (agreement := figures.get(f"{name}_mask_agreement")) is not None
        )
    verdict = "met" if bar["met"] else "not met"
    lines.append(
        f"bar: ratio ≤ {bar['ratio']}, masks equal on ≥ {bar['mask_agreement']:.1%} of lesion pixels: {verdict}"
    )
    return "\n".join(lines)


def _largest_difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))
