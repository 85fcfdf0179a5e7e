"""The data set's download, against a stand-in for Kaggle on 127.0.0.1."""

import http.server
import io
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections import namedtuple

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from unet.data import download, download_errors
from unet.data.patients import find_data_root, list_patients, load_volume
from unet.data.slice_files import DataError

PATIENTS = ("TCGA_AA_0001_20000101", "TCGA_AA_0002_20000102")
Usage = namedtuple("Usage", "total used free")


def kaggle_archive(filler: int = 0) -> bytes:
    """A tiny zip in the layout of the data set, which holds everything twice."""
    buffer = io.BytesIO()
    random = np.random.default_rng(0)
    with zipfile.ZipFile(buffer, "w") as archive:
        for top in ("kaggle_3m", "lgg-mri-segmentation/kaggle_3m"):
            for patient in PATIENTS:
                for number in (1, 2):
                    image = random.integers(0, 255, (16, 16, 3), np.uint8)
                    mask = np.zeros((16, 16), np.uint8)
                    for suffix, array in (("", image), ("_mask", mask)):
                        path = f"{top}/{patient}/{patient}_{number}{suffix}.tif"
                        archive.writestr(path, cv2.imencode(".tif", array)[1].tobytes())
            archive.writestr(f"{top}/data.csv", "Patient;death01\n")
            archive.writestr(f"{top}/README.md", bytes(filler))
    return buffer.getvalue()


class Kaggle(http.server.ThreadingHTTPServer):
    """Says just enough of Kaggle's API, as the proxy through which `http://localhost` is reached."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive, self.status = kaggle_archive(), 200
        self.break_off_at: int | None = None
        self.requests: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Kaggle  # pyright: ignore[reportIncompatibleVariableOverride] typeshed knows any server only

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(self.path.rsplit("/", 1)[-1])
        if self.server.status != 200:
            self.answer(self.server.status, b'{"code": %d, "message": "no"}' % self.server.status)
        elif self.path.endswith("GetDataset"):
            self.answer(200, b'{"currentVersionNumber": 2}')
        else:  # DownloadDataset sends on to the storage
            self.answer(302, b"", {"Location": "http://localhost/storage/archive.zip"})

    def do_GET(self):
        range_ = self.headers.get("Range", "")
        self.server.requests.append(f"archive {range_}".strip())
        start = int(range_.removeprefix("bytes=").removesuffix("-")) if range_ else 0
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/zip"}
        self.answer(206 if start else 200, self.server.archive[start:], headers, self.server.break_off_at)

    def answer(self, status, body, headers=None, break_off_at=None):
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:break_off_at])
        self.close_connection = True

    def log_message(self, format, *args):
        pass


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without credentials, proxies or downloads of their own; and room on the disk."""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "UNET_DATA", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**11, 0, 10**11))
    return tmp_path


def route_to(port: int, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")


@pytest.fixture
def kaggle(home, monkeypatch):
    with Kaggle() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        route_to(server.server_port, monkeypatch)
        yield server
        server.shutdown()


def test_download_into_the_cache_is_found_by_the_app(kaggle, home, monkeypatch):
    calls = []
    root = download.download_dataset(progress=lambda share, message: calls.append((share, message)))
    patients, problems = list_patients(root)
    assert [patient.patient_id for patient in patients] == list(PATIENTS)
    assert problems == []
    assert load_volume(patients[0]).images.shape == (2, 16, 16, 3)
    assert root == home / "cache/datasets/mateuszbuda/lgg-mri-segmentation/versions/2/kaggle_3m"
    monkeypatch.setattr("unet.data.patients.PROJECT_FOLDER", home)
    assert find_data_root() == root
    assert kaggle.requests == ["GetDataset", "DownloadDataset", "archive"]
    shares = [share for share, _ in calls]
    assert shares == sorted(shares)
    assert calls[-1] == (1.0, "Done")
    assert not list((home / "cache").rglob("*.archive"))

    assert download.download_dataset() == root  # no second transfer
    assert len(kaggle.requests) == 3


def test_download_into_a_folder_leaves_nothing_else(kaggle, home):
    root = download.download_dataset(home / "data")
    assert root == home / "data" / "kaggle_3m"
    assert find_data_root(home / "data") == root
    assert len(list_patients(root)[0]) == 2
    assert sorted(path.name for path in home.iterdir()) == ["data"]
    assert download.download_dataset(home / "data") == root
    assert len(kaggle.requests) == 3


def test_broken_connection_continues_where_it_stopped(kaggle, home):
    kaggle.archive = kaggle_archive(filler=2**20)
    kaggle.break_off_at = 3 * 2**19  # kagglehub writes a MiB at a time
    with pytest.raises(DataError, match="The connection was lost. Try again"):
        download.download_dataset()
    kaggle.break_off_at = None
    assert len(list_patients(download.download_dataset())[0]) == 2
    assert kaggle.requests[-1] == "archive bytes=1048576-"


@pytest.mark.parametrize("damage", [lambda data: b"<html>" * 500, lambda data: flip_bytes(data)])
def test_broken_archive_is_deleted_so_that_the_next_attempt_works(kaggle, home, damage):
    whole, kaggle.archive = kaggle.archive, damage(kaggle.archive)
    with pytest.raises(DataError, match="downloaded archive is damaged and was deleted. Try again"):
        download.download_dataset()
    assert not list(home.rglob("*.archive")) and not list(home.rglob("*.tif"))
    kaggle.archive = whole
    assert len(list_patients(download.download_dataset())[0]) == 2


def flip_bytes(data: bytes) -> bytes:
    """Change pixels of the last slice, so that its checksum is wrong after others are unpacked."""
    at = data.rindex(b"II*\0")
    return data[: at + 8] + bytes(255 - value for value in data[at + 8 : at + 40]) + data[at + 40 :]


@pytest.mark.parametrize(
    "status, sentence",
    [(403, "Kaggle refuses the download .*accept the terms at https://www.kaggle.com/datasets/mateuszbuda/lgg-mri"),
     (503, "Kaggle answers with error 503. Try again later")],
)  # fmt: skip
def test_kaggle_says_no(kaggle, status, sentence):
    kaggle.status = status
    with pytest.raises(DataError, match=sentence) as caught:
        download.download_dataset()
    assert "download it by hand" in str(caught.value)


def test_archive_without_patients(kaggle, home):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "moved")
    kaggle.archive = buffer.getvalue()
    with pytest.raises(DataError, match="holds no patients"):
        download.download_dataset()


