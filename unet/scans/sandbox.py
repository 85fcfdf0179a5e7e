"""Read an upload in a child process with little memory and little time, so that no file can harm the server.

The child gets a private folder with the bytes, numbered, and leaves `.npy` arrays and JSON in it: nothing that
comes back could run as code, and nothing is left when the folder is gone. What the child prints goes nowhere, as
decoders quote headers, which name patients.

    python -m unet.scans.sandbox FOLDER       what the parent starts
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from unet.scans.scan import IngestError, Scan, plain_name

MAX_MEMORY = 1536 << 20  # bytes of address space
MAX_SECONDS = 20.0
MAX_FILE_BYTES = 100 << 20
MAX_UPLOAD_BYTES = 300 << 20
MAX_AT_ONCE = 2  # children; the next visitor's upload waits
_TURN = threading.BoundedSemaphore(MAX_AT_ONCE)
_PROJECT = Path(__file__).resolve().parents[2]


def read_upload(
    files: list[tuple[str, bytes]], seconds: float = MAX_SECONDS, stacked: bool = True
) -> tuple[list[Scan], list[str]]:
    """Read the files of one upload.

    Args:
        files: (name, content).
        seconds: time the child gets.
        stacked: whether single pictures that look like slices become one scan.

    Returns:
        The scans, whose values stay in a file without a name that goes when they go, and one plain sentence for
        each file that was left out.

    Raises:
        IngestError: nothing could be read: too big, too slow, or the decoder crashed.
    """
    problems, accepted = _within_limits(files)
    if not accepted:
        return [], problems
    with _TURN, tempfile.TemporaryDirectory(prefix="upload_", ignore_cleanup_errors=True) as folder:  # mode 0700
        _write(Path(folder), accepted, stacked)
        _run_child(Path(folder), seconds)
        result = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))
        scans = [Scan.load(Path(folder), number) for number in range(result["scans"])]
    if result["error"] and not scans:
        raise IngestError(result["error"])
    return scans, [*problems, *result["problems"]]


def _within_limits(files: list[tuple[str, bytes]]) -> tuple[list[str], list[tuple[str, bytes]]]:
    """Return a sentence for each file that is too big, and the files that are not."""
    problems, accepted, total = [], [], 0
    for name, content in files:
        if len(content) > MAX_FILE_BYTES:
            problems.append(f"{name}: {len(content) >> 20} MB; at most {MAX_FILE_BYTES >> 20} MB a file.")
        elif total + len(content) > MAX_UPLOAD_BYTES:
            problems.append(f"{name}: with it the upload would pass {MAX_UPLOAD_BYTES >> 20} MB. Upload less at once.")
        else:
            total += len(content)
            accepted.append((name, content))
    return problems, accepted


def _write(folder: Path, files: list[tuple[str, bytes]], stacked: bool) -> None:
    task = {"names": [plain_name(name) for name, _ in files], "stacked": stacked}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    for number, (_, content) in enumerate(files):
        (folder / str(number)).write_bytes(content)


def _run_child(folder: Path, seconds: float) -> None:
    """Start the child and wait for it; it must leave a result."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    # one thread each: a thread's arena and buffers count as address space
    environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment |= {"MALLOC_ARENA_MAX": "1", "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "unet.scans.sandbox", str(folder)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=_PROJECT, env=environment, **quiet) as child:
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            raise IngestError(
                f"Reading took longer than {seconds:.0f} seconds and was stopped. Upload fewer or smaller files."
            ) from None
        finally:
            if child.poll() is None:
                child.kill()
    if not (folder / "result.json").exists():
        raise IngestError(
            f"The decoder gave up on this upload (code {code}): a file in it is damaged, or needs more than "
            f"{MAX_MEMORY >> 20} MB to unpack. Upload the files one by one to find it."
        )


def _limit_this_process() -> None:
    """Take memory, processor time, file size and core dumps away; only where the system knows how."""
    try:
        import resource
    except ImportError:  # not on Windows: time is still limited, by the parent
        return
    for limit, value in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_CPU, int(MAX_SECONDS) + 5),
        (resource.RLIMIT_FSIZE, 600 << 20),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard),) * 2)


def _read_in_child(folder: Path) -> None:
    """Read what the parent wrote, and leave the result as a file."""
    from unet.scans.reader import read_files

    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    scans, problems, error = [], [], None
    try:
        files = [(name, (folder / str(number)).read_bytes()) for number, name in enumerate(task["names"])]
        scans, problems = read_files(files, task["stacked"])
        for number, scan in enumerate(scans):
            scan.save(folder, number)
    except MemoryError:
        scans, error = (
            [],
            (f"Reading needs more than the {MAX_MEMORY >> 20} MB of memory that an upload gets. Upload less at once."),
        )
    result = {"scans": len(scans), "problems": problems, "error": error}
    (folder / "result.part").write_text(json.dumps(result), encoding="utf-8")
    (folder / "result.part").rename(folder / "result.json")


if __name__ == "__main__":
    _limit_this_process()
    _read_in_child(Path(sys.argv[1]))
