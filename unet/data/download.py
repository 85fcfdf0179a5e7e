"""Fetch the LGG MRI segmentation data set from Kaggle, so that `unet.data.patients.find_data_root` finds it.

kagglehub does the transfer, in a process of its own: it can be stopped when it stalls or the visitor leaves, it
never writes a second copy into the same archive, and a new attempt continues the archive where the last one ended.
Nothing here is part of the project's licence: the data set is CC BY-NC-SA 4.0.

Source: Buda, Saha, Mazurowski (2019), doi:10.1016/j.compbiomed.2019.05.002.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from unet.data.download_errors import NEEDED_BYTES, by_hand, explain, is_broken_archive
from unet.data.patients import find_data_root, list_patients
from unet.data.slice_files import DataError
from unet.language import t
from unet.paths import CODE_FOLDER

HANDLE = "mateuszbuda/lgg-mri-segmentation"
ARCHIVE_BYTES = 714_000_000
UNPACKED_BYTES = 2_070_000_000  # the archive holds kaggle_3m twice: 3,929 × (197 kB slice + 66 kB mask), doubled
STALL_SECONDS = 120  # without one more byte; kagglehub itself would wait for ever
_POLL_SECONDS = 0.5


def download_dataset(dest: Path | None = None, progress: Callable[[float, str], object] | None = None) -> Path:
    """Download the data set, about 714 MB, unless it is there already.

    An exception that `progress` raises stops the download and passes through.

    Args:
        dest: folder that is to hold `kaggle_3m`; None is the kagglehub cache, where the app looks by itself.
        progress: called about twice a second, from the caller's thread, with the share done in [0, 1] and a
            sentence for people.

    Returns:
        The folder of case folders, as `find_data_root` gives it.

    Raises:
        DataError: no network, Kaggle refuses, too little disk, a broken archive, a download that is running
            already, or an archive without patients; the message says what to do.
    """
    progress = progress or (lambda share, message: None)
    dest = Path(dest).expanduser().resolve() if dest else None
    cache = dest.with_name(f".{dest.name}.part") if dest else kagglehub_cache()
    folder = cache.joinpath("datasets", *HANDLE.split("/"))
    if found := _patients_below(dest) if dest else _finished(folder):
        progress(1.0, t("The data set is already downloaded"))
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "download.lock", timeout=0):
            _remove_unfinished(folder)
            check_disk(folder)
            root = _download(cache, folder, progress)
            if dest:
                dest.mkdir(parents=True, exist_ok=True)
                root = root.rename(dest / "kaggle_3m")
        if dest:
            shutil.rmtree(cache)
    except Timeout:
        raise DataError(t("The data set is being downloaded already. Wait until the download has finished.")) from None
    except OSError as error:
        raise DataError(explain(error)) from None
    progress(1.0, "Done")
    return root


def kagglehub_cache() -> Path:
    """Return the folder that kagglehub keeps its downloads in."""
    return Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))


def check_disk(folder: Path) -> None:
    """Refuse before downloading what would not fit.

    Raises:
        DataError: less than NEEDED_BYTES are free, an archive that is partly there counted.
    """
    needed = NEEDED_BYTES - sum(path.stat().st_size for path in folder.glob("*.archive"))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            t(
                "The data set needs {needed:.1f} GB while it is unpacked, {folder} has {free:.1f} GB free. "
                "Make room, or choose a folder on another disk: python -m unet download --output DIR.",
                needed=needed / 1000000000.0,
                folder=folder,
                free=free / 1000000000.0,
            )
        )


def _download(cache: Path, folder: Path, progress: Callable[[float, str], object]) -> Path:
    """Run `_fetch` in its own process, report how its files grow, and return the folder of patients."""
    environment = {**os.environ, "KAGGLEHUB_CACHE": str(cache), "PYTHONPATH": str(CODE_FOLDER)}
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "unet.data.download"]
        # the child reads its input to the end: it comes when this process ends, however it does
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output)
        try:
            _watch(process, folder, progress)
        finally:
            process.kill()  # does nothing where it has ended
            process.wait()
            if process.stdin:
                process.stdin.close()
            if process.returncode:
                _remove_unfinished(folder)
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines() or [""]
    try:
        answer = json.loads(lines[-1])
    except json.JSONDecodeError:
        raise DataError(
            t(
                "The download failed: {lines}. Try again. {by_hand}",
                lines=" ".join(lines[-3:])[-300:],
                by_hand=by_hand(),
            )
        ) from None
    if "error" in answer:
        raise DataError(answer["error"])
    root = _patients_below(Path(answer["folder"]))
    if root is None:
        raise DataError(
            t("The download in {folder} holds no patients. {by_hand}", folder=answer["folder"], by_hand=by_hand())
        )
    return root


def _watch(process: subprocess.Popen, folder: Path, progress: Callable[[float, str], object]) -> None:
    """Report until the process ends; the archive's growth is the first 70 % of the bar, unpacking the rest."""
    seen, moved = -1, time.monotonic()
    while process.poll() is None:
        archive, unpacked = _sizes(folder)
        if (archive, unpacked) != seen:
            seen, moved = (archive, unpacked), time.monotonic()
        elif time.monotonic() - moved > STALL_SECONDS:
            raise DataError(
                t(
                    "Kaggle sent nothing for {stall_seconds} s. Try again; the download continues where it "
                    "stopped. {by_hand}",
                    stall_seconds=STALL_SECONDS,
                    by_hand=by_hand(),
                )
            )
        if unpacked:
            share, message = (
                0.7 + 0.3 * unpacked / UNPACKED_BYTES,
                t("Unpacking: {unpacked:.0f} MB", unpacked=unpacked / 1000000.0),
            )
        else:
            share = 0.7 * min(archive / ARCHIVE_BYTES, 1)
            message = t(
                "Downloading: {archive:.0f} of about {archive_bytes:.0f} MB",
                archive=archive / 1000000.0,
                archive_bytes=ARCHIVE_BYTES / 1000000.0,
            )
        progress(min(share, 0.99), message)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)


