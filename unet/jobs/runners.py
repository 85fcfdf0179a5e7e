"""Where the command line of a run is executed: a process on this machine, or a job on a Ray cluster.

A runner starts `train.py` with arguments and gives back a handle, plain JSON that the run folder keeps, so that
another process, or the next server, can ask after the run and end it.
"""

import os
import platform
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import psutil

from unet.jobs.processes import is_running, process_start
from unet.language import t
from unet.paths import PROJECT_FOLDER

COMMAND = (sys.executable, str(PROJECT_FOLDER / "train.py"))
RAY_PORT = 8265  # of Ray's dashboard, which takes jobs


class RunnerError(RuntimeError):
    """A run that could not be handed over; the message says why and what to do."""


class Runner(Protocol):
    """What a place to compute can do."""

    def start(self, arguments: list[str], output: Path) -> dict:
        """Start `train.py` with these arguments and return the handle of the run."""
        ...

    def is_alive(self, handle: dict) -> bool:
        """Return whether that very run is still going."""
        ...

    def end(self, handle: dict, force: bool = False) -> None:
        """Ask the run to end, or end it by force; nothing happens to one that is gone."""


class LocalRunner:
    """A process of its own session, which a closed tab and a restarted server leave alone."""

    def start(self, arguments: list[str], output: Path) -> dict:
        """Start the process; what it prints is appended to `output`."""
        command = [*COMMAND, *arguments]
        with output.open("ab") as file:
            process = subprocess.Popen(
                command,
                cwd=PROJECT_FOLDER,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        # someone has to wait for it, or it stays in the process table after its end
        threading.Thread(target=process.wait, daemon=True).start()
        return local_handle(process.pid)

    def is_alive(self, handle: dict) -> bool:
        """Return whether that very process is still going."""
        return "pid" in handle and "start" in handle and is_running(handle["pid"], handle["start"])

    def end(self, handle: dict, force: bool = False) -> None:
        """Signal the process and what it may have started."""
        if not self.is_alive(handle):
            return
        with suppress(ProcessLookupError, psutil.Error):
            # a run from the command line shares its session with the shell, which must live on
            if hasattr(os, "getpgid") and os.getpgid(handle["pid"]) == handle["pid"]:
                os.killpg(handle["pid"], signal.SIGKILL if force else signal.SIGTERM)
            elif force:
                psutil.Process(handle["pid"]).kill()
            else:
                psutil.Process(handle["pid"]).terminate()


class RayRunner:
    """A job on a Ray cluster, handed over through Ray Jobs.

    The project's code travels with the job; data and run folder are paths on the cluster.
    """

    def __init__(self, address: str) -> None:
        """Connect.

        Args:
            address: `ray://HOST` or `ray://HOST:PORT`, the port of the dashboard (8265).

        Raises:
            RunnerError: Ray is not installed, or nobody answers there.
        """
        try:
            from ray.job_submission import JobSubmissionClient  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise RunnerError(t('--submit needs Ray: pip install "ray[default]"')) from None
        parts = urlsplit(address)
        if parts.scheme != "ray" or not parts.hostname:
            raise RunnerError(
                t(
                    "--submit {address}: expected ray://HOST or ray://HOST:PORT, such as ray://127.0.0.1",
                    address=address,
                )
            )
        self._address = address
        try:
            self._client = JobSubmissionClient(f"http://{parts.hostname}:{parts.port or RAY_PORT}")
        except (ConnectionError, RuntimeError) as error:
            raise RunnerError(
                t("no Ray answers at {address}: {error}. Is its dashboard running?", address=address, error=error)
            ) from None

    def start(self, arguments: list[str], output: Path | None = None, gpus: float = 0) -> dict:
        """Hand the job over; its output stays with Ray (`ray job logs ID`).

        Args:
            arguments: of `train.py`.
            output: unused; there is no local file.
            gpus: of the cluster; the job waits until so many are free.
        """
        import shlex

        entrypoint = shlex.join(["python", "train.py", *arguments])
        left_out = [".git", ".venv", "runs", "data", "docs", "tests", "__pycache__", "*.part"]
        environment = {"working_dir": str(PROJECT_FOLDER), "excludes": left_out}
        more = {"entrypoint_num_gpus": gpus} if gpus else {}  # without, it runs on the head node at once
        job = self._client.submit_job(entrypoint=entrypoint, runtime_env=environment, **more)
        return {"runner": "ray", "address": self._address, "job": job}

    def is_alive(self, handle: dict) -> bool:
        """A job that waits for its turn on the cluster lives too."""
        return not self._client.get_job_status(handle["job"]).is_terminal()

    def end(self, handle: dict, force: bool = False) -> None:
        """Stop the job; Ray itself goes from asking to force after a few seconds."""
        self._client.stop_job(handle["job"])


def runner_of(handle: dict) -> Runner:
    """Return the runner that a handle came from."""
    return RayRunner(handle["address"]) if handle.get("runner") == "ray" else LocalRunner()


def local_handle(pid: int) -> dict:
    """Return the handle of a process of this machine."""
    handle = {"runner": "local", "host": platform.node(), "pid": pid}
    start = process_start(pid)
    return {**handle, "start": start} if start else handle  # gone already: no start to match, so it counts as dead


def run_in_background() -> int:
    """Give way to people who explore meanwhile: lowest useful priority, one core left free.

    Returns:
        How many threads to compute with.
    """
    with suppress(OSError, AttributeError):
        os.nice(10)
    # Linux may share time between sessions first and between processes second: then a process' own niceness only
    # counts within its session, and the session's has to be set too: never that of a shell, where others live as well
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text("10")
    with suppress(OSError):  # if memory runs out, this process goes first and not the server
        Path("/proc/self/oom_score_adj").write_text("500")
    return max(1, (os.cpu_count() or 2) - 1)


def limit_memory(megabytes: float) -> None:
    """Let the system refuse this process more memory than that, which ends the run as out of memory.

    Linux counts what is reserved, of which a third is never touched, so the kernel's limit is a third higher. Other
    systems do not keep to such a limit; there the estimate before the start has to do.
    """
    try:
        import resource

        limit = int(megabytes * 4e6 / 3)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    except (ImportError, OSError, ValueError) as error:
        print(t("no memory limit on this system: {error}", error=error), file=sys.stderr)
