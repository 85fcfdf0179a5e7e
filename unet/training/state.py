"""What both back-ends share: the optimizer, the moving average, and the arrays that a resumed run needs."""

import keras
import numpy as np

from unet.training.config import TrainingConfig
from unet.weights.arrays import assign_arrays, variable_arrays

EMA_DECAY = 0.999
CLIP_NORM = 1.0


def make_optimizer(config: TrainingConfig, replicas: int = 1) -> keras.optimizers.Optimizer:
    """Return AdamW with a limit on the gradient's norm, as both back-ends use it."""
    # Keras adds up what the replicas hand in, here the same gradient from each; Adam divides by its size, so that
    # factor goes away when epsilon grows with it
    return keras.optimizers.AdamW(
        config.learning_rate, weight_decay=config.weight_decay, global_clipnorm=CLIP_NORM, epsilon=1e-7 * replicas
    )


def average_decay(steps_done: int) -> float:
    """Return how much of the average stays at a step: little at first, when there is little to average."""
    return min(EMA_DECAY, (1 + steps_done) / (10 + steps_done))


def pack(network: keras.Model, average: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """Return everything that a resumed run needs."""
    return {
        **{f"network/{key}": value for key, value in variable_arrays(network.variables).items()},
        **{f"average/{key}": value for key, value in variable_arrays(average.variables).items()},
        **{f"optimizer/{i}": np.asarray(v.value) for i, v in enumerate(optimizer.variables)},
    }


def unpack(
    arrays: dict[str, np.ndarray], network: keras.Model, average: keras.Model, optimizer: keras.optimizers.Optimizer
) -> None:
    """Put back what `pack` returned."""
    for prefix, model in (("network/", network), ("average/", average)):
        own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        assign_arrays(model.variables, own)
    for index, variable in enumerate(optimizer.variables):
        variable.assign(arrays[f"optimizer/{index}"])
