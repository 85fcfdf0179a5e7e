"""Training with TensorFlow: two copies of the network, an optimizer, and the three compiled functions that move them.

One copy is trained, the other holds an exponential moving average (EMA) of its weights, which is steadier and is what
is validated and shipped. Every step goes through `strategy.run`; one device is simply the default strategy.
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from unet.language import t
from unet.losses import LOSSES, Tensor
from unet.model import ARCHITECTURES, input_channels
from unet.training.config import TrainingConfig
from unet.training.state import average_decay, make_optimizer, pack, unpack
from unet.weights.arrays import assign_arrays, variable_arrays


class Learner:
    """The network on its way, at the precision of the policy that is set."""

    def __init__(
        self, config: TrainingConfig, strategy: tf.distribute.Strategy, start: dict[str, np.ndarray] | None
    ) -> None:
        """Build both networks.

        Args:
            config: settings of the run.
            strategy: how devices share a batch.
            start: weights to begin with, by variable path; None begins with random ones from the seed.

        Raises:
            ValueError: the replicas cannot share a batch evenly.
            WeightsError: `start` belongs to another architecture or width.
        """
        replicas = strategy.num_replicas_in_sync
        if config.batch_size % replicas:
            raise ValueError(
                t(
                    "{replicas} devices cannot share batches of {batch_size} slices evenly",
                    replicas=replicas,
                    batch_size=config.batch_size,
                )
            )
        self.strategy, self.replicas = strategy, replicas
        self._rows = config.batch_size // replicas
        keras.utils.set_random_seed(config.seed)
        build = ARCHITECTURES[config.architecture]
        with strategy.scope():
            model = build(config.filters, (None, None, input_channels(config.architecture)))
            if start:
                assign_arrays(model.variables, start)
            self.network = keras.Model(model.input, model.get_layer("logits").output)
            self.average = build(config.filters, (None, None, input_channels(config.architecture)))
            self.average.set_weights(model.get_weights())
            self.optimizer = make_optimizer(config, replicas)
            if keras.config.dtype_policy().compute_dtype == "float16":  # bfloat16 has float32's range and needs none
                self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
            self.optimizer.build(self.network.trainable_variables)
        if replicas > 1:
            for layer in self.network.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True  # statistics over the whole batch, as one device would take them
        self._loss = LOSSES[config.loss]

    def share(self, make_rows: Callable[[range], tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
        """Return a batch with each replica's rows on its device; rows of other machines are not made."""

        def own_rows(context: tf.distribute.experimental.ValueContext) -> tuple[tf.Tensor, tf.Tensor]:
            first = context.replica_id_in_sync_group * self._rows
            slices, masks = make_rows(range(first, first + self._rows))
            return tf.constant(slices), tf.constant(masks)

        return self.strategy.experimental_distribute_values_from_function(own_rows)

    def step(self, slices: Tensor, masks: Tensor, learning_rate: float) -> float:
        """Learn from one batch and return its loss."""
        self.optimizer.learning_rate = learning_rate
        return float(self._step(slices, masks))

    @tf.function(reduce_retracing=True)
    def _step(self, slices: Tensor, masks: Tensor) -> Tensor:
        def replica_step(slices: Tensor, masks: Tensor) -> Tensor:
            with tf.GradientTape() as tape:
                loss = self._loss(masks, self.network(slices, training=True), _sum_over_replicas)
                scaled = self.optimizer.scale_loss(loss)  # the loss itself, but for float16
                scaled_loss = tf.convert_to_tensor(scaled)  # pyright: ignore[reportArgumentType] Keras infers other engines
            variables = self.network.trainable_variables
            gradients = tape.gradient(scaled_loss, variables)
            replica = tf.distribute.get_replica_context()
            if replica.num_replicas_in_sync > 1:  # before clipping, which must see the whole batch's gradient
                gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            self.optimizer.apply(gradients, variables)
            return loss

        losses = self.strategy.run(replica_step, args=(slices, masks))
        return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

    def update_average(self, steps_done: int) -> None:
        """Move the average towards the network; quickly at first, when there is little to average."""
        self._update_average(tf.constant(average_decay(steps_done), tf.float32))

    @tf.function
    def _update_average(self, decay: tf.Tensor) -> None:
        for average, variable in zip(self.average.variables, self.network.variables, strict=True):
            average.assign(decay * average + (1 - decay) * variable)

    @tf.function(reduce_retracing=True)
    def predict(self, slices: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the averaged network's outputs for normalised slices; `training` moves its batch-norm statistics."""
        return self.average(slices, training=training)

    def reestimate_norms(self, batches: Iterable[np.ndarray]) -> None:
        """Measure batch-norm statistics anew for the averaged weights, which no batch has ever passed through.

        Args:
            batches: slices, one array a batch; the first third lets the moving statistics settle.
        """
        moving = [v for layer in self.average.layers for v in layer.non_trainable_variables]
        seen = []
        for slices in batches:
            self.predict(slices, training=True)
            seen.append([variable.numpy() for variable in moving])
        settled = seen[len(seen) // 3 :]
        for number, variable in enumerate(moving):
            variable.assign(np.mean([values[number] for values in settled], axis=0, dtype=np.float64))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything that a resumed run needs."""
        return pack(self.network, self.average, self.optimizer)

    def assign(self, arrays: dict[str, np.ndarray]) -> None:
        """Put back what `arrays` returned."""
        unpack(arrays, self.network, self.average, self.optimizer)

    def average_arrays(self) -> dict[str, np.ndarray]:
        """Return the averaged weights by variable path."""
        return variable_arrays(self.average.variables)


def _sum_over_replicas(counts: Tensor) -> Tensor:
    """Return `counts` of the whole batch, whichever part of it is here."""
    replica = tf.distribute.get_replica_context()
    if replica and replica.num_replicas_in_sync > 1:
        counts = replica.all_reduce(tf.distribute.ReduceOp.SUM, counts)
    return counts