def _sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of the archive and of what is unpacked; files may vanish meanwhile."""
    archive = unpacked = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size = Path(parent, name).stat().st_size
                if name.endswith(".archive"):
                    archive += size
                else:
                    unpacked += size
    return archive, unpacked


def _finished(folder: Path) -> Path | None:
    """Return the patients of the newest version that kagglehub has marked as complete."""
    markers = sorted(folder.glob("*.complete"), key=lambda path: path.stem.zfill(6), reverse=True)
    found = (_patients_below(folder / "versions" / marker.stem) for marker in markers)
    return next((root for root in found if root), None)


def _remove_unfinished(folder: Path) -> None:
    """Remove what is only half unpacked, or `find_data_root` would take it for the data set; archives stay."""
    for version in folder.glob("versions/*"):
        if not (folder / f"{version.name}.complete").exists():
            shutil.rmtree(version)


def _patients_below(folder: Path) -> Path | None:
    """Return the folder of case folders at or below `folder`."""
    try:
        root = find_data_root(folder)
        list_patients(root)
        return root
    except DataError:
        return None


def _fetch() -> dict[str, str]:
    """Let kagglehub download and unpack; return its `folder`, or the `error` as a sentence."""
    try:
        import kagglehub

        return {"folder": kagglehub.dataset_download(HANDLE)}
    except Exception as error:  # whatever happens in there, a sentence comes out
        if is_broken_archive(error):  # else the next attempt would find it "already complete"
            for archive in kagglehub_cache().joinpath("datasets", *HANDLE.split("/")).glob("*.archive"):
                archive.unlink()
        return {"error": explain(error)}


def _end_with_parent() -> None:
    """End when the process that started this one has ended, so that nobody appends to the same archive as well."""

    def wait() -> None:
        os.read(0, 1)  # nobody writes: it returns when the other end is closed
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    with contextlib.redirect_stdout(sys.stderr):  # kagglehub reports on stdout
        result = _fetch()
    print(f"\n{json.dumps(result)}", flush=True)
    sys.exit("error" in result)
