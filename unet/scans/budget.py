"""Memory of the whole server that uploads may take once they are decoded."""

import threading
import weakref

import numpy as np

from unet.language import t
from unet.scans.limits import MAX_SERVER_DECODED
from unet.scans.scan import IngestError


class Budget:
    """Counts arrays for as long as they live; thread-safe.

    Args:
        size: bytes in all.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self._lock = threading.Lock()

    def hold(self, array: np.ndarray) -> np.ndarray:
        """Count an array until it is freed, and return it.

        Raises:
            IngestError: it does not fit beside what other visitors hold.
        """
        with self._lock:
            if array.nbytes > self.left:
                raise IngestError(
                    t(
                        "The server has {left:,} MB left for the uploads of all visitors; this one needs "
                        "{nbytes:,} MB. Try again in a few minutes, or upload less.",
                        left=self.left >> 20,
                        nbytes=array.nbytes >> 20,
                    )
                )
            self.left -= array.nbytes
        weakref.finalize(array, self._give_back, array.nbytes).atexit = False
        return array

    def _give_back(self, size: int) -> None:
        with self._lock:
            self.left += size


SERVER = Budget(MAX_SERVER_DECODED)
