"""The app as a process, and a browser to look at it: what benchmarks and tests start."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROJECT = Path(__file__).resolve().parent.parent
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STOP_SECONDS = 30


@contextmanager
def running_server(environment: dict[str, str] | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start the app as a user does, on a free port; yield its address and process; end it by its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    server = subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL
    )
    try:
        yield f"127.0.0.1:{port}", server
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # on a busy machine; what was measured is not lost for it
            server.kill()
            server.wait()


def wait_until_healthy(address: str, server: subprocess.Popen, seconds: float = 60) -> None:
    """Return as soon as the server answers.

    Raises:
        RuntimeError: it ended, or does not answer in time.
    """
    for _ in range(int(seconds / 0.05)):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with code {server.returncode}")
        try:
            urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not answer within {seconds:.0f} s")


@contextmanager
def running_browser() -> Iterator["Browser"]:
    """Yield a headless Chromium.

    Raises:
        ImportError: Playwright is not installed.
        FileNotFoundError: no Chromium on this machine.
    """
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise FileNotFoundError("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield browser
        browser.close()
