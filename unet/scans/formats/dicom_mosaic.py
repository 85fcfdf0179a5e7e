"""Siemens mosaics: the slices of a volume side by side in one picture, as functional and diffusion series store them.

The header's position is that of a picture as large as the mosaic around the same centre, so it is moved to the corner
of a slice. Source: nibabel's documentation, "Siemens mosaic format"; nibabel reads the CSA header.
"""

from dataclasses import replace

import numpy as np
import pydicom
from pydicom.multival import MultiValue

from unet.language import t
from unet.scans.formats.dicom_frames import Frame, value_of
from unet.scans.formats.dicom_series import slice_normal
from unet.scans.scan import IngestError, check_shape

_COUNT = (0x0019, 0x0A)  # group and element of the private tag that repeats the number of slices
SAME_LINE = 0.01  # of cosines: the CSA header's normal may only turn the sign of the orientation's


def is_mosaic(header: pydicom.Dataset) -> bool:
    """Tell whether the header calls its picture a mosaic."""
    value = value_of(header, "ImageType")
    return "MOSAIC" in [str(word) for word in (value if isinstance(value, (list, MultiValue)) else [])]


def unfold(header: pydicom.Dataset, mosaic: Frame, name: str) -> list[Frame]:
    """Return the slices of a mosaic as frames, in the order in which they fill it.

    Args:
        header: of the file.
        mosaic: the whole picture as one frame.
        name: of the file, for the message.

    Raises:
        IngestError: the header does not say how many slices there are, or the picture is no grid of so many.
    """
    count, direction = _from_csa(header)
    count = count or _from_private_tag(header)
    side = int(np.ceil(np.sqrt(max(count, 1))))
    rows, columns = mosaic.key[1:3]
    if count < 1 or rows % side or columns % side:
        raise IngestError(
            t(
                "{name}: a Siemens mosaic, many slices in one picture, whose header does not say how they lie in it. "
                "Export the series with its private tags, or convert it to NIfTI with dcm2niix.",
                name=name,
            )
        )
    height, width = rows // side, columns // side
    check_shape(name, (count, height, width))
    first, step = _place(mosaic, direction, (rows - height) / 2, (columns - width) / 2)
    frames = []
    for number in range(count):
        position = None if first is None else tuple(float(one) for one in first + number * step)
        frames.append(
            replace(
                mosaic,
                index=number,
                key=(mosaic.key[0], height, width, *mosaic.key[3:]),
                position=position,
                tile=(number // side * height, number % side * width),
                # a slice inside a mosaic has no name of its own that another file could refer to
                reference=mosaic.reference | {"class": "", "position": position},
            )
        )
    return frames


def _from_csa(header: pydicom.Dataset) -> tuple[int, np.ndarray | None]:
    """Return from Siemens' own header the number of slices, or 0, and the direction in which they follow each other."""
    from nibabel.nicom import csareader  # takes a tenth of a second, which other series need not pay

    try:
        csa = csareader.get_csa_header(header) or {"tags": {}}
        normal = csareader.get_slice_normal(csa)
        return int(csareader.get_n_mosaic(csa) or 0), None if normal is None else np.array(normal, float)
    except Exception:  # nibabel raises many kinds for a damaged header
        return 0, None


def _from_private_tag(header: pydicom.Dataset) -> int:
    """Return how many slices the shorter private group says there are, or 0."""
    try:
        return int(header.private_block(_COUNT[0], "SIEMENS MR HEADER")[_COUNT[1]].value)
    except Exception:  # absent, or a damaged value, which pydicom converts on access
        return 0


def _place(
    mosaic: Frame, direction: np.ndarray | None, down: float, right: float
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the position of the first slice and the step to the next one, in millimetres, or None and zeros.

    Args:
        mosaic: the whole picture.
        direction: in which the slices follow each other, as far as Siemens' own header tells.
        down: pixels between the top of the mosaic and that of a slice in its centre.
        right: the same from the left.
    """
    spacing, thickness = mosaic.reference["spacing"], mosaic.reference["thickness"]
    normal = slice_normal(mosaic.orientation) if mosaic.orientation else None
    if mosaic.orientation is None or normal is None or mosaic.position is None or not spacing or not thickness:
        return None, np.zeros(3)
    along_row, along_column = np.array(mosaic.orientation[:3]), np.array(mosaic.orientation[3:])
    first = np.array(mosaic.position) + down * spacing[0] * along_column + right * spacing[1] * along_row
    if direction is not None and abs(float(direction @ normal) + 1) < SAME_LINE:
        normal = -normal
    return first, thickness * normal
