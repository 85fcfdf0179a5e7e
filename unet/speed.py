"""How many slices at once, and on how many threads: timed once for a network on this machine, then remembered.

More slices at once keep many cores busy that one slice would leave idle; threads beyond the real cores may only get in
each other's way. Two cores gain from neither, thirty may, so the machine is asked and not the programmer.
"""

import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from unet.inference.engines import OpenVinoEngine, Setting

BATCH = 4  # slices at once that are tried: the first part of a volume should not wait for many
GAIN = 0.9  # share of the plain setting's time that another must stay below; less may be chance
ROUNDS = 3


def fastest_setting(model_path: Path, precision: str | None, remember_in: Path) -> Setting:
    """Return the fastest way to run a converted network here, by the clock or by what an earlier start found.

    Args:
        model_path: the network's `.xml`; its speed does not depend on its weights, so all of a width share a result.
        precision: as for `OpenVinoEngine`.
        remember_in: folder for the result, a file of a few bytes per network, precision and number of cores.
    """
    from importlib.metadata import version

    cores = available_cores()
    told = f"{precision} {cores} {version('openvino')}".encode()
    path = remember_in / f"speed-{hashlib.sha256(model_path.read_bytes() + told).hexdigest()[:16]}.json"
    try:
        return Setting(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):  # the first start, or a damaged file
        pass
    best = choose(milliseconds_per_slice(model_path, precision, candidates(cores)))
    remember_in.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(best)))
    os.replace(part, path)
    return best


def candidates(cores: int) -> list[Setting]:
    """Return what is tried, the plain setting first; half the cores, as every second may be a hyper-thread.

    >>> candidates(8)
    [Setting(batch=1, threads=0), Setting(batch=4, threads=0), Setting(batch=1, threads=4)]
    """
    return [Setting(), Setting(batch=BATCH), *([Setting(threads=cores // 2)] if cores >= 4 else [])]


def choose(milliseconds: dict[Setting, float]) -> Setting:
    """Return the fastest setting, or the plain one if none is clearly faster.

    >>> choose({Setting(): 100, Setting(batch=4): 95, Setting(threads=2): 130})
    Setting(batch=1, threads=0)
    >>> choose({Setting(): 100, Setting(batch=4): 80, Setting(threads=2): 85})
    Setting(batch=4, threads=0)
    """
    best = min(milliseconds, key=milliseconds.get)
    return best if milliseconds[best] <= GAIN * milliseconds[Setting()] else Setting()


def milliseconds_per_slice(model_path: Path, precision: str | None, settings: list[Setting]) -> dict[Setting, float]:
    """Time each setting in turn; the best of a few rounds, as a busy neighbour can only add to it.

    A network that was converted for one slice at a time is not tried with more.
    """
    engines = {setting: OpenVinoEngine(model_path, precision, setting) for setting in settings}
    seconds = {setting: [] for setting, engine in engines.items() if engine.setting == setting}
    for round_ in range(1 + ROUNDS):
        for setting, times in seconds.items():
            slices = np.zeros((setting.batch, *engines[setting].slice_shape), np.float32)
            started = time.perf_counter()
            engines[setting].run(slices)
            if round_:  # the first one prepares memory
                times.append((time.perf_counter() - started) / setting.batch)
    return {setting: 1000 * min(times) for setting, times in seconds.items()}


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
