"""Uploads on the disk: Streamlit would hold every file of every visit in the server's memory.

A private folder for each visit holds its files under their ids. Streamlit gets records whose data are empty and have
the size of the file, so that it counts as before; `contents_of` says where the bytes are.
"""

import shutil
import tempfile
import threading
import uuid
from pathlib import Path
from typing import BinaryIO, Self

from streamlit.runtime import memory_uploaded_file_manager as streamlit_manager
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from unet.scans.private_folders import PrivateFolder


class StoredBytes(bytes):
    """No bytes, with the length of a file and the path to it."""

    path: Path
    size: int

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the record of a file."""
        stored = cls()
        stored.path, stored.size = path, path.stat().st_size
        return stored

    def __len__(self) -> int:
        return self.size


class StoredFiles(MemoryUploadedFileManager):
    """Streamlit's file manager with the bytes on the disk; thread-safe as that one."""

    def __init__(self, upload_endpoint: str) -> None:
        super().__init__(upload_endpoint)
        self._folders: dict[str, PrivateFolder] = {}
        self._bytes: dict[str, int] = {}
        self._changing = threading.RLock()

    def held(self, session_id: str) -> tuple[int, int]:
        """Return how many files a visit holds, and their bytes."""
        return len(self.file_storage.get(session_id, ())), self._bytes.get(session_id, 0)

    def store(self, session_id: str, file: UploadedFileRec, content: BinaryIO) -> None:
        """Copy a file to the disk and add it; the data of the record are not looked at.

        Raises:
            OSError: the disk is full.
        """
        with self._changing:
            if session_id not in self._folders:
                self._folders[session_id] = PrivateFolder("visit")
            path = self._folders[session_id].path / uuid.uuid4().hex  # an id comes from the browser
        try:
            with path.open("wb") as written:
                shutil.copyfileobj(content, written, 1 << 20)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self.add_file(session_id, file._replace(data=StoredBytes.at(path)))

    def add_file(self, session_id: str, file: UploadedFileRec) -> None:
        """Add a file; one of the same id is deleted."""
        with self._changing:
            self.remove_file(session_id, file.file_id)
            super().add_file(session_id, file)
            self._bytes[session_id] = self._bytes.get(session_id, 0) + len(file.data)

    def remove_file(self, session_id: str, file_id: str) -> None:
        """Forget a file and delete it."""
        with self._changing:
            for file in self.get_files(session_id, [file_id]):
                self._bytes[session_id] -= len(file.data)
                if isinstance(file.data, StoredBytes):
                    file.data.path.unlink(missing_ok=True)
            super().remove_file(session_id, file_id)

    def remove_session_files(self, session_id: str) -> None:
        """Forget the files of a visit and delete them."""
        with self._changing:
            super().remove_session_files(session_id)
            self._bytes.pop(session_id, None)
            folder = self._folders.pop(session_id, None)
        if folder:
            folder.cleanup()


def contents_of(file: UploadedFile) -> bytes | Path:
    """Return where an uploaded file lies, or its bytes where Streamlit holds them, as in its tests."""
    context = get_script_run_ctx()
    records = context.uploaded_file_mgr.get_files(context.session_id, [file.file_id]) if context else []
    stored = [one.data.path for one in records if isinstance(one.data, StoredBytes)]
    return stored[0] if stored else file.getvalue()


def bytes_of(file: UploadedFile) -> bytes:
    """Return all bytes of an uploaded file, read now."""
    contents = contents_of(file)
    return contents.read_bytes() if isinstance(contents, Path) else contents


def keep_uploads_on_the_disk() -> None:
    """Make Streamlit's server use `StoredFiles`; to be called once, before the app is made."""
    streamlit_manager.MemoryUploadedFileManager = StoredFiles


def streamlit_files() -> StoredFiles:
    """Return the file manager of the running server."""
    from streamlit import runtime

    return runtime.get_instance().uploaded_file_mgr  # type: ignore[return-value]


def free_bytes() -> int:
    """Return what the disk of uploads still takes."""
    return shutil.disk_usage(tempfile.gettempdir()).free
