"""Temporary folders for what visitors send: readable by one user, gone with their process.

A process that is killed cannot clean up. Each folder therefore holds a lock file that its process keeps locked; the
system lets the lock go with the process, and the next start removes the folders that nobody has locked.
"""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from filelock import FileLock, Timeout

PREFIX = "unet-private-"
LOCK = "lock"
UNLOCKED_SECONDS = 60.0  # a folder without a lock file that is younger may be in the making
_open: "WeakSet[PrivateFolder]" = WeakSet()


class PrivateFolder:
    """A folder of mode 0700, removed by `cleanup`, at the end of a `with`, or with the object.

    Attributes:
        path: of the folder.
    """

    def __init__(self, purpose: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{purpose}-", ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._lock = FileLock(self.path / LOCK)
        self._lock.acquire()
        _open.add(self)

    def cleanup(self) -> None:
        """Remove the folder and all that is in it; a second call does nothing."""
        _open.discard(self)
        self._lock.release()
        self._folder.cleanup()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.cleanup()


def remove_own_folders() -> None:
    """Remove the folders of this process; for its end by a signal, which runs no finalizers."""
    for folder in list(_open):
        folder.cleanup()


def sweep_folders() -> int:
    """Remove the folders whose process has ended without removing them; return how many."""
    swept = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process may sweep at the same time
            if _is_abandoned(folder):
                shutil.rmtree(folder)
                swept += 1
    return swept


def _is_abandoned(folder: Path) -> bool:
    status = folder.lstat()
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return False
    if not (folder / LOCK).exists():
        return time.time() - status.st_mtime > UNLOCKED_SECONDS
    try:
        with FileLock(folder / LOCK, timeout=0):
            return True
    except Timeout:
        return False
