"""What a run computes on: precision, threads and how one batch is shared by several devices or machines."""

import json
import os
from typing import TYPE_CHECKING

import cv2
import keras
import numpy as np

from unet.language import t
from unet.training.config import TrainingConfig
from unet.training.kernels import multiplies_bfloat16

if TYPE_CHECKING:
    import tensorflow as tf

    from unet.training.jax_learner import JaxLearner
    from unet.training.learner import Learner

STRATEGIES = ("one", "mirrored", "multi-worker")


def mixed_precision_policy() -> str:
    """Return the fastest safe policy here.

    On a GPU float16 with TensorFlow, which scales the loss for it, and bfloat16 with JAX; on a CPU bfloat16 where it
    multiplies that; else float32.
    """
    if gpus():
        return "mixed_bfloat16" if keras.backend.backend() == "jax" else "mixed_float16"
    if keras.backend.backend() == "jax":
        return "float32"
    return "mixed_bfloat16" if multiplies_bfloat16() else "float32"


def gpus() -> list[str]:
    """Return the names of the GPUs that the back-end sees."""
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [detail.get("device_name", "GPU") for detail in details]


def limit_threads(count: int) -> None:
    """Compute with that many threads; must come before the first operation."""
    cv2.setNumThreads(count)
    if keras.backend.backend() == "jax":
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def usual_batch_workers() -> int:
    """Return how many processes should make batches: one a core, up to eight, beside a GPU that would wait for them.

    Without a GPU the network needs the cores itself, and one thread is enough.
    """
    return max(1, min(8, (os.cpu_count() or 2) - 1)) if gpus() else 1


def make_strategy(name: str) -> "tf.distribute.Strategy | None":
    """Return how a batch is shared; must come before the first operation.

    Args:
        name: `one` device; `mirrored`, every GPU of this machine; `multi-worker`, the machines of `TF_CONFIG`.

    Raises:
        ValueError: `multi-worker` without `TF_CONFIG`, another name, or more than one device with JAX.
    """
    if keras.backend.backend() == "jax":
        if name != "one":
            raise ValueError(
                t("--strategy {name} needs TensorFlow; with --backend jax a run computes on one device", name=name)
            )
        return None
    import tensorflow as tf

    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        # without a GPU the logical CPUs, of which there is one unless someone split it: for tests
        return tf.distribute.MirroredStrategy(None if gpus() else tf.config.list_logical_devices("CPU"))
    if name == "multi-worker":
        if not os.environ.get("TF_CONFIG"):
            raise ValueError(
                t("--strategy multi-worker needs TF_CONFIG, which names the machines and this one's place")
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    raise ValueError(t("strategy {name!r}; expected one of {strategies}", name=name, strategies=", ".join(STRATEGIES)))


def worker_index() -> int:
    """Return this machine's place in `TF_CONFIG`; 0 is the one that writes the run folder, and a single machine."""
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {})
    return 0 if task.get("type") == "chief" else int(task.get("index", 0))


def make_learner(
    config: TrainingConfig, start: dict[str, np.ndarray] | None, strategy: "tf.distribute.Strategy | None" = None
) -> "Learner | JaxLearner":
    """Return the learner of Keras' back-end; arguments and errors as theirs."""
    if keras.backend.backend() == "jax":
        from unet.training.jax_learner import JaxLearner

        return JaxLearner(config, start)
    import tensorflow as tf

    from unet.training.learner import Learner

    return Learner(config, strategy or tf.distribute.get_strategy(), start)
