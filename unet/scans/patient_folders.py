"""Patients that a visitor uploads in the layout of the data set, laid into a private folder for the usual reader.

Uploads are hostile: names decide nothing but a patient's id, its slice number and whether it is a mask; the bytes are
decoded in a child process as those of any upload, and only what came out of it is written.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from unet.data.slice_files import DataError
from unet.language import t
from unet.scans.sandbox import read_upload
from unet.scans.scan import IngestError, Scan

MAX_SIDE = 1024  # pixels; the data set has 256
MAX_FILE = 8 * 2**20  # bytes
MAX_BYTES = 300 * 2**20  # of all files, which are in memory at once
MAX_FILES = 5000  # what the server lets in, `views.server.uploads`
# shorter than what the child cuts off, so that a name comes back as it went
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,59})_([0-9]{1,4})(_mask)?\.tiff?", re.IGNORECASE | re.ASCII)


def store_patients(files: Iterable[tuple[str, bytes]], folder: Path) -> list[str]:
    """Write slices and masks into case folders below `folder`, and return what was left out, a sentence each.

    Args:
        files: name and content, `<patient>_<n>.tif` and `<patient>_<n>_mask.tif`; folders in the name are ignored.
        folder: private to the visitor, empty.

    Raises:
        DataError: too many files or bytes, or not one slice among them.
    """
    patients, problems = _by_patient(files)
    slices = 0
    for patient_id, own in patients.items():
        try:
            scans, sentences = read_upload(own, stacked=False)
        except IngestError as error:
            problems.append(f"{patient_id}: {error}")
            continue
        problems += sentences
        for scan in scans:
            match = _NAME.fullmatch(scan.name)
            try:
                if match is None or match[1] != patient_id:
                    raise DataError(t("came out of an archive; expected the TIFF itself"))
                picture = as_in_the_data_set(scan, ("TIFF",))
            except DataError as error:
                problems.append(t("{scan}: {error}; left out.", scan=scan.name, error=error))
                continue
            _, number, mask = match.groups()
            case = folder / patient_id
            case.mkdir(exist_ok=True)
            write_tiff(case / f"{patient_id}_{int(number)}{'_mask' if mask else ''}.tif", picture)
            slices += not mask
    if not slices:
        raise DataError(
            t(
                "The files hold no slice. Expected a folder for each patient with <patient>_<n>.tif "
                "(pre-contrast, FLAIR, post-contrast) and <patient>_<n>_mask.tif. "
            )
            + " ".join(problems[:3])
        )
    return problems


def write_tiff(path: Path, picture: np.ndarray) -> None:
    """Write (height, width) or RGB (height, width, 3), uint8, as the data set's reader takes it.

    Raises:
        OSError: the file cannot be written; `cv2.imwrite` would only return False.
    """
    stored = np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture
    path.write_bytes(cv2.imencode(".tif", stored)[1].tobytes())


def _by_patient(files: Iterable[tuple[str, bytes]]) -> tuple[dict[str, list[tuple[str, bytes]]], list[str]]:
    """Return patient → its files, and a sentence for each file that is none of a patient."""
    patients, problems, total = defaultdict(list), [], 0
    for count, (name, content) in enumerate(files, 1):
        total += len(content)
        if count > MAX_FILES or total > MAX_BYTES:
            raise DataError(
                t(
                    "more than {max_files:,} files or {max_upload_bytes} MB. Upload fewer patients at a time.",
                    max_files=MAX_FILES,
                    max_upload_bytes=MAX_BYTES >> 20,
                )
            )
        own = re.split(r"[/\\]", name)[-1]
        match = _NAME.fullmatch(own)
        if match is None:
            problems.append(t("{own}: not named <patient>_<n>.tif or <patient>_<n>_mask.tif; left out.", own=own[:80]))
        elif len(content) > MAX_FILE:
            problems.append(
                t(
                    "{own}: {count} MB, a slice has at most {max_file}; left out.",
                    own=own,
                    count=len(content) >> 20,
                    max_file=MAX_FILE >> 20,
                )
            )
        else:
            patients[match[1]].append((own, content))
    return patients, problems


def as_in_the_data_set(scan: Scan, formats: tuple[str, ...]) -> np.ndarray:
    """Return (height, width, 3) uint8; equal colours, which the reader gives as one, are three again.

    Raises:
        DataError: another format, several pictures, not 8 bits, or larger than 1024 pixels.
    """
    count, height, width, channels = scan.voxels.shape
    if scan.file_format not in formats or count > 1:
        raise DataError(
            t(
                "{file_format} of {count} pictures; expected a {formats} of one picture",
                file_format=scan.file_format,
                count=count,
                formats=" or ".join(formats),
            )
        )
    if max(height, width) > MAX_SIDE:
        raise DataError(
            t(
                "{width}×{height} pixels, a slice has at most {max_side}×{max_side}",
                width=width,
                height=height,
                max_side=MAX_SIDE,
            )
        )
    if scan.bit_depth not in (1, 8) or channels not in (1, 3):
        raise DataError(
            t(
                "{channels} channels of {bit_depth} bits; expected one or three of 8",
                channels=channels,
                bit_depth=scan.bit_depth,
            )
        )
    picture = scan.voxels[0] * (255 if scan.bit_depth == 1 else 1)
    return np.broadcast_to(picture, (height, width, 3)).astype(np.uint8)
