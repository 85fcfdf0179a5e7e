"""Who makes the batches: this process, or several of their own, so that a fast GPU need not wait for them.

A batch depends on the seed and its step alone (`unet.training.sampling`), so any number of workers makes the same
ones. The volumes lie once in shared memory; a worker draws from them and writes its batches into a block that it
shares with this process. Workers import neither TensorFlow nor Keras, and end by themselves when this process is gone.
"""

import multiprocessing
import shutil
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from unet.data.volume import Volume
from unet.language import t
from unet.preprocessing import IntensityStatistics
from unet.training.endings import TrainingError
from unet.training.sampling import Example, SliceSampler

Batch = TypeVar("Batch")
MakeRows = Callable[[range], tuple[np.ndarray, np.ndarray]]  # slices and masks of some rows of a batch

KEPT_BYTES = 16_000_000
AHEAD = 2  # batches that a worker may be ahead
END_SECONDS = 5
SHARED_MEMORY = Path("/dev/shm")  # where Linux keeps it; containers often allow 64 MB there


class OwnBatches:
    """Batches made by the calling thread."""

    def __init__(self, sampler: SliceSampler) -> None:
        self._sampler = sampler

    def __enter__(self) -> "OwnBatches":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def of(self, steps: Sequence[int], size: int) -> Generator[MakeRows]:
        """Yield for each step what makes the rows of its batch, as `SliceSampler.batch` returns them."""
        for step in steps:
            yield lambda rows, step=step: self._sampler.batch(step, size, rows)


class WorkerBatches:
    """Batches made by processes of their own, in turn.

    With several machines each makes whole batches and uses its own rows.
    """

    def __init__(self, examples: list[Example], sampler: SliceSampler, workers: int, largest: int) -> None:
        """Share the volumes and start the workers.

        Args:
            examples: those of the sampler.
            sampler: says which slices make a batch; each worker draws as it does.
            workers: how many processes.
            largest: side in pixels of the largest slices that will be asked for.

        Raises:
            TrainingError: the shared memory is too small.
        """
        self._batch_size = sampler.settings["batch_size"]
        results = 4 * AHEAD * self._batch_size * largest**2 * (sampler.channels + 1)  # slices and masks
        check_shared_memory(shared_bytes(examples) + workers * results)
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._volumes, stored = _share(examples)
        self._workers = []
        for number in range(workers):
            block = SharedMemory(create=True, size=results)
            ours, theirs = context.Pipe()
            arguments = (theirs, self._volumes.name, block.name, stored, sampler.settings)
            process = context.Process(target=_work, args=arguments, name=f"batches-{number}", daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours, block))

    def __enter__(self) -> "WorkerBatches":
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers and give the shared memory back."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        for block in (self._volumes, *(worker.block for worker in self._workers)):
            block.close()
            block.unlink()

    def of(self, steps: Sequence[int], size: int) -> Generator[MakeRows]:
        """Yield for each step what gives the rows of its batch; the workers are a few batches ahead."""
        ahead = AHEAD * len(self._workers)
        received = 0
        asked = min(ahead, len(steps))
        for place in range(asked):
            self._ask(place, steps[place], size)
        try:
            while received < len(steps):
                received += 1  # also where it fails: nothing more comes of it
                slices, masks = self._receive(received - 1)
                if asked < len(steps):
                    self._ask(asked, steps[asked], size)
                    asked += 1
                yield lambda rows, slices=slices, masks=masks: (
                    slices[rows.start : rows.stop],
                    masks[rows.start : rows.stop],
                )
        finally:  # whoever stops before the end must not leave answers to the next who asks
            with suppress(TrainingError):
                for place in range(received, asked):
                    self._receive(place)

    def _ask(self, place: int, step: int, size: int) -> None:
        worker, slot = self._worker(place)
        with suppress(OSError):  # it is gone; `_receive` says so
            worker.pipe.send((step, size, slot))

    def _receive(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        worker, slot = self._worker(place)
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            raise TrainingError(
                t("a process that makes batches has ended, perhaps for lack of memory. Use fewer --batch-workers.")
            ) from None
        if isinstance(answer, str):
            raise TrainingError(t("a process that makes batches failed: {answer}", answer=answer))
        slices, masks = _slot(worker.block, slot, self._batch_size, *answer)
        return np.array(slices), np.array(masks)

    def _worker(self, place: int) -> tuple["_Worker", int]:
        """Return who makes the batch at a place of the order, and which of its slots it goes to."""
        turn, number = divmod(place, len(self._workers))
        return self._workers[number], turn % AHEAD


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    block: SharedMemory


@dataclass(frozen=True)
class _Stored:
    """Where an example lies in the shared memory, and the small parts of it."""

    volume: Volume
    statistics: IntensityStatistics
    offset: int
    shape: tuple[int, ...]


def ahead(source: Generator[MakeRows], use: Callable[[MakeRows], Batch]) -> Generator[Batch]:
    """Yield what `use` makes of each, the next one in a thread while the caller works with this one."""

    def make() -> Batch | None:
        make_rows = next(source, None)
        return None if make_rows is None else use(make_rows)

    with closing(source), ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make)
        while (made := coming.result()) is not None:
            coming = pool.submit(make)
            yield made


