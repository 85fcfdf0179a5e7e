"""A fair lock: first come, first served."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TELL_SECONDS = 0.5  # between two words to one who waits


class FairLock:
    """Lets threads in by the order in which they asked, so that no visitor waits for ever.

    >>> lock = FairLock()
    >>> with lock.turn():
    ...     lock.waiting
    0
    """

    def __init__(self) -> None:
        self._queue: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many threads wait behind the one that holds the lock."""
        return max(0, len(self._queue) - 1)

    @contextmanager
    def turn(self, on_wait: Callable[[int], object] | None = None) -> Iterator[None]:
        """Wait for the lock and hold it.

        Args:
            on_wait: told twice a second, while it waits, how many threads are before this one; may raise, which leaves
                the queue.
        """
        mine = threading.Event()
        with self._lock:
            self._queue.append(mine)
            if len(self._queue) == 1:
                mine.set()
        try:
            while not mine.wait(TELL_SECONDS if on_wait else None):
                if on_wait:
                    on_wait(self._before(mine))
            yield
        finally:
            with self._lock:
                self._queue.remove(mine)
                if self._queue:
                    self._queue[0].set()

    def _before(self, mine: threading.Event) -> int:
        with self._lock:
            return self._queue.index(mine)
