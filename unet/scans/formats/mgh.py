"""FreeSurfer's MGH and MGZ into a Scan.

Source: the FreeSurfer wiki, "MghFormat"; nibabel reads the header.
"""

import io

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from unet.language import t
from unet.scans.formats.nifti import values_of
from unet.scans.formats.volumes import reserve, volume_scan
from unet.scans.scan import IngestError, Room, Scan

_DATA_STARTS = 284  # bytes of header before the values


def read_mgh(data: bytes, name: str, room: Room) -> Scan:
    """Read one unpacked MGH file; errors as `unet.scans.reader.read_files`."""
    try:
        header = MGHHeader.from_fileobj(io.BytesIO(data[:_DATA_STARTS]), check=False)
        shape = tuple(int(size) for size in header["dims"])
        dtype, affine = np.dtype(str(header.get_data_dtype())), header.get_affine()
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise IngestError(t("{name}: the MGH header is damaged. Copy or convert the file again.", name=name)) from error
    reserve(name, shape, dtype, room)
    return volume_scan(values_of(data, shape, dtype, _DATA_STARTS, name), affine, None, name, "MGZ")
