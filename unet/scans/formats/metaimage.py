"""MetaImage (ITK's MHA, and MHD with its data files) into a Scan.

No kept library is light: SimpleITK takes 264 MB, and those in Python alone open every file that a header names and
unpack without a limit (docs/decisions.md). The header is lines of `key = value`.
Source: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

import re
from dataclasses import dataclass

import numpy as np

from unet.language import t
from unet.scans.formats.nifti import values_of
from unet.scans.formats.volumes import reserve, unpacked, volume_scan
from unet.scans.placement import LPS_TO_RAS
from unet.scans.scan import IngestError, Room, Scan

_MAX_HEADER = 1 << 20  # bytes
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # 32 bits in MetaIO, whatever the machine
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}


@dataclass(frozen=True, eq=False)
class _Header:
    """What the reader needs of a header.

    Attributes:
        shape: columns, rows and any further axes.
        channels: values of one voxel, which lie side by side.
        affine: 4 × 4, indices to RAS+ millimetres, or None.
        spacing: millimetres between columns, rows and slices, where there is no affine, or None.
        dtype: of the values.
        compressed: whether the values are packed.
        skipped: bytes before the values; -1 where they are the last bytes of the file.
    """

    shape: tuple[int, ...]
    channels: int
    affine: np.ndarray | None
    spacing: tuple[float, ...] | None
    dtype: np.dtype
    compressed: bool
    skipped: int


def read_metaimage(data: bytes, name: str, room: Room, parts: list[bytes]) -> Scan:
    """Read one MetaImage.

    Args:
        data: the file; of a detached one the header.
        name: for messages.
        room: memory that is left.
        parts: the data files of a detached header, in its order; none where it is attached.

    Raises:
        IngestError: it cannot be used.
    """
    notes: list[str] = []
    fields, end = _fields(data[:_MAX_HEADER])
    if fields.get("binarydata", "True").lower() == "false":
        raise IngestError(
            t("{name}: a MetaImage whose values are text; expected binary ones. Save it again.", name=name)
        )
    try:
        header = _parsed(fields, notes)
    except (KeyError, ValueError, OverflowError) as error:
        raise IngestError(
            t("{name}: the MetaImage header is damaged. Copy or convert the file again.", name=name)
        ) from error
    shape = (*header.shape, *[1] * (3 - len(header.shape)))
    size = reserve(name, (*shape, header.channels), header.dtype, room)
    values = _values(header, parts or [data[end:]], size, name)
    stored = (header.channels, *shape) if header.channels > 1 else shape
    array = values_of(values, stored, header.dtype, 0, name)
    array = np.moveaxis(array, 0, -1) if header.channels > 1 else array
    return volume_scan(array, header.affine, header.spacing, name, "MetaImage", tuple(notes))


def _fields(start: bytes) -> tuple[dict[str, str], int]:
    """Return the fields of a header, by their keys in small letters, and the byte behind it."""
    end = re.search(rb"^[ \t]*ElementDataFile[ \t]*=.*\n?", start, re.MULTILINE | re.IGNORECASE)
    header = start[: end.end()] if end else start
    pairs = (line.partition("=") for line in header.decode(errors="replace").splitlines() if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}, len(header)


def _parsed(fields: dict[str, str], notes: list[str]) -> _Header:
    """Return what the fields mean.

    Raises:
        KeyError, ValueError, OverflowError: a field is missing, or not what it should be.
    """
    shape = tuple(int(size) for size in fields["dimsize"].split())
    if not 2 <= len(shape) <= 5 or len(shape) != int(fields["ndims"]):
        raise ValueError
    big = fields.get("elementbyteordermsb", fields.get("binarydatabyteordermsb", "False")).lower() == "true"
    dtype = np.dtype(_TYPES[fields["elementtype"].upper()]).newbyteorder(">" if big else "<")
    channels = int(fields.get("elementnumberofchannels", "1"))
    if channels < 1:
        raise ValueError
    spacing, affine = _geometry(fields, len(shape), notes)
    skipped = int(fields.get("headersize", "0"))
    return _Header(shape, channels, affine, spacing, dtype, fields.get("compresseddata", "").lower() == "true", skipped)


def _geometry(
    fields: dict[str, str], axes: int, notes: list[str]
) -> tuple[tuple[float, ...] | None, np.ndarray | None]:
    """Return millimetres between voxels, and the affine, each None where the header is silent."""

    def numbers(*keys: str) -> np.ndarray | None:
        found = next((fields[key] for key in keys if key in fields), None)
        return None if found is None else np.array([float(one) for one in found.split()])

    spacing = numbers("elementspacing", "elementsize")
    turned = numbers("transformmatrix", "orientation", "rotation")
    origin = numbers("offset", "position", "origin")
    if spacing is None or axes < 3:
        return None, None
    unit = _MILLIMETRES.get(fields.get("distanceunits", "mm").lower())
    if unit is None or len(spacing) < 3:
        return None, None
    if "distanceunits" not in fields:
        notes.append(t("The header names no unit of length. Millimetres are assumed, as is usual."))
    spacing = spacing[:3] * unit
    if turned is None or origin is None:
        return tuple(float(one) for one in spacing), None
    affine = np.eye(4)
    affine[:3, :3] = turned.reshape(axes, axes)[:3, :3].T * spacing  # each line is the direction of an axis
    affine[:3, 3] = origin[:3] * unit
    return None, LPS_TO_RAS @ affine


def _values(header: _Header, parts: list[bytes], size: int, name: str) -> bytes:
    """Return the values of all data files, unpacked, one behind the other.

    Raises:
        IngestError: they are not as many as the header announces.
    """
    if size % len(parts) or header.skipped < -1:
        raise IngestError(t("{name}: the MetaImage header is damaged. Copy or convert the file again.", name=name))
    share, found = size // len(parts), []
    for content in parts:
        if header.compressed:
            content = unpacked(content[max(header.skipped, 0) :], share, name)
            begin = 0
        else:
            begin = max(0, len(content) - share) if header.skipped == -1 else header.skipped
        found.append(content[begin : begin + share])
    return found[0] if len(found) == 1 else b"".join(found)