def make_batches(
    examples: list[Example], sampler: SliceSampler, workers: int, largest: int
) -> OwnBatches | WorkerBatches:
    """Return who makes the batches: the calling thread for one worker, else so many processes.

    Raises:
        ValueError: less than one worker.
        TrainingError: the shared memory is too small.
    """
    if workers < 1:
        raise ValueError(t("{workers} processes that make batches; expected 1 or more", workers=workers))
    return OwnBatches(sampler) if workers == 1 else WorkerBatches(examples, sampler, workers, largest)


def shared_bytes(examples: list[Example]) -> int:
    """Return how large the volumes and masks are together."""
    return sum(example.volume.images.nbytes + example.volume.expected_mask.nbytes for example in examples)


def check_shared_memory(needed: int) -> None:
    """Refuse what the system cannot share: a process that writes beyond its end is killed without a word.

    Raises:
        TrainingError: less is free.
    """
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else needed
    if free < needed:
        raise TrainingError(
            t(
                "{needed:,.0f} MB of shared memory are needed; {shared_memory} has {free:,.0f} MB free. "
                "Give the container more (docker run --shm-size), or use --batch-workers 1.",
                needed=needed / 1000000.0,
                shared_memory=SHARED_MEMORY,
                free=free / 1000000.0,
            )
        )


def _share(examples: list[Example]) -> tuple[SharedMemory, list[_Stored]]:
    """Copy volumes and masks into shared memory."""
    memory = SharedMemory(create=True, size=shared_bytes(examples))
    stored, offset = [], 0
    for example in examples:
        volume = example.volume
        for array in (volume.images, volume.expected_mask):
            np.ndarray(array.shape, np.uint8, memory.buf, offset)[:] = array
            offset += array.nbytes
        small = replace(volume, images=volume.images[:0], expected_mask=volume.expected_mask[:0])
        first = offset - volume.images.nbytes - volume.expected_mask.nbytes
        stored.append(_Stored(small, example.statistics, first, volume.images.shape))
    return memory, stored


def _slot(block: SharedMemory, slot: int, batch_size: int, size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return slices (B, size, size, channels) and masks (B, size, size, 1) of a slot, as views."""
    start = slot * (block.size // AHEAD // 4 * 4)
    slices = np.ndarray((batch_size, size, size, channels), np.float32, block.buf, start)
    return slices, np.ndarray((batch_size, size, size, 1), np.float32, block.buf, start + slices.nbytes)


# --- inside a worker


def _work(pipe: Connection, volumes: str, results: str, stored: list[_Stored], settings: dict) -> None:
    """Make batches until the other end of the pipe is closed, by its process or by its death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    cv2.setNumThreads(1)  # the other cores have workers of their own
    # once a large block has been freed, the C library keeps freed memory up to that size for the next array; before,
    # it gives every array back to the system, which costs a quarter of the time
    np.empty(KEPT_BYTES, np.uint8)
    memory, block = SharedMemory(volumes), SharedMemory(results)
    with suppress(EOFError, OSError):
        _serve(pipe, SliceSampler([_example(memory, one) for one in stored], **settings), block)
    for shared in (memory, block):  # no array looks at them any more
        shared.close()


def _serve(pipe: Connection, sampler: SliceSampler, block: SharedMemory) -> None:
    rows = sampler.settings["batch_size"]
    while True:
        step, size, slot = pipe.recv()
        try:
            slices, masks = _slot(block, slot, rows, size, sampler.channels)
            sampler.fill(slices, masks, step, range(rows))
            answer = (size, sampler.channels)
        except Exception as error:  # whatever it is, the run has to hear of it
            answer = f"{type(error).__name__}: {error}"
        pipe.send(answer)


def _example(memory: SharedMemory, stored: _Stored) -> Example:
    images = np.ndarray(stored.shape, np.uint8, memory.buf, stored.offset)
    mask = np.ndarray(stored.shape[:3], np.uint8, memory.buf, stored.offset + images.nbytes)
    return Example(replace(stored.volume, images=images, expected_mask=mask), stored.statistics)
