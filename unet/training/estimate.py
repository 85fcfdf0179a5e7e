"""How long a run would take, measured by doing two steps of it, and how much memory at its peak."""

import json
import math
import time

import numpy as np
import tensorflow as tf

from unet.data.patients import Patient
from unet.model import built_in
from unet.training.config import TrainingConfig
from unet.training.devices import mixed_precision_policy
from unet.training.footprint import peak_memory, volume_bytes
from unet.training.learner import Learner
from unet.training.sampling import SliceSampler, load_examples
from unet.training.validation import VALIDATION_SLICES, norm_batches

TIMED_STEPS = 2


def estimate(config: TrainingConfig, learn: list[Patient], judge: list[Patient], precision: str | None = None) -> dict:
    """Measure a run before it starts.

    Reads one training patient with masks; the lengths of the others are counted from their file names.

    Args:
        config: settings of the run.
        learn: training patients.
        judge: validation patients.
        precision: a Keras policy, as of `unet.training.loop.train`.

    Returns:
        `epoch_seconds` at each size, validation included; `epochs` that fit in, `minutes` altogether; `memory_mb` at
        the peak.
    """
    began = time.monotonic()
    with built_in(precision or mixed_precision_policy()):
        learner = Learner(config, tf.distribute.get_strategy(), None)
    measured = [patient for patient in learn if patient.masks][:1]
    sampler = SliceSampler(load_examples(measured), config.batch_size, config.seed, config.augmentation)
    slices = sum(len(patient.masks) for patient in learn)
    steps = max(1, (config.epoch_slices or slices) // config.batch_size)
    validated = sum(len(patient.images) for patient in judge)
    epoch_seconds = []
    for size in config.sizes:
        batch = sampler.batch(0, size)
        learner.step(*batch, 1e-6)  # the first one compiles
        started = time.monotonic()
        for number in range(TIMED_STEPS):
            learner.step(*sampler.batch(number, size), 1e-6)
        step = (time.monotonic() - started) / TIMED_STEPS
        many = np.resize(batch[0], (VALIDATION_SLICES, *batch[0].shape[1:]))
        learner.predict(many)
        started = time.monotonic()
        learner.predict(many)
        forward = (time.monotonic() - started) / VALIDATION_SLICES  # of one slice
        epoch_seconds.append(
            steps * step + (norm_batches(steps, config.batch_size) * config.batch_size + validated) * forward
        )
    preparing = time.monotonic() - began
    mean = float(np.mean(epoch_seconds))  # each size has an equal part of the run
    # whichever is over first ends the run, slices and minutes also within an epoch
    epochs = min(
        config.epochs or math.inf,
        config.slices / (steps * config.batch_size) if config.slices else math.inf,
        60 * config.minutes / mean if config.minutes else math.inf,
    )
    return {
        "epoch_seconds": [round(seconds, 2) for seconds in epoch_seconds],
        "epochs": math.ceil(epochs),
        "minutes": round((epochs * mean + preparing) / 60, 2),
        "memory_mb": round(peak_memory(config, volume_bytes([*learn, *judge])) / 1e6),
    }


def print_estimate(config: TrainingConfig, learn: list[Patient], judge: list[Patient], precision: str | None) -> None:
    """Print `estimate` as the last line, in JSON."""
    print(json.dumps(estimate(config, learn, judge, precision)))
