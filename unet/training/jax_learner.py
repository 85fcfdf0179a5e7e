"""Training with JAX, for GPUs where TensorFlow is not installed: the same network, optimizer and average.

The interface is that of `unet.training.learner`, for one device. Weights stay on the device between steps; Keras'
variables are only filled when somebody asks for arrays.
"""

from collections.abc import Callable, Iterable

import jax
import keras
import numpy as np

from unet.losses import LOSSES
from unet.model import ARCHITECTURES, input_channels
from unet.training.config import TrainingConfig
from unet.training.state import average_decay, make_optimizer, pack, unpack
from unet.weights.arrays import assign_arrays, variable_arrays

ROWS = 16  # slices predicted at once, always: another number of rows would be compiled anew

Arrays = list  # of `jax.Array` on the device, in the order of Keras' variables


class JaxLearner:
    """The network on its way, at the precision of the policy that is set."""

    replicas = 1

    def __init__(self, config: TrainingConfig, start: dict[str, np.ndarray] | None) -> None:
        """Build both networks.

        Args:
            config: settings of the run.
            start: weights to begin with, by variable path; None begins with random ones from the seed.

        Raises:
            WeightsError: `start` belongs to another architecture or width.
        """
        self._rows = config.batch_size
        keras.utils.set_random_seed(config.seed)
        build, shape = ARCHITECTURES[config.architecture], (None, None, input_channels(config.architecture))
        model = build(config.filters, shape)
        if start:
            assign_arrays(model.variables, start)
        self.network = keras.Model(model.input, model.get_layer("logits").output)
        self.average = build(config.filters, shape)
        self.average.set_weights(model.get_weights())
        self.optimizer = make_optimizer(config)
        self.optimizer.build(self.network.trainable_variables)
        self._rate = next(i for i, v in enumerate(self.optimizer.variables) if v is self.optimizer._learning_rate)
        loss = LOSSES[config.loss]

        def step(
            trainable: Arrays,
            fixed: Arrays,
            optimizer: Arrays,
            slices: jax.Array,
            masks: jax.Array,
        ) -> tuple[jax.Array, Arrays, Arrays, Arrays]:
            def batch_loss(trainable: Arrays) -> tuple[jax.Array, Arrays]:
                logits, moved = self.network.stateless_call(trainable, fixed, slices, training=True)[:2]
                return loss(masks, logits), moved

            (value, fixed), gradients = jax.value_and_grad(batch_loss, has_aux=True)(trainable)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
            return value, trainable, fixed, optimizer

        def update(
            average: tuple[Arrays, Arrays], current: tuple[Arrays, Arrays], decay: jax.Array
        ) -> tuple[Arrays, Arrays]:
            return jax.tree.map(lambda a, c: (decay * a + (1 - decay) * c).astype(a.dtype), average, current)

        self._step = jax.jit(step, donate_argnums=(0, 1, 2))
        self._update = jax.jit(update, donate_argnums=0)
        self._call = jax.jit(self.average.stateless_call, static_argnames="training")
        self._take()

    def share(self, make_rows: Callable[[range], tuple[np.ndarray, np.ndarray]]) -> tuple[jax.Array, jax.Array]:
        """Return a batch on the device."""
        return jax.device_put(make_rows(range(self._rows)))

    def step(self, slices: jax.Array, masks: jax.Array, learning_rate: float) -> float:
        """Train on one batch and return its loss."""
        self._optimizer[self._rate] = np.float32(learning_rate)
        loss, self._trainable, self._fixed, self._optimizer = self._step(
            self._trainable, self._fixed, self._optimizer, slices, masks
        )
        return float(loss)

    def update_average(self, steps_done: int) -> None:
        """Move the average towards the network; quickly at first, when there is little to average."""
        current = (self._trainable, self._fixed)
        self._average = self._update(self._average, current, np.float32(average_decay(steps_done)))

    def predict(self, slices: np.ndarray) -> dict[str, np.ndarray]:
        """Return the averaged network's outputs for normalised slices."""
        parts = []
        for first in range(0, len(slices), ROWS):
            rows = slices[first : first + ROWS]
            outputs, _ = self._call(*self._average, np.resize(rows, (ROWS, *rows.shape[1:])), training=False)
            parts.append({name: np.asarray(output[: len(rows)], np.float32) for name, output in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def reestimate_norms(self, batches: Iterable[np.ndarray]) -> None:
        """Measure batch-norm statistics anew for the averaged weights, which no batch has ever passed through.

        Args:
            batches: slices, one array a batch; the first third lets the moving statistics settle.
        """
        weights, moving = self._average
        seen = []
        for slices in batches:
            _, moving = self._call(weights, moving, slices, training=True)
            seen.append(moving)
        settled = seen[len(seen) // 3 :]
        self._average = weights, jax.tree.map(lambda *values: sum(values) / len(values), *settled)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything that a resumed run needs."""
        self._fill()
        return pack(self.network, self.average, self.optimizer)

    def assign(self, arrays: dict[str, np.ndarray]) -> None:
        """Put back what `arrays` returned."""
        unpack(arrays, self.network, self.average, self.optimizer)
        self._take()

    def average_arrays(self) -> dict[str, np.ndarray]:
        """Return the averaged weights by variable path."""
        self._fill()
        return variable_arrays(self.average.variables)

    def _groups(self) -> list[tuple[list, list]]:
        """Pair Keras' variables with what is on the device."""
        return [
            (self.network.trainable_variables, self._trainable),
            (self.network.non_trainable_variables, self._fixed),
            (self.average.trainable_variables, self._average[0]),
            (self.average.non_trainable_variables, self._average[1]),
            (self.optimizer.variables, self._optimizer),
        ]

    def _take(self) -> None:
        """Copy Keras' variables to the device, so that a donated buffer is never one of Keras' own."""

        def copies(variables: list[keras.Variable]) -> Arrays:
            return [jax.numpy.array(variable.value, copy=True) for variable in variables]

        self._trainable = copies(self.network.trainable_variables)
        self._fixed = copies(self.network.non_trainable_variables)
        self._average = copies(self.average.trainable_variables), copies(self.average.non_trainable_variables)
        self._optimizer = copies(self.optimizer.variables)

    def _fill(self) -> None:
        """Copy what is on the device into Keras' variables."""
        for variables, values in self._groups():
            for variable, value in zip(variables, values, strict=True):
                variable.assign(np.asarray(value))
