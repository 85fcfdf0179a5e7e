"""Train the network: one readable loop that the command line and the pages share.

The loop runs on two copies of the network: one learns, the other holds an exponential moving average (EMA)
of its weights, which is steadier and is what gets judged and shipped.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from unet import overlay
from unet.augmentation import NO_AUGMENTATION, Augmentation
from unet.data import FLAIR
from unet.losses import LOSSES
from unet.metrics import volume_dice
from unet.model import LEVELS, attention_unet
from unet.preprocessing import Fit, normalise
from unet.runs import RunFolder
from unet.sampling import Example, SliceSampler
from unet.weights import assign_arrays, half_precision, load_arrays, save_arrays, variable_arrays

EMA_DECAY = 0.999
WARM_UP = 0.05  # of the run, learning rate rising linearly
WEIGHT_DECAY, CLIP_NORM = 1e-4, 1.0
NORM_BATCHES = 40  # training batches for the EMA's batch-norm statistics, after each epoch
VALIDATION_SLICES = 16  # slices predicted at once
PREVIEW_PATIENTS = 6
HEARTBEAT_SECONDS = 2.0


class TrainingError(RuntimeError):
    """A run that cannot go on; the message says what was seen and what to try."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run. Give `epochs` or `minutes`; both end a run at whichever comes first.

    Attributes:
        filters: width of the first level.
        sizes: sides in pixels, one after the other, each for an equal part of the run: small is cheap.
        epochs: an epoch draws as many slices as the training patients have, or `epoch_slices`.
        minutes: training time, validation included.
        batch_size: slices in a step.
        learning_rate: peak, after warm-up and before the cosine; 1e-3 suits 16 and 32 filters, 5e-4 64.
        loss: a key of `unet.losses.LOSSES`.
        seed: of weights, drawing and augmentation.
        epoch_slices: length of an epoch, for short runs that want to be seen more often.
        augmentation: what happens to each drawn slice.
    """

    filters: int = 32
    sizes: tuple[int, ...] = (128, 160, 192)
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int = 8
    learning_rate: float = 1e-3
    loss: str = "bce-dice"
    seed: int = 2026
    epoch_slices: int | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self):
        if not self.epochs and not self.minutes:
            raise ValueError("neither epochs nor minutes is set; a run needs one of them to know when it ends")
        if min(self.epochs or 0, self.minutes or 0) < 0:
            raise ValueError(f"epochs {self.epochs}, minutes {self.minutes}; expected numbers above 0")
        if self.loss not in LOSSES:
            raise ValueError(f"loss {self.loss!r}; expected one of {', '.join(LOSSES)}")
        if not self.sizes or any(size < 2**LEVELS or size % 2**LEVELS for size in self.sizes):
            raise ValueError(f"sizes {self.sizes}; expected one or more multiples of {2**LEVELS}, such as 128,160,192")
        if self.batch_size < 1 or self.learning_rate <= 0:
            raise ValueError(f"batch size {self.batch_size}, learning rate {self.learning_rate}; both must be above 0")


@dataclass
class Progress:
    """Where a run stands; all of it is in the checkpoint."""

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    best: float = -1.0
    moving_average: float = math.nan


def learning_rate_at(progress: float, peak: float) -> float:
    """Return the learning rate at a share of the run in [0, 1]: linear warm-up, then a cosine to 1 % of the peak.

    >>> [round(learning_rate_at(p, 1.0), 3) for p in (0.0, 0.025, 0.05, 0.525, 1.0)]
    [0.01, 0.5, 1.0, 0.505, 0.01]
    """
    if progress < WARM_UP:
        return peak * max(0.01, progress / WARM_UP)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))
    return peak * (0.01 + 0.99 * cosine)


def mixed_precision_policy() -> str:
    """Return the fastest safe policy here: float16 on a GPU, bfloat16 on a CPU that multiplies it, else float32."""
    if _gpus():
        return "mixed_float16"
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def _gpus() -> int:
    return len(tf.config.list_physical_devices("GPU"))


def train(
    config: TrainingConfig,
    training: list[Example],
    validation: list[Example],
    run_folder: Path,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Train from scratch or from the run folder's checkpoint, and return the folder of the best weights.

    Args:
        config: settings; a resumed run must be given those of its `spec.json`.
        training: examples to learn from.
        validation: examples to judge each epoch by; no patient may be in both, but for the overfit check.
        run_folder: made if it is not there; one run a folder.
        resume: continue from `checkpoint.npz`, on the same curve.
        say: receives each line of the log.

    Raises:
        TrainingError: nothing to learn from, loss not finite, masks that are all empty, nothing to resume.
    """
    # a global, so that `attention_unet` can stay free of precision; put back for whoever shares the process
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(mixed_precision_policy())
    try:
        return _Run(config, training, validation, run_folder, say).run(resume)
    finally:
        keras.config.set_dtype_policy(previous_policy)


