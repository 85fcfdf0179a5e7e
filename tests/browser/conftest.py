"""A real server and a real Chromium, for what only a browser can show."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from unet.data import DEMO_FOLDER

PROJECT = Path(__file__).resolve().parents[2]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def running_app(data: Path = DEMO_FOLDER):
    """Start the app as a user does, on a free port, and yield its address; end it by its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    server = subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, "UNET_DATA": str(data)}, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if server.poll() is not None:
                raise RuntimeError(f"the server ended with code {server.returncode}")
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        else:
            raise RuntimeError("the server did not answer within a minute")
        yield address
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def running_browser():
    """Yield a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app_address():
    with running_app() as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -r requirements-dev.txt")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with running_browser() as chromium:
        yield chromium


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()
