"""A fair lock: first come, first served."""

import threading
from collections import deque


class FairLock:
    """Lets threads in by the order in which they asked, so that no visitor waits for ever.

    >>> lock = FairLock()
    >>> with lock:
    ...     lock.waiting
    0
    """

    def __init__(self):
        self._queue: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many threads wait behind the one that holds the lock."""
        return max(0, len(self._queue) - 1)

    def __enter__(self):
        mine = threading.Event()
        with self._lock:
            self._queue.append(mine)
            if len(self._queue) == 1:
                mine.set()
        mine.wait()

    def __exit__(self, *_):
        with self._lock:
            self._queue.popleft()
            if self._queue:
                self._queue[0].set()
