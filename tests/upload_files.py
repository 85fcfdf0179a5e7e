"""Files as strangers send them, made from arrays: DICOM series, NIfTI, TIFF stacks, PNG."""

import gzip
import io
import tarfile
import zipfile
from typing import Any

import cv2
import nibabel
import numpy as np
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

# file indices (column, row, slice) to RAS+ millimetres of an axial stack: columns to the left, rows to the back
AXIAL = np.array([[-1.0, 0, 0, 128], [0, -1.0, 0, 128], [0, 0, 6.0, -60], [0, 0, 0, 1]])


def dicom_slice(image: np.ndarray, position=(0.0, 0.0, 0.0), **changes) -> Dataset:
    """A complete MR slice of uint16; keywords replace or, with None, remove elements."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    values = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5",
        "PatientName": "Doe^Jane",
        "PatientID": "SECRET-4711",
        "PatientBirthDate": "19500101",
        "Modality": "MR",
        "SeriesDescription": "ax FLAIR",
        "InstanceNumber": 1,
        "ImagePositionPatient": list(position),
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1.0, 1.0],
        "SliceThickness": 6.0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": image.shape[0],
        "Columns": image.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": np.ascontiguousarray(image, np.uint16).tobytes(),
    } | changes
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def enhanced_slices(planes: np.ndarray) -> Dataset:
    """One multi-frame file of planes, (slices, height, width) uint16, from the head to the feet, 5 mm apart."""
    count = len(planes)
    file = dicom_slice(planes[0], NumberOfFrames=count, PixelData=planes.tobytes(), ImagePositionPatient=None)
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    file.PerFrameFunctionalGroupsSequence = []
    for number in reversed(range(count)):
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, 5.0 * number]
        group.PlanePositionSequence = [position]
        file.PerFrameFunctionalGroupsSequence.append(group)
    return file


def dicom_bytes(dataset: Dataset) -> bytes:
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def dicom_series(stack: np.ndarray, description="ax FLAIR", uid="1.2.3.4", spacing=(6.0, 1.0, 1.0), shuffle=True):
    """(slices, height, width) as one file a slice, from the feet to the head, named in no order."""
    names = np.random.default_rng(0).permutation(len(stack)) if shuffle else np.arange(len(stack))
    return [
        (
            f"IM{names[number]:04d}",
            dicom_bytes(
                dicom_slice(
                    image,
                    (-128.0, -128.0, -60 + spacing[0] * number),
                    SeriesDescription=description,
                    SeriesInstanceUID=uid,
                    InstanceNumber=number + 1,
                    PixelSpacing=[spacing[1], spacing[2]],
                    SliceThickness=spacing[0],
                )
            ),
        )
        for number, image in enumerate(stack)
    ]


def dicom_study(images: np.ndarray) -> list[tuple[str, bytes]]:
    """(slices, height, width, 3) as three series: T1, FLAIR, T1 with contrast."""
    files = []
    for channel, description in enumerate(("ax T1 pre", "ax FLAIR", "ax T1 post gd")):
        series = dicom_series(images[..., channel], description, f"1.2.3.4.{channel}")
        files += [(f"{channel}/{name}", content) for name, content in series]
    return files


def nifti_bytes(array: np.ndarray, affine=AXIAL, unit: str | None = "mm") -> bytes:
    """An array in the file's own order, (columns, rows, slices[, channels]), as `.nii`."""
    image = nibabel.Nifti1Image(array, affine)
    if unit:
        image.header.set_xyzt_units(unit)
    return image.to_bytes()


def nifti_of(images: np.ndarray) -> bytes:
    """(slices, height, width, 3) as a 4-D NIfTI, sequences last."""
    return nifti_bytes(np.ascontiguousarray(images.transpose(2, 1, 0, 3)).astype(np.int16))


def tiff_bytes(array: np.ndarray, **options) -> bytes:
    written = io.BytesIO()
    tifffile.imwrite(written, array, **options)
    return written.getvalue()


def png_bytes(image: np.ndarray) -> bytes:
    """Grey or RGB(A), 8 or 16 bit."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2] if image.ndim == 3 else 0)
    return cv2.imencode(".png", image if order is None else np.ascontiguousarray(image[..., order]))[1].tobytes()


def zip_bytes(files: list[tuple[str, bytes]], compression=zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return written.getvalue()


def tar_bytes(files: list[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def mgz_bytes(stack: np.ndarray) -> bytes:
    """(slices, height, width) as FreeSurfer writes it, placed as `AXIAL`."""
    array = np.ascontiguousarray(stack.transpose(2, 1, 0), np.float32)
    image: Any = nibabel.MGHImage  # nibabel's stubs know arrays of float64 only
    return gzip.compress(image(array, AXIAL).to_bytes(), mtime=0)


def picture_bytes(image: np.ndarray, kind: str, **options) -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).save(written, kind, **options)
    return written.getvalue()
