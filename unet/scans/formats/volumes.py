"""What the readers of volumes share: room for the values, bounded unpacking, and the way from an array to a Scan."""

from dataclasses import replace

import numpy as np
from nibabel.nifti1 import Nifti1Header

from unet.language import t
from unet.scans.formats.archives import bunzip, gunzip
from unet.scans.formats.nifti import check_sides, scan_of
from unet.scans.limits import MAX_CHANNELS, MAX_DECODED
from unet.scans.placement import Placement, usable_affine, usable_spacing
from unet.scans.scan import IngestError, Room, Scan, finished

_DENSEST = 4 * 1032  # to 1: twice what deflate packs, once in a file and once in an archive around it
_DENSEST_BZIP2 = 2000  # far beyond any picture; zeros reach more than 20,000
_FREE_BYTES = 64 << 20  # below this bzip2 may be as dense as it likes


def reserve(name: str, shape: tuple[int, ...], dtype: np.dtype, room: Room) -> int:
    """Take room for a volume that a header describes, before any of it is unpacked; return its bytes in the file.

    Args:
        name: of the file.
        shape: columns, rows, slices and any further axes.
        dtype: of the values in the file.
        room: memory that is left.

    Raises:
        IngestError: it has an axis without values, or is too large.
    """
    if min(shape) < 1 or not dtype.itemsize:
        raise IngestError(t("{name}: the header describes a picture without pixels. Export it again.", name=name))
    check_sides(name, shape)
    volumes = int(np.prod(shape[3:], dtype=object))
    room.take(name, (1, shape[1], shape[0]), shape[2] * min(volumes, MAX_CHANNELS), dtype.itemsize)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size > MAX_DECODED:
        raise IngestError(
            t(
                "{name}: {size:,.0f} MB once decoded; an upload may decode to {max_decoded} MB. Save fewer volumes.",
                name=name,
                size=size / 2**20,
                max_decoded=MAX_DECODED >> 20,
            )
        )
    return size


def unpacked(data: bytes, size: int, name: str) -> bytes:
    """Return bytes unpacked where they are gzip, zlib or bzip2.

    Args:
        data: packed or not.
        size: bytes that the header announces; the file may hold some more.
        name: of the file.

    Raises:
        IngestError: they hold less or more than the header announces, or are damaged.
    """
    bzip2, room = data.startswith(b"BZh"), size + (1 << 20)
    densest = max(_FREE_BYTES, _DENSEST_BZIP2 * len(data)) if bzip2 else _DENSEST * len(data) + (1 << 20)
    if size > densest:
        raise IngestError(
            t("{name}: the header announces {end:,} bytes, more than the file can hold.", name=name, end=size)
        )
    return (bunzip if bzip2 else gunzip)(data, name, room)


def volume_scan(
    array: np.ndarray,
    affine: np.ndarray | None,
    spacing: tuple[float, ...] | None,
    name: str,
    file_format: str,
    notes: tuple[str, ...] = (),
    bits: int | None = None,
) -> Scan:
    """Return an array as a scan; its masks are written as NIfTI, on the same grid.

    Args:
        array: columns, rows, slices and any further axes, as in the file.
        affine: 4 × 4, indices to RAS+ millimetres, or None where the header is silent.
        spacing: millimetres between columns, rows and slices, where there is no affine; None where they are unknown.
        name: of the file.
        file_format: for people.
        notes: about the header.
        bits: of a value in the file, where the array is scaled already.
    """
    bits = bits or 8 * array.dtype.itemsize
    header = Nifti1Header()
    header.set_data_shape(array.shape[:3])
    if affine is not None and not usable_affine(affine):
        affine, spacing = None, None
        notes = (*notes, t("The orientation in the header is impossible. It was ignored."))
    if affine is not None:
        header.set_sform(affine, 1)
    elif spacing is not None and usable_spacing(spacing):
        header["pixdim"][1:4] = spacing
    if affine is not None or spacing is not None:
        header.set_xyzt_units("mm")
    scan = scan_of(array, header, name)
    if affine is None:  # these formats count rows downwards, and a NIfTI that says nothing counts them upwards
        scan = replace(scan, voxels=scan.voxels[:, ::-1], placement=Placement((2, 1, 0)), source=None)
    return finished(replace(scan, file_format=file_format, bit_depth=bits, notes=(*notes, *scan.notes)))
