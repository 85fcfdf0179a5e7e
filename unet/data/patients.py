"""Patients, volumes and masks of the LGG MRI segmentation data set, in the folder layout of Kaggle.

    kaggle_3m/data.csv                              clinical table, `;`-separated, numeric codes
    kaggle_3m/<patient_id>/<patient_id>_<n>.tif       (256, 256, 3) uint8: pre-contrast, FLAIR, post-contrast
    kaggle_3m/<patient_id>/<patient_id>_<n>_mask.tif  (256, 256) uint8: 0 or 255, FLAIR abnormality

The data set ships no voxel spacing, so everything here is in pixels. A file that cannot be read never
takes the rest with it: the volume keeps its other slices and says in `problems` what is wrong with which.

Source: Buda, Saha, Mazurowski (2019), doi:10.1016/j.compbiomed.2019.05.002.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from unet.data.slice_files import DataError, binary_mask, read_tiff
from unet.data.volume import Volume, copies_of_flair
from unet.language import t
from unet.paths import DEMO_FOLDER, PROJECT_FOLDER


@dataclass(frozen=True)
class Patient:
    """One case folder. `images` and `masks` map the slice number of the file name to its path."""

    patient_id: str
    folder: Path
    images: dict[int, Path]
    masks: dict[int, Path]

    @property
    def slice_numbers(self) -> list[int]:
        """Numbers as in the file names, ascending as numbers: 2 comes before 10."""
        return sorted(self.images)


def find_data_root(explicit: str | os.PathLike | None = None) -> Path:
    """Return the folder that holds the case folders.

    Looks at `explicit`, then `UNET_DATA`, `data/` in the project, the kagglehub cache and last the
    phantoms in `demo/`. A folder is searched a few levels down, as archives nest `kaggle_3m` differently.

    Raises:
        DataError: `explicit` or `UNET_DATA` names a folder without patients; neither is passed over in silence.
    """
    for source, named in ((t("the folder given"), explicit), ("UNET_DATA", os.environ.get("UNET_DATA"))):
        if named:
            folder = Path(named).expanduser()
            if root := _descend(folder):
                return root
            raise DataError(f"{source}, {folder}, {_why_unusable(folder)}")
    caches = Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))
    versions = caches.glob("datasets/mateuszbuda/lgg-mri-segmentation/versions/*")
    versions = sorted(versions, key=lambda path: (len(path.name), path.name), reverse=True)  # 10 is newer than 9
    for folder in (PROJECT_FOLDER / "data", *versions):
        if root := _descend(folder):
            return root
    return DEMO_FOLDER


def _descend(folder: Path, depth: int = 3) -> Path | None:
    """Return the first folder at or below `folder` that has case folders in it."""
    try:
        children = sorted(child for child in folder.iterdir() if child.is_dir())
        if any(next(child.glob(f"{child.name}_*.[tT][iI][fF]*"), None) for child in children):
            return folder
    except OSError:
        return None
    found = (_descend(child, depth - 1) for child in children) if depth else ()
    return next((root for root in found if root), None)


def _why_unusable(folder: Path) -> str:
    if not folder.exists():
        return t("does not exist. Check the spelling, or unset it to use the demo phantoms.")
    if not folder.is_dir():
        return t("is a file; expected the unpacked folder with one sub-folder for each patient.")
    if not os.access(folder, os.R_OK | os.X_OK):
        return t("cannot be read: permission denied. Give yourself reading rights (chmod -R u+rX).")
    return t(
        "holds no patients: expected sub-folders such as TCGA_CS_4941_19960909 with .tif slices in them. Name the "
        "folder that has them, or download the data set into this one: `python -m unet download --output {folder}`.",
        folder=folder,
    )


def list_patients(root: Path) -> tuple[list[Patient], list[str]]:
    """Return every patient below `root`, sorted by id, and what could not be used.

    A case folder that is empty or unreadable becomes a sentence in the second list; the others stay.

    Raises:
        DataError: `root` holds no patient at all.
    """
    patients, problems = [], []
    try:
        folders = sorted(child for child in root.iterdir() if child.is_dir())
    except OSError:
        raise DataError(t("The folder {root} {why_unusable}", root=root, why_unusable=_why_unusable(root))) from None
    for folder in folders:
        try:
            patient = _read_folder(folder)
        except PermissionError:
            problems.append(
                t("{folder}: cannot be read, permission denied. Give yourself reading rights.", folder=folder.name)
            )
            continue
        if patient.images:
            patients.append(patient)
        else:
            problems.append(
                t("{folder}: no slices named {folder}_<n>.tif in it; the folder is left out.", folder=folder.name)
            )
    if not patients:
        raise DataError(
            t("The folder {root} {why_unusable}", root=root, why_unusable=_why_unusable(root))
            + "".join(f"\n{line}" for line in problems)
        )
    return patients, problems


@dataclass(frozen=True)
class PatientSummary:
    """What a list of patients shows of one: cheap to find out, no picture but one is decoded."""

    slices: int
    lesion_slices: int
    missing_sequences: tuple[str, ...]


def summarise(patient: Patient) -> PatientSummary:
    """Count slices and slices with lesion, and look at the middle slice for missing sequences.

    Files that cannot be read count as nothing here; `load_volume` names them.
    """
    lesion_slices = 0
    for path in patient.masks.values():
        try:
            lesion_slices += bool(read_tiff(path, cv2.IMREAD_GRAYSCALE).any())
        except DataError:
            continue
    middle = patient.slice_numbers[len(patient.images) // 2]
    try:
        missing = copies_of_flair(read_tiff(patient.images[middle], cv2.IMREAD_COLOR_RGB))
    except DataError:
        missing = ()
    return PatientSummary(len(patient.images), lesion_slices, missing)


def _read_folder(folder: Path) -> Patient:
    """Sort the files of a case folder into slices and masks by the number in their name."""
    pattern = re.compile(re.escape(folder.name) + r"_(\d+)(_mask)?\.tiff?", re.IGNORECASE)
    images, masks = {}, {}
    for path in folder.iterdir():
        if match := pattern.fullmatch(path.name):
            (masks if match[2] else images)[int(match[1])] = path
    return Patient(folder.name, folder, images, masks)


def load_volume(patient: Patient) -> Volume:
    """Read every slice and mask of a patient.

    Slices without a readable mask keep `has_mask` False and an empty mask: they are shown but not scored.

    Raises:
        DataError: not one slice could be read.
    """
    problems, readable = [], {}
    for number in patient.slice_numbers:
        try:
            readable[number] = read_tiff(patient.images[number], cv2.IMREAD_COLOR_RGB)
        except DataError as error:
            problems.append(str(error))
    if not readable:
        raise DataError(
            t(
                "{patient_id}: none of its {count} slices can be read. {problems}",
                patient_id=patient.patient_id,
                count=len(patient.images),
                problems=" ".join(problems[:3]),
            )
        )
    usual, _ = Counter(image.shape for image in readable.values()).most_common(1)[0]
    numbers, images, masks, has_mask = [], [], [], []
    for number, image in readable.items():
        if image.shape != usual:
            problems.append(
                t(
                    "{file}: {size} pixels, where the other slices have {height}×{width}. The slice is left "
                    "out. Download the file again.",
                    file=patient.images[number].name,
                    size=_size(image),
                    height=usual[1],
                    width=usual[0],
                )
            )
            continue
        mask, problem = _read_mask(patient, number, image)
        problems += [problem] if problem else []
        numbers.append(number)
        images.append(image)
        has_mask.append(mask is not None)
        masks.append(np.zeros(image.shape[:2], np.uint8) if mask is None else mask)
    problems += _gaps(patient)
    return Volume(
        patient.patient_id,
        np.stack(images),
        np.stack(masks),
        np.array(has_mask),
        np.array(numbers),
        tuple(problems),
    )


def _gaps(patient: Patient) -> list[str]:
    """Return a sentence about slice numbers that are missing in the middle, or none."""
    listed = patient.slice_numbers
    missing = sorted(set(range(listed[0], listed[-1])) - set(listed))
    if not missing:
        return []
    return [
        t(
            "{patient_id}: slice numbers {gaps}{more} are missing. Their neighbours are shown next "
            "to each other. Download the folder again if it should be complete.",
            patient_id=patient.patient_id,
            gaps=", ".join(map(str, missing[:8])),
            more=" …" if len(missing) > 8 else "",
        )
    ]


def _read_mask(patient: Patient, number: int, image: np.ndarray) -> tuple[np.ndarray | None, str | None]:
    """Return the expected mask in {0, 1}, or None and the reason."""
    path = patient.masks.get(number)
    if path is None:
        return None, t(
            "{patient_id}_{number}_mask.tif is missing. Slice {number} is shown but not scored.",
            patient_id=patient.patient_id,
            number=number,
        )
    try:
        mask = read_tiff(path, cv2.IMREAD_GRAYSCALE)
    except DataError as error:
        return None, t("{error} Slice {number} is shown but not scored.", error=error, number=number)
    if mask.shape != image.shape[:2]:
        return None, (
            t(
                "{path}: {size} pixels, where its slice has {slice_size}. Slice {number} is shown but "
                "not scored. Download the mask again.",
                path=path.name,
                size=_size(mask),
                slice_size=_size(image),
                number=number,
            )
        )
    return binary_mask(mask), None


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
