"""Read an upload in a child process with little memory and little time, so that no file can harm the server.

The child gets a private folder with the bytes, numbered, and leaves `.npy` arrays and JSON in it: nothing that
comes back could run as code, and nothing is left when the folder is gone. What the child prints goes nowhere, as
decoders quote headers, which name patients. The child says in a file what it is about to read; where it dies, that
file alone is left out, and another child reads the rest.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil

from unet.language import spoken, t
from unet.scans import budget
from unet.scans.child import PATHS, READING
from unet.scans.contents import Content
from unet.scans.found import Study
from unet.scans.limits import MAX_FILE_BYTES, MAX_MEMORY, MAX_UPLOAD_BYTES, processor_seconds
from unet.scans.private_folders import PrivateFolder
from unet.scans.scan import IngestError, Scan, plain_name
from unet.scans.turns import Turns, looks_cheap

MAX_CHILDREN = 8  # one after the other for an upload: each but the last has died of another file
MAX_SLOW = 2  # of them that may die of their time
NICE = 10  # of a child that looks expensive, so that cheap ones beside it and the pages are quick
# seconds on the clock for each of processor time
WALL_FACTOR = 60  # beside a limit of processor time: on a busy machine a child of `NICE` gets a 25th of a core
WALL_FACTOR_ALONE = 8  # where the clock is the only limit
_PROJECT = Path(__file__).resolve().parents[2]
_turns = Turns()
_children: set[subprocess.Popen] = set()


def read_upload(
    files: Sequence[tuple[str, bytes | Path]], seconds: int | None = None, stacked: bool = True, visitor: str = ""
) -> tuple[list[Scan], list[str]]:
    """Read the files of one upload; the arguments as `read_study`, whose `waiting` is left out here, and said."""
    study = read_study(files, seconds, stacked, visitor)
    return study.scans, [*study.problems, *(one.sentence for one in study.waiting)]


def read_study(
    files: Sequence[tuple[str, bytes | Path]],
    seconds: int | None = None,
    stacked: bool = True,
    visitor: str = "",
    wanted: tuple[str, ...] | None = None,
) -> Study:
    """Read the headers of one upload, and decode what is likely needed.

    Args:
        files: name, and content or where it lies; a file outside the temporary folder is read where it is.
        seconds: processor time that a child gets; by default what files of this size may need.
        stacked: whether single pictures that look like slices become one scan.
        visitor: who waits for it; visitors take turns.
        wanted: keys of the only files to read, as `Waiting.keys` of the same files.

    Returns:
        The scans, whose values stay in a file without a name that goes when they go, one plain sentence for each
        file that was left out, an `Aside` where it holds no picture by its nature, and what waits.

    Raises:
        IngestError: nothing could be read: too big, too slow, the decoder crashed, or other visitors' uploads fill
            the server.
        OSError: a file cannot be opened.
    """
    contents = [(Content.of(plain_name(name), source), source) for name, source in files]
    problems, accepted = _within_limits(contents)
    if not accepted:
        return Study([], problems)
    size = sum(content.size for content, _ in accepted)
    seconds = seconds or processor_seconds(size)
    with PrivateFolder("upload") as folder:
        paths = [str(source.resolve()) if isinstance(source, Path) else None for _, source in accepted]
        for number, (_, source) in enumerate(accepted):
            if isinstance(source, bytes):
                (folder / str(number)).write_bytes(source)
        (folder / PATHS).write_text(json.dumps(list(filter(None, paths))), encoding="utf-8")
        task = {"names": [content.name for content, _ in accepted], "paths": paths}
        task |= {"stacked": stacked, "wanted": wanted}
        said = _read_what_can_be(folder, task, seconds, visitor, [content for content, _ in accepted])
        study = Study.load(folder)
        for scan in study.scans:
            budget.SERVER.hold(scan.voxels)
    return replace(study, problems=[*problems, *said, *study.problems])


def _within_limits(
    files: list[tuple[Content, bytes | Path]],
) -> tuple[list[str], list[tuple[Content, bytes | Path]]]:
    """Return a sentence for each file that is too big, and the files that are not."""
    problems, accepted, total = [], [], 0
    for content, source in files:
        if content.size > MAX_FILE_BYTES:
            problems.append(
                t(
                    "{name}: {count} MB; at most {max_file_bytes} MB are allowed for a file.",
                    name=content.name,
                    count=content.size >> 20,
                    max_file_bytes=MAX_FILE_BYTES >> 20,
                )
            )
        elif total + content.size > MAX_UPLOAD_BYTES:
            problems.append(
                t(
                    "{name}: left out, because the upload would exceed {max_upload_bytes} MB. Upload less at once.",
                    name=content.name,
                    max_upload_bytes=MAX_UPLOAD_BYTES >> 20,
                )
            )
        else:
            total += content.size
            accepted.append((content, source))
    return problems, accepted


def _read_what_can_be(folder: Path, task: dict, seconds: int, visitor: str, files: list[Content]) -> list[str]:
    """Start children until one has read all that none before it has died of; return what the others died of."""
    left_out: dict[str, str] = {}  # sentences by key
    slow, death, cheap = 0, None, looks_cheap(files)
    for _ in range(MAX_CHILDREN):
        task |= {"language": spoken(), "left_out": list(left_out), "nice": 0 if cheap else NICE}
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        with _turns.turn(visitor, sum(one.size for one in files), cheap):
            death = _run_child(folder, seconds)
        if death is None:
            return list(left_out.values())
        cheap = False  # it has shown that it is not; others may go first now
        slow += death == _slow(seconds)
        key, name = _being_read(folder)
        if key is None or key in left_out:  # it died between files
            break
        left_out[key] = f"{name}: {death}"
        if slow == MAX_SLOW:
            break
    raise IngestError(
        "\n".join(left_out.values())
        or t("The reader ended before it opened a file: {death} Upload fewer or smaller files.", death=death)
    )


def _being_read(folder: Path) -> tuple[str | None, str]:
    """Return key and name of the file that a child said it would read next."""
    try:
        said = json.loads((folder / READING).read_text(encoding="utf-8"))
        return str(said["key"]), plain_name(str(said["name"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""


def _slow(seconds: int) -> str:
    return t("reading it takes more than {seconds} s and was stopped. Upload fewer or smaller files.", seconds=seconds)


def _run_child(folder: Path, seconds: int) -> str | None:
    """Start a child and wait for it; return None if it has left a result, else what it died of, as a sentence's end."""
    (folder / READING).unlink(missing_ok=True)
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    # one thread each: a thread's arena and buffers count as address space
    threads = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"
    environment |= dict.fromkeys(threads, "1")
    environment |= {"MALLOC_ARENA_MAX": "1", "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "unet.scans.child", str(folder), str(seconds), str(os.getpid())]
    nothing = subprocess.DEVNULL
    # a session of its own is a process group of its own, which is ended whole
    with subprocess.Popen(
        command,
        cwd=_PROJECT,
        env=environment,
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        start_new_session=True,
    ) as child:
        _children.add(child)
        try:
            died_of = _wait(child, seconds)
        finally:
            _end(child)
            _children.discard(child)
    if (folder / "result.json").exists():
        return None
    if died_of is not None:
        return died_of
    if child.returncode in (-getattr(signal, "SIGXCPU", 0), -getattr(signal, "SIGKILL", 0)):
        return _slow(seconds)
    return t(
        "it is damaged so that its decoder crashed (code {returncode}), or it needs more than "
        "{max_memory} MB to unpack; left out.",
        returncode=child.returncode,
        max_memory=MAX_MEMORY >> 20,
    )


def _wait(child: subprocess.Popen, seconds: int) -> str | None:
    """Wait until a child has ended, or has passed a limit that its system may not have; return which, as `_run_child`.

    Time on the clock stands for processor time where that cannot be limited, and stops a child that sleeps: a busy
    machine gives it a small share of a core, and must not cost it its files.
    """
    until = time.monotonic() + clock_seconds(seconds)
    watched = psutil.Process(child.pid)
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.1)
            return None
        if time.monotonic() > until:
            return _slow(seconds)
        with suppress(psutil.Error):
            if watched.memory_info().rss > MAX_MEMORY:
                return t("it needs more than {max_memory} MB to unpack; left out.", max_memory=MAX_MEMORY >> 20)


def clock_seconds(seconds: int) -> int:
    """Return how long a child with so many seconds of processor time may live."""
    return (WALL_FACTOR if find_spec("resource") else WALL_FACTOR_ALONE) * seconds


def _end(child: subprocess.Popen) -> None:
    """End a child and all that it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # macOS says the second of a group that has ended
            os.killpg(child.pid, signal.SIGKILL)
    elif child.poll() is None:
        child.kill()


def end_children() -> None:
    """End all readers of this process; for its end by a signal."""
    for child in list(_children):
        _end(child)
