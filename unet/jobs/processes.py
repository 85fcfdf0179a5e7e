"""Know a process again: its id is used anew some day, so its start has to match too."""

from contextlib import suppress
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def process_start(pid: int) -> str | None:
    """Return when a process started, as text that a stepped clock does not change, or None where there is none.

    On Linux: the boot, and the ticks since then. `psutil` reads the clock of now into the time it gives, so two seconds
    of a time server would make a stranger of a living process. Elsewhere the kernel keeps the time of the start itself.
    """
    with suppress(OSError, psutil.Error):
        if BOOT_ID.exists():
            # the name of the program may hold spaces and brackets; the start is the 20th field after it
            ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
            return f"{BOOT_ID.read_text().strip()} {int(ticks)}"
        return repr(psutil.Process(pid).create_time())
    return None


def is_running(pid: int, start: str) -> bool:
    """Return whether the process of this id is the one that started then, and has not ended.

    Args:
        pid: of this machine.
        start: from `process_start`.
    """
    with suppress(psutil.Error, OSError):
        return process_start(pid) == start and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
