"""A volume on its way through the network, for all who wait for it."""

import threading
from collections.abc import Callable

import numpy as np

from unet.inference.engines import InferenceError
from unet.inference.fair_lock import TELL_SECONDS
from unet.inference.segmentation import Segmentation, SlicePrediction
from unet.inference.segmenter import Segmenter
from unet.language import t
from unet.letterbox import Letterbox
from unet.preprocessing import IntensityStatistics, intensity_statistics


class RunningSegmentation:
    """A volume on its way through the network, slice by slice.

    Several threads may advance it: each call does the next one, so two visitors who open the same patient
    share the work, both see it progress, and one who leaves half-way loses nothing.
    """

    def __init__(self, segmenter: Segmenter, images: np.ndarray) -> None:
        self._segmenter, self._shape = segmenter, images.shape
        self._images: np.ndarray | None = images  # let go when all are done: results outlive volumes in the app
        self._statistics: IntensityStatistics | None = None  # from the first pass on
        self._slices: dict[int, SlicePrediction] = {}
        self._result: Segmentation | None = None
        self._lock = threading.Lock()
        self._before = 0  # slices of others, when the thread at work was told last

    @property
    def slices(self) -> int:
        """How many slices the volume has, done or not."""
        return self._shape[0]

    @property
    def letterbox(self) -> Letterbox:
        """How a slice of this volume is laid into the network's square."""
        return self._segmenter.letterbox(self._shape[1:])

    @property
    def engine_name(self) -> str:
        """The engine and its precision for people, such as `OpenVINO bfloat16`."""
        return self._segmenter.engine_name

    @property
    def progress(self) -> float:
        """Share of the slices that are done, in [0, 1]."""
        done = len(self._slices)  # before the result, which empties them
        return 1.0 if self._result else done / self.slices

    def advance(self, near: int = 0, on_wait: Callable[[int], object] | None = None) -> bool:
        """Do one more slice, the nearest to `near` that is not done; return whether all are.

        Args:
            near: index of the slice that is wanted first, from 0.
            on_wait: told twice a second how many slices of others are before it, while they use the network; may raise.
        """
        while not self._lock.acquire(timeout=TELL_SECONDS if on_wait else -1):  # another visitor of this volume works
            if on_wait and self._before:
                on_wait(self._before)
        try:
            if self._result:
                return True
            assert self._images is not None  # they are let go together with the first result
            self._statistics = self._statistics or intensity_statistics(self._images)
            waiting = (index for index in range(self.slices) if index not in self._slices)
            index = min(waiting, key=lambda index: abs(index - near))
            (prediction,) = self._segmenter.predict_slices(
                self._images, self._statistics, indices=[index], on_wait=lambda before: self._tell(before, on_wait)
            )
            self._slices[index] = prediction
            if len(self._slices) == self.slices:
                self._result = self._join(self._slices, range(self.slices))
                self._slices = {}  # float32; the result keeps half
                self._images = None
            return self._result is not None
        finally:
            self._before = 0
            self._lock.release()

    def _tell(self, before: int, on_wait: Callable[[int], object] | None) -> None:
        self._before = before
        if on_wait:
            on_wait(before)

    def part_when_done(self, first: int, end: int, on_wait: Callable[[int], object] | None = None) -> Segmentation:
        """Return the slices from `first` up to but not with `end`, and do those first that are not done.

        Args:
            first: index of the first slice, from 0.
            end: index behind the last one.
            on_wait: as in `advance`.
        """
        while (part := self.part(first, end)) is None:
            self.advance((first + end) // 2, on_wait)
        return part

    def part(self, first: int, end: int) -> Segmentation | None:
        """Return the slices from `first` up to but not with `end`, or None while one of them is not done.

        Never waits: whoever looks at slices that are done need not queue for the network.
        """
        slices = self._slices  # before the result, which puts an empty one in its place
        if self._result:
            return self._result.part(first, end)
        done = all(index in slices for index in range(first, end))
        return self._join(slices, range(first, end)) if done else None

    def _join(self, slices: dict[int, SlicePrediction], indices: range) -> Segmentation:
        return self._segmenter.join([slices[index] for index in indices], self._shape[1:])

    def result(self) -> Segmentation:
        """Return the finished segmentation.

        Raises:
            InferenceError: it is not finished.
        """
        if self._result is None:
            raise InferenceError(
                t(
                    "{progress:.0%} of the slices are segmented. Call `advance` until it returns True.",
                    progress=self.progress,
                )
            )
        return self._result
