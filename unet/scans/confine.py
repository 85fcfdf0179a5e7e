"""What the reader's child gives up before it looks at a byte of an upload.

Each measure is taken where the system has it and left where it has not; `docs/architecture.md` lists them. A measure
that fails never stops the reading: the child is then less confined, and the limits on headers still hold.
Sources: setrlimit(2), prctl(2), unshare(2), capset(2), landlock(7).
"""

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from unet.scans.limits import MAX_MEMORY

MAX_OPEN_FILES = 64
SPARE_THREADS = 8  # beside those that the user has; libde265 decodes HEIC in one, and others may start meanwhile
MAX_WRITTEN = 600 << 20  # bytes of one file; the largest is an array of a scan
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CAPSET = {"x86_64": 126, "aarch64": 91}  # numbers of the system call
_CAPABILITY_VERSION_3 = 0x20080522
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ = 0b1100  # LANDLOCK_ACCESS_FS_READ_FILE and _READ_DIR
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu")


def confine(folder: Path, seconds: int, parent: int, paths: Iterable[str] = ()) -> list[str]:
    """Confine this process, which must have one thread.

    Args:
        folder: the only one that it may write to.
        seconds: of processor time that it gets.
        parent: id of the process that started it, and with which it ends.
        paths: files outside the folder that it may read.

    Returns:
        The names of the measures that hold.
    """
    held = []
    threads = 0
    if sys.platform == "linux":
        threads = threads_of_this_user() + SPARE_THREADS
        with suppress(OSError, AttributeError):
            threads = 2 if _leave_network() else threads  # in a namespace of its own the count begins anew
            held.append("no network")
    held += limit_resources(seconds, threads)
    if sys.platform == "linux":
        measures: dict[str, Callable[[], None]] = {
            "no new privileges": _refuse_privileges,
            "files": lambda: _see_only(folder, [Path(path) for path in paths]),
            "dies with the server": lambda: _die_with(parent),
        }
        for name, measure in measures.items():
            with suppress(OSError, AttributeError):
                measure()
                held.append(name)
    return held


def limit_resources(seconds: int, threads: int = 0) -> list[str]:
    """Limit memory, processor time, files and processes, each where the system lets it be limited.

    Args:
        seconds: of processor time.
        threads: that this user may have, this process included; systems but Linux count processes.

    Returns:
        The names of the limits that hold.
    """
    try:
        import resource
    except ImportError:  # not on Windows: the parent watches time and memory
        return []
    wanted = {
        "AS": MAX_MEMORY,
        "CPU": seconds,
        "FSIZE": MAX_WRITTEN,
        "CORE": 0,
        "NPROC": threads,  # the system makes an exception for root
        "NOFILE": MAX_OPEN_FILES,
    }
    held = []
    for name, value in wanted.items():
        with suppress(AttributeError, ValueError, OSError):  # macOS refuses to limit the address space
            limit = getattr(resource, f"RLIMIT_{name}")
            _, hard = resource.getrlimit(limit)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (value, value))
            held.append(name)
    return held


def threads_of_this_user() -> int:
    """Return how many threads this user has, as far as this process sees."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            count += len(list((process / "task").iterdir())) if process.stat().st_uid == os.getuid() else 0
    return count


def _system_call(name: str, *arguments: int | bytes | ctypes.c_size_t | None) -> int:
    """Call a function of the C library.

    Raises:
        OSError: the call fails.
        AttributeError: the library has no such function.
    """
    library = ctypes.CDLL(None, use_errno=True)
    result = getattr(library, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _refuse_privileges() -> None:
    _system_call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _die_with(parent: int) -> None:
    _system_call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it has died before
        os._exit(1)


def _leave_network() -> bool:
    """Enter an empty network namespace; return whether a user namespace is new too, without which only root may."""
    own_users = True
    try:
        _system_call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    except OSError:
        own_users = False
        _system_call("unshare", _CLONE_NEWNET)
    number = _CAPSET.get(os.uname().machine)
    if number:  # the first process of a user namespace has every capability inside it
        _system_call("syscall", number, struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24))
    return own_users


def _see_only(folder: Path, paths: list[Path]) -> None:
    """Let this process read Python and some files, write to a folder, open no TCP connection, signal nobody."""
    version = _system_call("syscall", _LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    writing = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1  # every right that this version knows
    network = 0b11 if version >= 4 else 0  # bind and connect
    scope = 0b11 if version >= 6 else 0  # abstract sockets and signals
    rules = struct.pack("QQQ", writing, network, scope)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = _system_call("syscall", _LANDLOCK_CREATE, rules, ctypes.c_size_t(len(rules)), 0)
    try:
        for path in (*_readable(), *paths):
            _allow(ruleset, path, _READ if path.is_dir() else _READ & ~0b1000)
        _allow(ruleset, folder, writing)
        _system_call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _readable() -> list[Path]:
    """Where Python, its libraries and this package lie; not the project's own folder, which holds runs."""
    package = Path(__file__).resolve().parents[1]
    found = {Path(one).resolve() for one in (*sys.path, sys.prefix, sys.base_prefix) if one} - {package.parent}
    found.add(Path(np.__file__).resolve().parents[1])  # the project's folder where it is installed beside libraries
    libraries = filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    return [one for one in (package, *found, *map(Path, _SYSTEM), *map(Path, libraries)) if one.exists()]


def _allow(ruleset: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _system_call("syscall", _LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, opened), 0)
    finally:
        os.close(opened)
