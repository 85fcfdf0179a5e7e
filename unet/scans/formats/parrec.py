"""Philips' pair, `.PAR` and `.REC`, into a Scan. nibabel reads the header and puts the slices in their order."""

import io
import warnings
from typing import Any

import numpy as np
from nibabel.parrec import PARRECHeader, parse_PAR_header

from unet.language import t
from unet.scans.formats.nifti import values_of
from unet.scans.formats.volumes import reserve, volume_scan
from unet.scans.limits import MAX_CHANNELS, MAX_SLICES
from unet.scans.scan import IngestError, Room, Scan

_MAX_HEADER = 8 << 20  # bytes; an image takes a line of some 250


def read_parrec(data: bytes, name: str, room: Room, parts: list[bytes]) -> Scan:
    """Read one scan of Philips.

    Args:
        data: the `.PAR`.
        name: for messages.
        room: memory that is left.
        parts: the `.REC`.

    Raises:
        IngestError: it cannot be used.
    """
    notes: list[str] = []
    try:
        header = _header(data[:_MAX_HEADER].decode("latin-1"), name, notes)
        shape: tuple[int, ...] = tuple(int(size) for size in header.get_data_shape())
        if len(shape) < 3:
            raise ValueError
        dtype, affine = header.get_data_dtype(), header.get_affine()
        slopes, intercepts = (one.reshape(-1, order="F") for one in header.get_data_scaling())
        order, stored = header.get_sorted_slice_indices(), header.get_rec_shape()
    except IngestError:
        raise
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise IngestError(t("{name}: the PAR header is damaged. Copy or convert the file again.", name=name)) from error
    if not parts:
        raise IngestError(
            t("{name}: a header without its values. Upload the .REC file of the same name with it.", name=name)
        )
    reserve(name, shape, dtype, room)
    array = values_of(parts[0], tuple(int(size) for size in stored), dtype, 0, name)
    volumes = min(MAX_CHANNELS, shape[3] if len(shape) > 3 else 1)
    if len(shape) > 3 and shape[3] > volumes:
        notes.append(
            t(
                "The file holds {channels} volumes, as in a time series. The first {max_channels} are used.",
                channels=shape[3],
                max_channels=MAX_CHANNELS,
            )
        )
    used = shape[2] * volumes
    voxels = array[..., order[:used]].astype(np.float32)
    voxels *= slopes[:used].astype(np.float32)
    voxels += intercepts[:used].astype(np.float32)
    voxels = voxels.reshape(*shape[:3], volumes, order="F")
    return volume_scan(voxels, affine, None, name, "PAR/REC", tuple(notes), 8 * dtype.itemsize)


def _header(text: str, name: str, notes: list[str]) -> PARRECHeader:
    """Read a header; one that was cut off while the scanner worked keeps its whole volumes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info, images = parse_PAR_header(io.StringIO(text))
        if not 1 <= int(info["max_slices"]) <= MAX_SLICES:  # nibabel makes a set of all these numbers
            raise ValueError
        numbers: Any = images  # nibabel states no type of its table
        if (found := len(set(numbers["slice number"]))) < info["max_slices"]:  # nibabel would place them wrongly
            raise IngestError(
                t(
                    "{name}: the header describes {found} of {announced} slices. Export the scan again.",
                    name=name,
                    found=found,
                    announced=info["max_slices"],
                )
            )
        try:
            return PARRECHeader(info, images)
        except Exception:  # says that something is missing, or that something else is wrong
            header = PARRECHeader(info, images, permit_truncated=True)
    notes.append(t("The header announces more slices or volumes than the file holds. Whole volumes are used."))
    return header
