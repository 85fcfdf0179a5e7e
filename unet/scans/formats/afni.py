"""AFNI's pair, `.HEAD` and `.BRIK`, into a Scan. nibabel reads the header."""

import io

import numpy as np
from nibabel.brikhead import AFNIHeader

from unet.language import t
from unet.scans.formats.nifti import values_of
from unet.scans.formats.volumes import reserve, unpacked, volume_scan
from unet.scans.limits import MAX_CHANNELS
from unet.scans.scan import IngestError, Room, Scan

_MAX_HEADER = 4 << 20  # bytes; the history of a dataset may be long
_PACKED = (b"\x1f\x8b", b"BZh")


def read_afni(data: bytes, name: str, room: Room, parts: list[bytes]) -> Scan:
    """Read one AFNI dataset.

    Args:
        data: the `.HEAD`.
        name: for messages.
        room: memory that is left.
        parts: the `.BRIK`, packed or not.

    Raises:
        IngestError: it cannot be used.
    """
    try:
        header = AFNIHeader.from_fileobj(
            io.StringIO(data[:_MAX_HEADER].decode("latin-1").replace("\r\n", "\n").strip())
        )
        shape = tuple(int(size) for size in header.get_data_shape())
        dtype, affine, factors = header.get_data_dtype(), header.get_affine(), header.get_data_scaling()
        if len(shape) != 4:
            raise ValueError
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise IngestError(
            t("{name}: the AFNI header is damaged. Copy or convert the file again.", name=name)
        ) from error
    if not parts:
        raise IngestError(
            t("{name}: a header without its values. Upload the .BRIK file of the same name with it.", name=name)
        )
    size = reserve(name, shape, dtype, room)
    [values] = parts
    array = values_of(unpacked(values, size, name) if values.startswith(_PACKED) else values, shape, dtype, 0, name)
    notes = ()
    if shape[3] > MAX_CHANNELS:
        notes = (
            t(
                "The file holds {channels} volumes, as in a time series. The first {max_channels} are used.",
                channels=shape[3],
                max_channels=MAX_CHANNELS,
            ),
        )
        array = array[..., :MAX_CHANNELS]
    if factors is not None:
        array = array.astype(np.float32) * factors[:MAX_CHANNELS].astype(np.float32)
    return volume_scan(array, affine, None, name, "AFNI", notes, 8 * dtype.itemsize)
