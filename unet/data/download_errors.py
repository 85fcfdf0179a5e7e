"""What a failed download means and what to do, in words."""

import errno
import zipfile
import zlib

from unet.language import t
from unet.paths import PROJECT_FOLDER

PAGE = "https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation"
NEEDED_BYTES = 3_000_000_000  # both at once, as the archive goes only when it is unpacked, and some room


def by_hand() -> str:
    """Return the sentence that names the page to download from and the folder to unpack into."""
    return t(
        "Or download it by hand from {page} and unpack it into {folder}.", page=PAGE, folder=PROJECT_FOLDER / "data"
    )


def explain(error: Exception) -> str:
    """Return what went wrong in a download, and the remedy, as a sentence or two for people."""
    import requests

    response = getattr(error, "response", None)
    if response is not None and response.status_code in (401, 403):
        return t(
            "Kaggle refuses the download (error {status_code}). Log in and accept the terms at "
            "{page}. Put an access token into ~/.kaggle/access_token or KAGGLE_API_TOKEN and try "
            "again. {by_hand}",
            status_code=response.status_code,
            page=PAGE,
            by_hand=by_hand(),
        )
    if response is not None and response.status_code >= 400:
        return t(
            "Kaggle answers with error {status_code}. Try again later. {by_hand}",
            status_code=response.status_code,
            by_hand=by_hand(),
        )
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return t(
            "The connection was lost. Try again; the download continues where it stopped. {by_hand}", by_hand=by_hand()
        )
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return t(
            "The answer does not come from Kaggle, perhaps from the log-in page of your network. Log "
            "in there. {by_hand}",
            by_hand=by_hand(),
        )
    if isinstance(error, requests.RequestException):
        return t(
            "Kaggle cannot be reached: check the network connection and proxy, then try again. {by_hand}",
            by_hand=by_hand(),
        )
    if is_broken_archive(error):
        return t("The downloaded archive is damaged and was deleted. Try again. {by_hand}", by_hand=by_hand())
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return t(
            "The disk is full. The data set needs {needed_bytes:.0f} GB. Free space and try again.",
            needed_bytes=NEEDED_BYTES / 1000000000.0,
        )
    if isinstance(error, OSError):
        return t(
            "{path} cannot be written: {strerror}. Choose another folder with --output DIR.",
            path=error.filename or t("The folder"),
            strerror=error.strerror,
        )
    return t(
        "The download failed: {kind}: {error}. Try again. {by_hand}",
        kind=type(error).__name__,
        error=error,
        by_hand=by_hand(),
    )


def is_broken_archive(error: Exception) -> bool:
    """Tell whether the file came through but is not what was sent, or no archive at all."""
    from kagglehub.exceptions import DataCorruptionError  # the MD5 differs

    broken = (DataCorruptionError, zipfile.BadZipFile, zlib.error, EOFError)
    return isinstance(error, broken) or str(error) == "Unsupported archive type."
