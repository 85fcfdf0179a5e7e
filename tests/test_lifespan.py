"""Nothing of a visitor stays on the disk when the server stops, however it stops."""

import asyncio
import os
import signal
import tempfile
import threading
import time
from unittest.mock import create_autospec

import pytest
from streamlit.web.server.starlette import App

from tests import hostile
from tests.test_sandbox import project
from unet.scans import sandbox
from unet.scans.private_folders import PrivateFolder
from unet.scans.scan import IngestError
from views.app_process import running_server, wait_until_healthy
from views.server.lifespan import server_lifespan


@pytest.fixture(autouse=True)
def own_tmp(monkeypatch, tmp_path):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_the_end_of_the_server_ends_readers_and_removes_folders(own_tmp, monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "_PROJECT", project(tmp_path / "project", when_reading="time.sleep(60)"))
    monkeypatch.setattr(sandbox, "MAX_CHILDREN", 1)
    said = []

    def read():
        try:
            sandbox.read_upload(hostile.good()["png"])
        except (IngestError, OSError) as error:
            said.append(error)

    async def serve():
        async with server_lifespan(create_autospec(App)):
            reader.start()
            while not list(own_tmp.rglob("reading.json")):
                await asyncio.sleep(0.01)

    patients, reader = PrivateFolder("patients"), threading.Thread(target=read)
    server = threading.Thread(target=lambda: asyncio.run(serve()))  # Playwright keeps a loop in this thread
    server.start()
    server.join(60)
    assert not server.is_alive()
    reader.join(10)
    assert not reader.is_alive() and len(said) == 1
    assert not patients.path.exists()
    assert list(own_tmp.iterdir()) == []


def test_a_start_sweeps_what_a_killed_server_left(own_tmp):
    left = own_tmp / "unet-private-upload-abc"
    left.mkdir()
    (left / "0").write_bytes(b"patient")
    os.utime(left, (0, 0))
    with running_server({"TMPDIR": str(own_tmp)}) as (address, server):
        wait_until_healthy(address, server)
        until = time.monotonic() + 30
        while left.exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert not left.exists()
        server.send_signal(signal.SIGTERM)
        server.wait(30)
