"""Uploads to try, made from the shipped phantoms when they are asked for: files as a visitor might have them.

They are no patients: see demo/README.md. Values of headers are typical of such series and were not measured.
"""

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from scipy import ndimage

from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume
from unet.language import mark

Files = list[tuple[str, bytes]]

SPACING = (6.0, 0.92, 0.92)  # millimetres between slices, rows, columns of a phantom
LOWEST = -57.0  # millimetres, the height of its first slice
# what a scanner may write: series description, TR, TE and TI in milliseconds, seconds after the first series
_SERIES = {
    PRE_CONTRAST: ("Ax T1", 500, 12, None, 0),
    FLAIR: ("Ax T2 FLAIR", 9000, 120, 2500, 300),
    POST_CONTRAST: ("Ax T1 +C", 500, 12, None, 900),
}
_NAMES = {PRE_CONTRAST: "t1", FLAIR: "flair", POST_CONTRAST: "t1ce"}
_MOVED_BY = (9.0, 6.0, 6.0)  # pixels to the right, pixels down, degrees
_WITH_BRAIN = slice(8, 20)  # slices of phantom 2 above the eyes and below the crown, where a brain is easily cut out


@dataclass(frozen=True)
class Sample:
    """An upload to try.

    Attributes:
        key: of the sample, for the session.
        label: on its button.
        about: what can be seen with it.
        icon: Material name.
        make: returns the files, (name, content).
    """

    key: str
    label: str
    about: str
    icon: str
    make: Callable[[], Files]


def _phantom(number: int) -> Volume:
    """A shipped phantom, counted from 1."""
    return load_volume(list_patients(DEMO_FOLDER)[0][number - 1])


def _dicom_study() -> Files:
    """Three series of phantom 2 in a zip."""
    images = _phantom(2).images.astype(np.uint16) * 8
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for which, (description, *_) in _SERIES.items():
            for number, plane in enumerate(images[..., which], start=1):
                name = f"phantom_2/{description.replace(' ', '_')}/IM{number:04d}.dcm"
                archive.writestr(name, _dicom_slice(plane, which, number))
    return [("phantom_2.zip", packed.getvalue())]


def _dicom_slice(plane: np.ndarray, which: int, number: int) -> bytes:
    """One slice of a series, (height, width) uint16, as a DICOM file."""
    description, repetition, echo, inversion, later = _SERIES[which]
    root = "2.25.1962202609"  # of no institution: made from a number, PS3.5 B.2
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{root}.{which + 1}.{number}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(root), UID(f"{root}.{which + 1}")
    dataset.FrameOfReferenceUID = UID(f"{root}.9")
    dataset.PatientName, dataset.PatientID = "Phantom^Two", "PHANTOM"
    dataset.Modality, dataset.SeriesDescription = "MR", description
    dataset.SeriesNumber, dataset.InstanceNumber = which + 1, number
    dataset.RepetitionTime, dataset.EchoTime, dataset.InversionTime = repetition, echo, inversion
    dataset.AcquisitionTime = f"10{later // 60:02d}00"
    if which == POST_CONTRAST:
        dataset.ContrastBolusAgent = "none: a phantom"
    depth, row, column = SPACING
    height, width = plane.shape
    dataset.ImagePositionPatient = [-column * width / 2, -row * height / 2, LOWEST + depth * (number - 1)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [row, column], depth
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = height, width
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = np.ascontiguousarray(plane).tobytes()
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _nifti(planes: np.ndarray, first: int = 0) -> bytes:
    """Planes, (slices, height, width), as a `.nii.gz` of int16; `first` is the number of the first, from 0."""
    depth, row, column = SPACING
    height, width = planes.shape[1:]
    affine = np.diag([-column, -row, depth, 1.0])
    affine[:3, 3] = column * width / 2, row * height / 2, LOWEST + depth * first
    image = nibabel.Nifti1Image(np.ascontiguousarray(planes.transpose(2, 1, 0)).astype(np.int16), affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _nifti_study() -> Files:
    """Three sequences of phantom 1 and its mask."""
    phantom = _phantom(1)
    files = [(f"phantom_1_{name}.nii.gz", _nifti(phantom.images[..., which])) for which, name in _NAMES.items()]
    return [*files, ("phantom_1_seg.nii.gz", _nifti(phantom.expected_mask))]


def _pictures() -> Files:
    """One slice of phantom 3 as three pictures."""
    index = 12
    plane = _phantom(3).images[index]
    pictures = ((name, cv2.imencode(".png", plane[..., which])[1]) for which, name in _NAMES.items())
    return [(f"phantom_3_slice_{index + 1}_{name}.png", picture.tobytes()) for name, picture in pictures]


def _moved() -> Files:
    """Three sequences of phantom 6, FLAIR where the head lay before the patient moved."""
    images = _phantom(6).images
    right, down, degrees = _MOVED_BY
    height, width = images.shape[1:3]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += right, down
    files = []
    for which, name in _NAMES.items():
        planes = images[..., which]
        if which != FLAIR:
            planes = np.stack([cv2.warpAffine(plane, matrix, (width, height)) for plane in planes])
        files.append((f"phantom_6_{name}.nii.gz", _nifti(planes)))
    return files


def _stripped() -> Files:
    """Three sequences of phantom 2 without skull and scalp, as BraTS and HD-BET give them."""
    images = _phantom(2).images[_WITH_BRAIN]
    brain = np.stack([_brain(plane) for plane in images[..., PRE_CONTRAST]])
    return [
        (f"phantom_2_stripped_{name}.nii.gz", _nifti(images[..., which] * brain, _WITH_BRAIN.start))
        for which, name in _NAMES.items()
    ]


def _brain(plane: np.ndarray) -> np.ndarray:
    """Cut the brain out of a phantom's T1 slice, (height, width) uint8: 12 mm below the skin, and no fat."""
    smooth = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), 1)
    head = cv2.morphologyEx((smooth > 14).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    head = np.pad(ndimage.binary_fill_holes(head).astype(np.uint8), 1)
    depth = cv2.distanceTransform(head, cv2.DIST_L2, 5)[1:-1, 1:-1]
    tissue = ((smooth > 24) & (smooth < 85) & (depth > 13)).astype(np.uint8)
    tissue = cv2.morphologyEx(tissue, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, sizes, _ = cv2.connectedComponentsWithStats(tissue)
    large = [label for label in range(1, count) if sizes[label, cv2.CC_STAT_AREA] > 200]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21))
    closed = cv2.morphologyEx(np.isin(labels, large).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    return cv2.dilate(ndimage.binary_fill_holes(closed).astype(np.uint8), np.ones((3, 3), np.uint8))


SAMPLES = (
    Sample(
        "dicom",
        mark("DICOM study"),
        mark("A zip with three series of 24 slices, as from an archive."),
        ":material/folder_zip:",
        _dicom_study,
    ),
    Sample(
        "nifti",
        mark("NIfTI with a mask"),
        mark("Three sequences and the expected mask, which the prediction is scored against."),
        ":material/deployed_code:",
        _nifti_study,
    ),
    Sample(
        "png",
        mark("PNG pictures"),
        mark("One slice as three pictures, without millimetres."),
        ":material/image:",
        _pictures,
    ),
    Sample(
        "moved",
        mark("The head moved"),
        mark("The head lies elsewhere on the T1 series than on FLAIR."),
        ":material/swap_calls:",
        _moved,
    ),
    Sample(
        "stripped",
        mark("Without a skull"),
        mark("Skull and scalp are removed, as in BraTS. The network was trained on whole heads."),
        ":material/content_cut:",
        _stripped,
    ),
)
