"""Patients that a visitor uploads in the layout of the data set, laid into a private folder for the usual reader.

Uploads are hostile: names decide nothing but a patient's id, its slice number and whether it is a mask; a header that
promises more than a slice is refused before anything is decoded.
"""

import io
import re
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from unet.data import DataError

MAX_SIDE = 1024  # pixels; the data set has 256
MAX_FILE = 8 * 2**20  # bytes
MAX_FILES = 8000  # the whole data set has 7,858
MAX_BYTES = 600 * 2**20
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,79})_([0-9]{1,4})(_mask)?\.tiff?", re.IGNORECASE | re.ASCII)


def store_patients(files: Iterable[tuple[str, bytes]], folder: Path) -> list[str]:
    """Write slices and masks into case folders below `folder`, and return what was left out, a sentence each.

    Args:
        files: name and content, `<patient>_<n>.tif` and `<patient>_<n>_mask.tif`; folders in the name are ignored.
        folder: private to the visitor, empty.

    Raises:
        DataError: too many files or bytes, or not one slice among them.
    """
    problems, slices, total = [], 0, 0
    for count, (name, content) in enumerate(files, 1):
        total += len(content)
        if count > MAX_FILES or total > MAX_BYTES:
            raise DataError(f"more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MB; upload fewer patients at a time")
        plain = re.split(r"[/\\]", name)[-1]
        match = _NAME.fullmatch(plain)
        if match is None:
            problems.append(f"{plain[:80]}: not named <patient>_<n>.tif or <patient>_<n>_mask.tif; left out.")
            continue
        if problem := _unreadable(content):
            problems.append(f"{plain[:80]}: {problem}; left out.")
            continue
        patient_id, number, mask = match[1], int(match[2]), match[3]
        case = folder / patient_id
        case.mkdir(exist_ok=True)
        (case / f"{patient_id}_{number}{'_mask' if mask else ''}.tif").write_bytes(content)
        slices += not mask
    if not slices:
        raise DataError(
            "no slice among the files; expected a folder for each patient with <patient>_<n>.tif (pre-contrast, FLAIR, "
            "post-contrast) and <patient>_<n>_mask.tif. " + " ".join(problems[:3])
        )
    return problems


def _unreadable(content: bytes) -> str | None:
    """Say why a file is refused, by its header alone."""
    if len(content) > MAX_FILE:
        return f"{len(content) >> 20} MB, a slice has at most {MAX_FILE >> 20}"
    try:
        with Image.open(io.BytesIO(content), formats=("TIFF",)) as image:  # reads the header only
            if max(image.size) > MAX_SIDE:
                return f"{image.width}×{image.height} pixels, a slice has at most {MAX_SIDE}×{MAX_SIDE}"
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        KeyError,
        TypeError,
        Image.DecompressionBombError,
    ):
        return "no TIFF that can be read"
    return None
