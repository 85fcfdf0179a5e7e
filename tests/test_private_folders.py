"""Folders of visitors' files: private, and gone with their process or at the next start."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from unet.scans.private_folders import LOCK, PrivateFolder, remove_own_folders, sweep_folders

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def own_tmp(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_private_and_goes_with_its_block(own_tmp):
    with PrivateFolder("upload") as folder:
        (folder / "slice").write_bytes(b"patient")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.name.startswith("unet-private-upload-")
    assert list(own_tmp.iterdir()) == []


def test_a_living_folder_is_not_swept():
    with PrivateFolder("upload") as folder:
        assert sweep_folders() == 0
        assert folder.exists()


def test_what_a_killed_process_leaves_is_swept(own_tmp):
    program = (
        "import sys, time; from unet.scans.private_folders import PrivateFolder\n"
        "folder = PrivateFolder('patients'); (folder.path / 'slice').write_bytes(b'patient')\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(own_tmp)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        assert sweep_folders() == 0
        process.send_signal(signal.SIGKILL)
    assert len(list(own_tmp.iterdir())) == 1
    assert sweep_folders() == 1
    assert list(own_tmp.iterdir()) == []


def test_a_folder_in_the_making_is_not_swept(own_tmp):
    new, old = own_tmp / "unet-private-new", own_tmp / "unet-private-old"
    for folder in (new, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    assert sweep_folders() == 1
    assert new.exists() and not old.exists()


def test_other_folders_stay(own_tmp):
    (own_tmp / "upload_abc").mkdir()
    (own_tmp / "upload_abc" / LOCK).touch()
    assert sweep_folders() == 0
    assert (own_tmp / "upload_abc").exists()


def test_a_process_that_is_told_to_end_removes_its_own(own_tmp):
    folders = [PrivateFolder("upload"), PrivateFolder("patients")]
    remove_own_folders()
    assert list(own_tmp.iterdir()) == []
    folders[0].cleanup()  # its user may clean up too