class _Run:
    """The state of one run: two networks, an optimizer, where it stands."""

    def __init__(self, config, training, validation, folder, say):
        if not training or not validation:
            raise TrainingError(f"{len(training)} training and {len(validation)} validation patients; a run needs both")
        if not any(example.volume.expected_mask.any() for example in validation):
            raise TrainingError("no validation slice shows a lesion to judge an epoch by; add patients with masks")
        self.config, self.validation, self.folder = config, validation, RunFolder(folder)
        self.training_patients = sorted({example.volume.patient_id for example in training})
        self._say = say
        self.sampler = SliceSampler(training, config.batch_size, config.seed, config.augmentation)
        self.progress = Progress()
        self.strategy = tf.distribute.get_strategy()
        keras.utils.set_random_seed(config.seed)
        with self.strategy.scope():
            model = attention_unet(config.filters, (None, None, 3))
            self.network = keras.Model(model.input, model.get_layer("logits").output)
            self.average = attention_unet(config.filters, (None, None, 3))
            self.average.set_weights(model.get_weights())
            self.optimizer = keras.optimizers.AdamW(
                config.learning_rate, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM
            )
            if keras.config.dtype_policy().compute_dtype == "float16":  # bfloat16 has float32's range and needs none
                self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
            self.optimizer.build(self.network.trainable_variables)
        self._loss = LOSSES[config.loss]
        self._started = time.monotonic()
        self._last_heartbeat = 0.0

    # --- compiled pieces

    @tf.function(reduce_retracing=True)
    def _step(self, slices, masks):
        def replica_step(slices, masks):
            with tf.GradientTape() as tape:
                loss = self._loss(masks, self.network(slices, training=True))
                scaled_loss = self.optimizer.scale_loss(loss)  # the loss itself, but for float16
            variables = self.network.trainable_variables
            self.optimizer.apply(tape.gradient(scaled_loss, variables), variables)
            return loss

        return self.strategy.run(replica_step, args=(slices, masks))

    @tf.function
    def _update_average(self, decay):
        for average, variable in zip(self.average.variables, self.network.variables, strict=True):
            average.assign(decay * average + (1 - decay) * variable)

    @tf.function(reduce_retracing=True)
    def _predict(self, slices, training=False):
        return self.average(slices, training=training)["probability"]

    # --- the loop

    def run(self, resume: bool) -> Path:
        if resume:
            if not self.folder.checkpoint.exists():
                raise TrainingError(
                    f"{self.folder.checkpoint} is not there; nothing to resume. Start without --resume."
                )
            self._restore()
        elif self.folder.metrics.exists():
            raise TrainingError(f"{self.folder.path} already holds a run; resume it, or choose another folder")
        else:
            self.folder.write_spec(self._spec())
        size_of_epoch = self.config.epoch_slices or len(self.sampler)
        steps = max(1, size_of_epoch // self.config.batch_size)
        already = self.progress.seconds
        self._started = time.monotonic() - already
        while self._share_done(steps) < 1:
            losses, epoch_started = [], time.monotonic()
            size = self._size(steps)
            for slices, masks in self._batches(steps, size):
                self.progress.seconds = time.monotonic() - self._started
                self.optimizer.learning_rate = learning_rate_at(self._share_done(steps), self.config.learning_rate)
                losses.append(float(self._step(slices, masks)))
                if not math.isfinite(losses[-1]):
                    raise TrainingError(
                        f"the loss became {losses[-1]} at step {self.progress.step}; lower the learning rate"
                    )
                self.progress.step += 1
                decay = min(EMA_DECAY, (1 + self.progress.step) / (10 + self.progress.step))
                self._update_average(tf.constant(decay, tf.float32))
                self._heartbeat("training", steps)
            self._end_epoch(size, float(np.mean(losses)), time.monotonic() - epoch_started)
        self._heartbeat("finished", steps, force=True)
        return self.folder.best

    def _share_done(self, steps: int) -> float:
        """Share of the run that is behind us, in [0, 1], by steps or by time, whichever is further."""
        shares = [0.0]
        if self.config.epochs:
            shares.append(self.progress.step / (self.config.epochs * steps))
        if self.config.minutes:
            shares.append(self.progress.seconds / (60 * self.config.minutes))
        return min(1.0, max(shares))

    def _size(self, steps: int) -> int:
        return self.config.sizes[min(len(self.config.sizes) - 1, int(self._share_done(steps) * len(self.config.sizes)))]

    def _batches(self, steps: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield one epoch's batches, the next one being made while the network works."""
        first = self.progress.step
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self.sampler.batch, first, size)
            for step in range(first, first + steps):
                batch = coming.result()
                if step + 1 < first + steps:
                    coming = pool.submit(self.sampler.batch, step + 1, size)
                yield batch

    def _end_epoch(self, size: int, loss: float, seconds: float) -> None:
        """Judge the averaged weights, write the row, the preview, the checkpoint and maybe the best weights."""
        self.progress.epoch += 1
        self._reestimate_norms(size)
        masks = [self._predict_volume(example, size) for example in self.validation]
        volumes = [example.volume for example in self.validation]
        dice = [volume_dice(mask, v.expected_mask, v.has_mask) for mask, v in zip(masks, volumes, strict=True)]
        mean, median = float(np.nanmean(dice)), float(np.nanmedian(dice))
        previous = self.progress.moving_average
        self.progress.moving_average = mean if math.isnan(previous) else 0.8 * previous + 0.2 * mean
        self.progress.seconds = time.monotonic() - self._started
        row = {
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "size": size,
            "learning_rate": f"{float(self.optimizer.learning_rate):.3g}",
            "loss": f"{loss:.5f}",
            "validation_dice": f"{mean:.5f}",
            "validation_dice_median": f"{median:.5f}",
            "moving_average": f"{self.progress.moving_average:.5f}",
            "epoch_seconds": f"{seconds:.1f}",
            "seconds": f"{self.progress.seconds:.1f}",
        }
        self.folder.append_metrics(row)
        self.folder.write_preview(self.progress.epoch, self._preview(masks))
        if mean > self.progress.best:
            self.progress.best = mean
            self._save_best(size, mean)
        self._save_checkpoint()
        self._log(
            f"epoch {row['epoch']:3d}  {size}²  loss {row['loss']}  validation Dice {mean:.4f} "
            f"(median {median:.4f}, best {self.progress.best:.4f})  {seconds:.0f} s"
        )
        if self.progress.epoch >= 10 and not any(mask.any() for mask in masks):
            raise TrainingError(
                "every predicted mask is empty after ten epochs; the batch-norm statistics may have blown up. "
                "Lower the learning rate and look at the slices the network gets."
            )

    def _reestimate_norms(self, size: int) -> None:
        """Measure batch-norm statistics anew for the averaged weights, which no batch has ever passed through."""
        moving = [v for layer in self.average.layers for v in layer.non_trainable_variables]
        sums = [np.zeros(v.shape, np.float64) for v in moving]
        settle = NORM_BATCHES // 3
        # other steps than the training ones, the same after each epoch and each resume
        for number in range(NORM_BATCHES):
            slices, _ = self.sampler.batch(2**40 + number, size)
            self._predict(slices, training=True)
            if number >= settle:
                sums = [total + v.numpy() for total, v in zip(sums, moving, strict=True)]
        for variable, total in zip(moving, sums, strict=True):
            variable.assign(total / (NORM_BATCHES - settle))

    def _predict_volume(self, example: Example, size: int) -> np.ndarray:
        """Return the mask of a volume at threshold 0.5 on its native grid."""
        images = example.volume.images
        fit = Fit(*images.shape[1:3], size)
        slices = np.stack([fit.forward(slice_) for slice_ in normalise(images, example.statistics)])
        parts = [
            self._predict(slices[start : start + VALIDATION_SLICES]).numpy()[..., 0]
            for start in range(0, len(slices), VALIDATION_SLICES)
        ]
        return np.stack([fit.inverse(probability) >= 0.5 for probability in np.concatenate(parts)]).astype(np.uint8)

    # --- what is written down

    def _spec(self) -> dict:
        return {
            "config": asdict(self.config),
            "training_slices": len(self.sampler),
            "training_patients": self.training_patients,
            "validation_patients": [example.volume.patient_id for example in self.validation],
            "precision": keras.config.dtype_policy().name,
            "gpus": _gpus(),
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__},
        }

    def _preview(self, masks: list[np.ndarray]) -> np.ndarray:
        """Draw the same validation slices after each epoch: predicted against expected, for up to six patients."""
        pictures = []
        for example, mask in list(zip(self.validation, masks, strict=True))[:PREVIEW_PATIENTS]:
            expected = example.volume.expected_mask
            index = expected.sum(axis=(1, 2)).argmax()
            picture = overlay.grey_to_rgb(example.volume.images[index, ..., FLAIR])
            pictures.append(overlay.draw_errors(picture, mask[index], expected[index]))
        height = max(len(picture) for picture in pictures)
        return np.hstack([np.pad(p, ((0, height - len(p)), (0, 0), (0, 0))) for p in pictures])

    def _save_best(self, size: int, dice: float) -> None:
        arrays = half_precision(variable_arrays(self.average.variables))
        config = {
            "architecture": "attention-unet",
            "filters": self.config.filters,
            "size": size,
            "threshold": 0.5,
            "epoch": self.progress.epoch,
            "validation_dice": round(dice, 5),
        }
        self.folder.write_best(arrays, config)

    def _save_checkpoint(self) -> None:
        arrays = {
            **{f"network/{key}": value for key, value in variable_arrays(self.network.variables).items()},
            **{f"average/{key}": value for key, value in variable_arrays(self.average.variables).items()},
            **{f"optimizer/{i}": v.numpy() for i, v in enumerate(self.optimizer.variables)},
        }
        save_arrays(self.folder.checkpoint, arrays, asdict(self.progress))

    def _restore(self) -> None:
        arrays, meta = load_arrays(self.folder.checkpoint)
        for prefix, model in (("network/", self.network), ("average/", self.average)):
            own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
            assign_arrays(model.variables, own)
        for index, variable in enumerate(self.optimizer.variables):
            variable.assign(arrays[f"optimizer/{index}"])
        self.progress = Progress(**meta)
        self.folder.forget_after(self.progress.epoch)
        self._log(f"resumed after epoch {self.progress.epoch}")

    def _heartbeat(self, state: str, steps: int, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._last_heartbeat < HEARTBEAT_SECONDS:
            return
        self._last_heartbeat = now
        share = self._share_done(steps)
        self.folder.write_status(
            {
                "state": state,
                "progress": round(share, 4),
                "seconds": round(self.progress.seconds, 1),
                "seconds_left": round(self.progress.seconds * (1 - share) / share, 1) if share else None,
                "epoch": self.progress.epoch,
                "step": self.progress.step,
                "best_validation_dice": max(0.0, self.progress.best),
            }
        )
        if sys.stderr.isatty():
            done = int(30 * share)
            sys.stderr.write(f"\r[{'█' * done}{'·' * (30 - done)}] {share:4.0%}  step {self.progress.step} ")
            sys.stderr.flush()

    def _log(self, line: str) -> None:
        self._say(line)
        self.folder.write_log(line)


def read_config(run_folder: Path) -> TrainingConfig:
    """Return the settings in a run's `spec.json`, to resume it.

    Raises:
        TrainingError: there is no run in the folder.
    """
    try:
        config = RunFolder(run_folder).read_spec()["config"]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{run_folder} holds no run to resume: spec.json {error!r}") from None
    augmentation = {k: tuple(v) if isinstance(v, list) else v for k, v in config.pop("augmentation").items()}
    return TrainingConfig(**{**config, "sizes": tuple(config["sizes"]), "augmentation": Augmentation(**augmentation)})


def overfit_config(filters: int, seed: int, epochs: int = 60) -> TrainingConfig:
    """Return settings for the overfit check: no augmentation, one size, epochs of 64 slices."""
    return TrainingConfig(filters, (128,), epochs, seed=seed, epoch_slices=64, augmentation=NO_AUGMENTATION)
