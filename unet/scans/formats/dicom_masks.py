"""Masks in DICOM, segmentations and contours: scans that are no pictures, read after the pictures of an upload."""

import warnings
from collections.abc import Callable

from unet.language import t
from unet.scans.contents import Content
from unet.scans.formats.dicom_class import CONTOURS, dicom_class
from unet.scans.formats.dicom_contours import read_contours
from unet.scans.formats.dicom_segmentation import read_segmentation
from unet.scans.scan import IngestError, Room, Scan, finished


def read_masks(
    files: list[tuple[str, Content]],
    pictures: list[Scan],
    room: Room,
    unforeseen: Callable[[str, Exception], str],
    starting: Callable[[int], None],
) -> tuple[list[Scan], list[str]]:
    """Read the segmentations and contours of an upload.

    Args:
        files: (name, content).
        pictures: what else the upload holds.
        room: memory that is left.
        unforeseen: what to say of a file whose reading fails in a way of its own.
        starting: called with the position of a file before it is read.

    Returns:
        One scan for each file, and a sentence for each that was left out.
    """
    scans, problems = [], []
    for number, (name, content) in enumerate(files):
        starting(number)
        try:
            if not pictures:
                raise IngestError(t("{name}: a mask without its picture. Upload the series with it.", name=name))
            data = content.read()
            read = read_contours if dicom_class(data) == CONTOURS else read_segmentation
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they quote values of the header, which may name a patient
                scans.append(finished(read(data, name, pictures, room)))
        except IngestError as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(unforeseen(name, error))
    return scans, problems
