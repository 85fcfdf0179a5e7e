"""Train the network: one readable loop that the command line and the pages share."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from unet.context import context_slices
from unet.language import t
from unet.losses import Tensor
from unet.metrics import volume_dice
from unet.model import built_in
from unet.training.batches import OwnBatches, WorkerBatches, ahead, make_batches
from unet.training.config import TrainingConfig
from unet.training.devices import gpus, make_learner, mixed_precision_policy, usual_batch_workers
from unet.training.endings import TrainingError, TrainingStopped
from unet.training.events import event_file
from unet.training.previews import predict_slices, preview_slices
from unet.training.progress import Progress, draw_bar
from unet.training.run_folder import RunFolder
from unet.training.sampling import Example, SliceSampler, patient_ids
from unet.training.validation import check_examples, check_same_patients, norm_batches, predict_volume
from unet.weights.arrays import half_precision, load_arrays, save_arrays

if TYPE_CHECKING:
    import tensorflow as tf

    from unet.training.jax_learner import JaxLearner
    from unet.training.learner import Learner

EMPTY_STEPS = 400  # and ten epochs without one predicted pixel end a run; short epochs alone say little
HEARTBEAT_SECONDS = 1.0


def train(
    config: TrainingConfig,
    training: list[Example],
    validation: list[Example],
    run_folder: Path,
    resume: bool = False,
    say: Callable[[str], None] = print,
    *,
    allow_overlap: bool = False,
    start: dict[str, np.ndarray] | None = None,
    strategy: "tf.distribute.Strategy | None" = None,
    precision: str | None = None,
    batch_workers: int | None = None,
) -> Path:
    """Train from scratch, from given weights or from the run folder's checkpoint; return the folder of the best.

    However it ends, `status.json` says so: finished, stopped, failed, out of memory, disk full.

    Args:
        config: settings; a resumed run must be given those of its `spec.json`.
        training: examples to learn from.
        validation: examples to judge each epoch by.
        run_folder: made if it is not there; one run a folder.
        resume: continue from `checkpoint.npz`, on the same curve.
        say: receives each line of the log.
        allow_overlap: let a patient be in both, for the overfit check.
        start: weights to begin with, by variable path.
        strategy: a `tf.distribute.Strategy`, how devices share a batch; by default one device takes all of it.
        precision: a Keras policy such as `float32`; by default the fastest safe one of the device.
        batch_workers: processes that make batches; for 1 a thread of this one does. The batches are the same. By
            default as many as the device is worth.

    Raises:
        TrainingError: nothing to learn from, a patient in both lists, loss not finite, masks that are all empty,
            nothing to resume, other patients than before, too little memory for the workers to share;
            `TrainingStopped` when someone asked for it.
        DataError: patients that do not fit the fold of the settings.
    """
    check_examples(training, validation, allow_overlap or config.all_patients, config.fold)
    folder = RunFolder(run_folder)
    folder.check_start(resume)
    if resume:
        check_same_patients(folder, training, validation)
    with built_in(precision or mixed_precision_policy()), folder.recorded_end():
        learner = make_learner(config, start, strategy)
        return _Run(config, training, validation, folder, learner, say, batch_workers).run(resume)


class _Run:
    """A learner, its examples and where it stands."""

    def __init__(
        self,
        config: TrainingConfig,
        training: list[Example],
        validation: list[Example],
        folder: RunFolder,
        learner: "Learner | JaxLearner",
        say: Callable[[str], None],
        batch_workers: int | None,
    ) -> None:
        self.config, self.validation, self.folder, self.learner = config, validation, folder, learner
        self.training_patients = patient_ids(training)
        self.context = context_slices(config.architecture)
        self.sampler = SliceSampler(training, config.batch_size, config.seed, config.augmentation, self.context)
        self._training, self._batch_workers = training, batch_workers
        self.steps = max(1, (config.epoch_slices or len(self.sampler)) // config.batch_size)  # in an epoch
        self.progress = Progress()
        self._say = say
        self._started = time.monotonic()
        self._validated = False
        self._last_heartbeat = 0.0

    def run(self, resume: bool) -> Path:
        if resume:
            self._restore()
        else:
            self.folder.write_spec(self._spec())
        self.folder.previews.write_slices(preview_slices(self.validation))
        self._events = event_file(self.folder.events, self.progress.epoch + 1)
        with self._make_batches() as self.batches:
            self._run_epochs()
        return self.folder.best

    def _make_batches(self) -> OwnBatches | WorkerBatches:
        """Return who makes the batches; where nobody asked for workers, one thread has to do without shared memory."""
        workers, largest = self._batch_workers or usual_batch_workers(), max(self.config.sizes)
        try:
            return make_batches(self._training, self.sampler, workers, largest)
        except TrainingError as error:
            if self._batch_workers:
                raise
            self._log(f"{error} One thread makes the batches.")
            return make_batches(self._training, self.sampler, 1, largest)

    def _run_epochs(self) -> None:
        already, compiled = self.progress.seconds, False
        while self._share_done() < 1:
            losses, learning_rate, epoch_started = [], 0.0, time.monotonic()
            size = self._size()
            with closing(self._batches(size)) as batches:
                for slices, masks in batches:
                    learning_rate = self.config.learning_rate_at(self._share_done())
                    losses.append(self._step(slices, masks, learning_rate))
                    if not compiled:  # seconds that are no training: the clock starts, or goes on, here
                        self._started, compiled = time.monotonic() - already, True
                        epoch_started = time.monotonic()
                    self.progress.seconds = time.monotonic() - self._started
                    self._heartbeat("training")
                    if self._share_done() >= 1:  # slices or minutes may be over in the middle of an epoch
                        break
            self._end_epoch(size, float(np.mean(losses)), learning_rate, time.monotonic() - epoch_started)
        if self._events:
            self._events.close()

    def _step(self, slices: Tensor, masks: Tensor, learning_rate: float) -> float:
        """Learn from one batch and return its loss."""
        loss = self.learner.step(slices, masks, learning_rate)
        if not math.isfinite(loss):
            raise TrainingError(
                t("the loss became {loss} at step {step}. Lower the learning rate.", loss=loss, step=self.progress.step)
            )
        self.progress.step += 1
        self.learner.update_average(self.progress.step)
        return loss

    def _share_done(self) -> float:
        return self.progress.share_done(self.config, self.steps)

    def _size(self) -> int:
        return self.config.sizes[min(len(self.config.sizes) - 1, int(self._share_done() * len(self.config.sizes)))]

    def _batches(self, size: int) -> Generator[tuple]:
        """Yield one epoch's batches, the next one being made while the network works."""
        steps = range(self.progress.step, self.progress.step + self.steps)
        return ahead(self.batches.of(steps, size), self.learner.share)

    def _end_epoch(self, size: int, loss: float, learning_rate: float, seconds: float) -> None:
        """Judge the averaged weights, write the row, the previews, the checkpoint and maybe the best weights."""
        self.progress.epoch += 1
        began = time.monotonic()
        self.learner.reestimate_norms(self._norm_batches(size))
        masks = [self._mask(example, size) for example in self.validation]
        volumes = [example.volume for example in self.validation]
        dice = [volume_dice(mask, v.expected_mask, v.has_mask) for mask, v in zip(masks, volumes, strict=True)]
        mean, median = float(np.nanmean(dice)), float(np.nanmedian(dice))
        previous = self.progress.moving_average
        self.progress.moving_average = mean if math.isnan(previous) else 0.8 * previous + 0.2 * mean
        if not self._validated:  # what validation calls is compiled the first time, which is no training either
            self._started += time.monotonic() - began
            self._validated = True
        self.progress.seconds = time.monotonic() - self._started
        row = {
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "size": size,
            "learning_rate": f"{learning_rate:.3g}",
            "loss": f"{loss:.5f}",
            "validation_dice": f"{mean:.5f}",
            "validation_dice_median": f"{median:.5f}",
            "moving_average": f"{self.progress.moving_average:.5f}",
            "epoch_seconds": f"{seconds:.1f}",
            "seconds": f"{self.progress.seconds:.1f}",
        }
        self.folder.append_metrics(row, last=self._share_done() >= 1)
        if self._events:
            self._events.add(row)
        predictions = predict_slices(self.validation, self.learner.predict, size, self.context)
        self.folder.previews.write_epoch(self.progress.epoch, predictions, size)
        if mean > self.progress.best or self.config.keeps_last:
            self._save_best(size, mean)
        self.progress.best = max(mean, self.progress.best)
        save_arrays(self.folder.checkpoint, self.learner.arrays(), asdict(self.progress))
        self._log(
            f"epoch {row['epoch']:3d}  {size}²  loss {row['loss']}  validation volume Dice {mean:.4f} "
            f"(median {median:.4f}, best {self.progress.best:.4f})  {seconds:.0f} s"
        )
        self._heartbeat("training", force=True)
        found = any(mask.any() for mask in masks)
        if self.progress.epoch >= 10 and self.progress.step >= EMPTY_STEPS and not found:
            raise TrainingError(
                t(
                    "all predicted masks are empty after {epoch} epochs; perhaps the batch-norm statistics "
                    "diverged. Lower the learning rate and check the input slices.",
                    epoch=self.progress.epoch,
                )
            )

    def _norm_batches(self, size: int) -> Iterator[np.ndarray]:
        # other steps than the training ones, the same after each epoch and each resume
        steps = range(2**40, 2**40 + norm_batches(self.steps, self.config.batch_size))
        with closing(self.batches.of(steps, size)) as batches:
            for make_rows in batches:
                self._heartbeat("judging")
                yield make_rows(range(self.config.batch_size))[0]

    def _mask(self, example: Example, size: int) -> np.ndarray:
        return predict_volume(example, size, self.context, self.learner.predict, lambda: self._heartbeat("judging"))

    def _spec(self) -> dict:
        return {
            "config": asdict(self.config),
            "training_slices": len(self.sampler),
            "training_patients": self.training_patients,
            "validation_patients": [example.volume.patient_id for example in self.validation],
            "parameters": self.learner.average.count_params(),
            "precision": keras.config.dtype_policy().name,
            "gpus": gpus(),
            "replicas": self.learner.replicas,
            "versions": {name: version(name) for name in (keras.backend.backend(), "keras", "numpy")},
        }

    def _save_best(self, size: int, dice: float) -> None:
        arrays = half_precision(self.learner.average_arrays())
        config = {
            "architecture": self.config.architecture,
            "filters": self.config.filters,
            "size": size,
            "threshold": 0.5,
            "epoch": self.progress.epoch,
            "validation_dice": round(dice, 5),
        }
        if self.config.fold is not None:  # whom these weights have not seen
            config["fold"] = self.config.fold
        self.folder.write_best(arrays, config)

    def _restore(self) -> None:
        arrays, meta = load_arrays(self.folder.checkpoint)
        self.learner.assign(arrays)
        self.progress = Progress(**meta)
        self.folder.forget_after(self.progress.epoch)
        self._log(f"resumed after epoch {self.progress.epoch}")

    def _heartbeat(self, state: str, force: bool = False) -> None:
        """Say where the run stands, and heed a request to stop; called between any two batches."""
        if self.folder.stop_requested():
            raise TrainingStopped(t("stopped on request"))
        now = time.monotonic()
        if not force and now - self._last_heartbeat < HEARTBEAT_SECONDS:
            return
        self._last_heartbeat = now
        share = self._share_done()
        self.folder.write_status(self.progress.status(state, share))
        draw_bar(share, self.progress.step)

    def _log(self, line: str) -> None:
        self._say(line)
        self.folder.write_log(line)
