"""A run's numbers as TensorBoard events: `tensorboard --logdir runs` shows the curves of every run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    import tensorflow as tf

SCALARS = ("loss", "validation_dice", "validation_dice_median", "moving_average", "learning_rate", "epoch_seconds")


def event_file(folder: Path, first_epoch: int) -> "EventFile | None":
    """Return an `EventFile`, or None where TensorFlow, which writes it, is not the back-end."""
    return EventFile(folder, first_epoch) if keras.backend.backend() == "tensorflow" else None


class EventFile:
    """One file of events; a resumed run starts another, and TensorBoard joins them."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        """Open a file; what earlier files hold from `first_epoch` on was cut off and is to be forgotten."""
        import tensorflow as tf

        self._event, self._summary = tf.compat.v1.Event, tf.compat.v1.Summary
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{time.time_ns():020d}.run"))
        self._write(self._event(file_version="brain.Event:2"))
        start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        self._write(self._event(session_log=start, step=first_epoch))

    def add(self, row: dict) -> None:
        """Add a row of `metrics.csv` at its epoch."""
        values = [self._summary.Value(tag=tag, simple_value=float(row[tag])) for tag in SCALARS]
        self._write(self._event(step=int(row["epoch"]), summary=self._summary(value=values)))

    def close(self) -> None:
        """Close the file; each event was flushed as it was written."""
        self._file.close()

    def _write(self, event: "tf.compat.v1.Event") -> None:
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())
        self._file.flush()
