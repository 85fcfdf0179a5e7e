"""FreeSurfer's MGH and MGZ into a Scan, as a NIfTI on the same grid: so its masks are written as NIfTI.

Source: the FreeSurfer wiki, "MghFormat"; nibabel reads the header.
"""

import io

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.nifti1 import Nifti1Header

from unet.language import t
from unet.scans.formats.nifti import scan_of, values_of
from unet.scans.limits import MAX_CHANNELS
from unet.scans.scan import IngestError, Room, Scan, finished

_DATA_STARTS = 284  # bytes of header before the values


def read_mgh(data: bytes, name: str, room: Room) -> Scan:
    """Read one unpacked MGH file; errors as `unet.scans.reader.read_files`."""
    try:
        header = MGHHeader.from_fileobj(io.BytesIO(data[:_DATA_STARTS]), check=False)
        shape = tuple(int(size) for size in header["dims"])
        dtype, affine = np.dtype(str(header.get_data_dtype())), header.get_affine()
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise IngestError(t("{name}: the MGH header is damaged. Copy or convert the file again.", name=name)) from error
    if min(shape) < 1:
        raise IngestError(t("{name}: the MGH header is damaged. Copy or convert the file again.", name=name))
    room.take(name, (1, shape[0], shape[1]), shape[2] * min(shape[3], MAX_CHANNELS), dtype.itemsize)
    array = values_of(data, shape, dtype, _DATA_STARTS, name)
    return finished(scan_of(array, _as_nifti(affine, shape), name))


def _as_nifti(affine: np.ndarray, shape: tuple[int, ...]) -> Nifti1Header:
    """Return the header of a NIfTI with that shape and place, in millimetres."""
    header = Nifti1Header()
    header.set_data_shape(shape)
    header.set_sform(affine, 1)
    header.set_xyzt_units("mm")
    return header
