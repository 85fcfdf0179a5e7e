"""A volume on its way through the network, for all who wait for it."""

import threading

import numpy as np

from unet.inference.engines import InferenceError
from unet.inference.segmentation import Segmentation, SlicePrediction
from unet.inference.segmenter import Segmenter
from unet.letterbox import Letterbox
from unet.preprocessing import IntensityStatistics, intensity_statistics


class RunningSegmentation:
    """A volume on its way through the network, slice by slice.

    Several threads may advance it: each call does the next one, so two visitors who open the same patient
    share the work, both see it progress, and one who leaves half-way loses nothing.
    """

    def __init__(self, segmenter: Segmenter, images: np.ndarray):
        self._segmenter, self._shape = segmenter, images.shape
        self._images: np.ndarray | None = images  # let go when all are done: results outlive volumes in the app
        self._statistics: IntensityStatistics | None = None  # from the first pass on
        self._slices: dict[int, SlicePrediction] = {}
        self._result: Segmentation | None = None
        self._lock = threading.Lock()

    @property
    def slices(self) -> int:
        return self._shape[0]

    @property
    def letterbox(self) -> Letterbox:
        return self._segmenter.letterbox(self._shape[1:])

    @property
    def engine_name(self) -> str:
        return self._segmenter.engine_name

    @property
    def waiting(self) -> int:
        """How many slices, of this volume or of others, wait for the network."""
        return self._segmenter.waiting

    @property
    def progress(self) -> float:
        """Share of the slices that are done, in [0, 1]."""
        done = len(self._slices)  # before the result, which empties them
        return 1.0 if self._result else done / self.slices

    def advance(self, near: int = 0) -> bool:
        """Do one more slice, the nearest to `near` that is not done; return whether all are."""
        with self._lock:
            if self._result:
                return True
            assert self._images is not None  # they are let go together with the first result
            self._statistics = self._statistics or intensity_statistics(self._images)
            waiting = (index for index in range(self.slices) if index not in self._slices)
            index = min(waiting, key=lambda index: abs(index - near))
            (prediction,) = self._segmenter.predict_slices(self._images, self._statistics, indices=[index])
            self._slices[index] = prediction
            if len(self._slices) == self.slices:
                self._result = self._join(self._slices, range(self.slices))
                self._slices = {}  # float32; the result keeps half
                self._images = None
            return self._result is not None

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
            raise InferenceError(f"{self.progress:.0%} of the slices are done; call advance until it returns True")
        return self._result