def test_no_network(home, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    route_to(port, monkeypatch)
    with pytest.raises(DataError, match="Kaggle cannot be reached: check the network") as caught:
        download.download_dataset()
    assert "unpack it into" in str(caught.value)


def test_too_little_disk_is_said_before_anything_is_sent(kaggle, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**11, 98 * 10**9, 2 * 10**9))
    with pytest.raises(DataError, match=r"needs 3.0 GB while it is unpacked, .* has 2.0 GB free"):
        download.download_dataset()
    assert kaggle.requests == []


def test_disk_that_fills_up_meanwhile():
    message = download_errors.explain(OSError(28, "No space left on device"))
    assert message == "The disk is full. The data set needs 3 GB. Free space and try again."


def test_visitor_who_leaves_stops_the_download(kaggle, home):
    def leave(share, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.download_dataset(progress=leave)
    assert len(list_patients(download.download_dataset())[0]) == 2  # the lock is free again


def test_second_download_at_the_same_time_is_refused(kaggle):
    def again(share, message):
        with pytest.raises(DataError, match="being downloaded already"):
            download.download_dataset()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.download_dataset(progress=again)


def test_download_ends_with_the_server_that_started_it(home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the request and never answers
        route_to(silent.getsockname()[1], monkeypatch)
        command = [sys.executable, "-m", "unet.data.download"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        silent.accept()
        assert child.poll() is None
        assert child.stdin is not None and child.stdout is not None
        child.stdin.close()  # as the system does when the server dies, SIGKILL too
        assert child.wait(30) == 1
        child.stdout.close()


def test_half_unpacked_version_is_not_taken_for_the_data_set(kaggle, home):
    half = home / "cache/datasets/mateuszbuda/lgg-mri-segmentation/versions/2/kaggle_3m" / PATIENTS[0]
    half.mkdir(parents=True)
    (half / f"{PATIENTS[0]}_9.tif").write_bytes(b"half")
    root = download.download_dataset()
    assert not (root / PATIENTS[0] / f"{PATIENTS[0]}_9.tif").exists()
    assert len(list_patients(root)[0]) == 2


def test_folder_that_cannot_be_made(home):
    (home / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        download.download_dataset(home / "file" / "data")


def test_stall_is_noticed(kaggle, monkeypatch):
    monkeypatch.setattr(download, "STALL_SECONDS", 0)
    monkeypatch.setattr(download, "_POLL_SECONDS", 0.01)  # looks twice before the child has started
    with pytest.raises(DataError, match="Kaggle sent nothing for 0 s. Try again; the download continues"):
        download.download_dataset()


# --- the button


def _page():
    from views.shared.download import offer_download

    offer_download()


@pytest.mark.parametrize(
    "hosts, word, offered",
    [
        ("", "", True),
        ("", "off", False),
        ("", "disabled", False),
        ("mri.example.org", "", False),
        ("*", "", False),
        ("mri.example.org", "on", True),
        ("mri.example.org", "On ", True),
    ],
)
def test_visitors_of_a_server_that_is_not_local_start_no_download(monkeypatch, hosts, word, offered):
    monkeypatch.setenv("UNET_ALLOWED_HOSTS", hosts)
    monkeypatch.setenv("UNET_DOWNLOAD", word)
    app = AppTest.from_function(_page).run()
    assert not app.exception
    assert [one.label for one in app.button] == ["Download the data set (714 MB)"] * offered
    assert ("The host of this server can download it" in app.markdown[0].value) is not offered
