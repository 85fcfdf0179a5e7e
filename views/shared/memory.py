"""Memory that the server no longer needs, given back to the system."""

import ctypes
import sys

_M_MMAP_THRESHOLD = -3  # of mallopt(3)
LARGE = 256 * 1024  # bytes; a slice and all that is made of one is larger


def give_back_large_blocks() -> None:
    """Let large arrays return to the system the moment they are freed; on Linux, elsewhere nothing happens.

    glibc raises the size from which it does so to that of the largest block ever freed. From then on volumes are
    cut out of a heap for each thread, which thirty visitors' scripts leave full of holes: 600 MB of them.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and no such heaps
        if mallopt:
            mallopt(_M_MMAP_THRESHOLD, LARGE)
