"""Take slices with masks from a visitor, for a run of their own: decoded in a child process, written anew."""

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from unet.data.patients import Patient
from unet.data.slice_files import DataError, binary_mask
from unet.language import t
from unet.scans.patient_folders import as_in_the_data_set, write_tiff
from unet.scans.sandbox import read_upload
from unet.scans.scan import IngestError
from views.server.stored_files import contents_of
from views.shared import page
from views.shared.uploader import say_refusals

UPLOAD = "upload"
MAX_FILES = 2000
# shorter than what the child cuts off, so that a name comes back as it went
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,59}?)_([0-9]{1,4})(_mask)?\.(?:tiff?|png)", re.IGNORECASE | re.ASCII)


def ask_for_slices() -> list[Patient]:
    """Show where to drop slices and masks, and return their patients, under the ids that a run gives them.

    Raises:
        DataError: a name that is no slice's, too many files, or no slice has a mask.
    """
    files = st.file_uploader(
        t("Slices and masks"), ["tif", "tiff", "png"], accept_multiple_files=True, key="train_upload",
        help=t("Named PATIENT_1.tif with its mask PATIENT_1_mask.tif, as in the data set: pre-contrast, FLAIR and "
        "post-contrast as red, green and blue; the mask black and white."),
    )  # fmt: skip
    say_refusals()
    st.caption(
        t(
            "The slices stay in the folder of the run on this server until the run is deleted. "
            "Everyone who uses the server sees its pictures. Upload only what may be shown. File "
            "names are not kept."
        )
    )
    by_patient = _by_patient(files)
    if by_patient:
        names = [f"{own_id(number)} is {page.plain(name)}" for number, name in enumerate(by_patient, 1)]
        st.caption(", ".join(names[:20]) + (" …" if len(names) > 20 else ""))
    return [
        Patient(own_id(number), Path(own_id(number)), dict.fromkeys(slices, Path()), dict.fromkeys(slices, Path()))
        for number, slices in enumerate(by_patient.values(), 1)
    ]


def own_id(number: int) -> str:
    """Return the id of an uploaded patient in its run: other visitors see it, so it holds nothing of a file's name.

    >>> own_id(3)
    'upload_003'
    """
    return f"upload_{number:03d}"


def store_slices(destination: Path, reserve: Callable[[int], None]) -> None:
    """Decode what was dropped, and write it in the layout of the data set.

    Args:
        destination: made; for its owner only.
        reserve: called before anything of a patient is written, with the bytes it takes; raises to refuse them.

    Raises:
        DataError: a file is no picture of 8 bits, too large, or no slice has a mask.
    """
    destination.mkdir(mode=0o700)
    for order, slices in enumerate(_by_patient(st.session_state.get("train_upload") or []).values(), 1):
        pictures = decode([file for pair in slices.values() for file in pair])
        reserve(sum(picture.nbytes for picture in pictures.values()))
        name = own_id(order)
        (destination / name).mkdir()
        for number, (image, mask) in slices.items():
            picture, drawn = pictures[image.name], pictures[mask.name]
            if picture.shape != drawn.shape:
                raise DataError(t("{mask} and its slice differ in size. Draw the mask on the slice.", mask=mask.name))
            write_tiff(destination / name / f"{name}_{number}.tif", picture)
            write_tiff(destination / name / f"{name}_{number}_mask.tif", 255 * binary_mask(drawn.max(axis=-1)))


def kept_bytes(runs: Path) -> int:
    """Return the decoded bytes of this visit's uploads in runs that are still there."""
    own: dict[str, int] = st.session_state.get("own_uploads", {})
    return sum(size for run_id, size in own.items() if (runs / run_id).exists())


def keep_in_mind(run_id: str, size: int) -> None:
    """Note that this visit has uploaded slices for a run."""
    st.session_state.setdefault("own_uploads", {})[run_id] = size


def is_own(run_id: str) -> bool:
    """Return whether this visit has uploaded the slices of a run."""
    return run_id in st.session_state.get("own_uploads", {})


def _by_patient(files: list[UploadedFile]) -> dict[str, dict[int, tuple[UploadedFile, UploadedFile]]]:
    """Return patient → slice number → (slice, mask), of the slices that have both."""
    if len(files) > MAX_FILES:
        raise DataError(
            t("{count} files; at most {max_files} are allowed at once.", count=len(files), max_files=MAX_FILES)
        )
    found: dict[str, dict[tuple[int, bool], UploadedFile]] = defaultdict(dict)
    for file in files:
        match = _NAME.fullmatch(file.name)
        if not match:
            raise DataError(
                t("{file}: expected names such as PATIENT_1.tif and PATIENT_1_mask.tif.", file=file.name[:80])
            )
        found[match[1]][int(match[2]), bool(match[3])] = file
    pairs = {
        name: {n: (slices[n, False], slices[n, True]) for n, mask in slices if mask and (n, False) in slices}
        for name, slices in found.items()
    }
    pairs = {name: slices for name, slices in sorted(pairs.items()) if slices}
    if files and not pairs:
        raise DataError(t("No slice has a mask: PATIENT_1.tif needs PATIENT_1_mask.tif."))
    return pairs


def decode(files: list) -> dict[str, np.ndarray]:
    """Return (height, width, 3) uint8 by file name.

    Raises:
        DataError: one of them is no TIFF or PNG of one picture of 8 bits, or larger than 1024 pixels.
    """
    try:
        scans, problems = read_upload([(file.name, contents_of(file)) for file in files], stacked=False)
    except IngestError as error:
        raise DataError(str(error)) from None
    if problems:
        raise DataError(problems[0])
    pictures = {}
    for scan in scans:
        try:
            pictures[scan.name] = as_in_the_data_set(scan, ("TIFF", "PNG"))
        except DataError as error:
            raise DataError(f"{scan.name}: {error}.") from None
    if missing := [file.name for file in files if file.name not in pictures]:
        raise DataError(
            t(
                "{missing}: expected a TIFF or PNG of one picture, not an archive and not several pages.",
                missing=missing[0],
            )
        )
    return pictures
