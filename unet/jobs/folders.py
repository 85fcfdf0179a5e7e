"""The folder of a new run, from its making until there is a run in it."""

import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from unet.jobs.index import runs_folder
from unet.jobs.request import JobError
from unet.jobs.runners import LocalRunner, local_handle
from unet.language import t
from unet.training.records import PROCESS, DamagedRecord, read_record, write_json

MAKER = "maker"  # who fills the folder; gone when there is a run in it
ABANDONED_SECONDS = 3600  # where the maker is not known or on another machine: to fill a folder takes minutes


def new_folder(root: Path | None = None) -> Path:
    """Make the folder of a new run, for its owner only; its name is the run's id.

    Raises:
        JobError: runs cannot be written there.
    """
    root = root or runs_folder()
    clear_abandoned(root)
    path = root / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    try:
        path.mkdir(mode=0o700, parents=True)  # it may hold what a visitor uploads
        write_json(path / MAKER, local_handle(os.getpid()))
    except OSError as error:
        raise JobError(
            t(
                "Runs cannot be written to their folder ({strerror}). The host has to set UNET_RUNS to another folder.",
                strerror=error.strerror,
            )
        ) from None
    return path


def clear_abandoned(root: Path | None = None) -> None:
    """Remove what a server that ended meanwhile left of an upload: no page shows it, so nobody could delete it."""
    with suppress(OSError):  # there are no runs yet, or another server was faster
        for path in (root or runs_folder()).iterdir():
            named = re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", path.name)
            if named and not any(path.glob("*.json")) and _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    try:
        maker = read_record(path / MAKER, PROCESS)
    except (OSError, DamagedRecord):
        maker = {}
    if maker.get("host") == platform.node():
        return not LocalRunner().is_alive(maker)
    return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
