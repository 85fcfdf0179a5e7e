"""MINC-1, which is a NetCDF of version 1, into a Scan. nibabel reads it."""

import io

import numpy as np
from nibabel.externals.netcdf import netcdf_file
from nibabel.minc1 import Minc1File

from unet.language import t
from unet.scans.formats.volumes import reserve, volume_scan
from unet.scans.limits import MAX_CHANNELS
from unet.scans.scan import IngestError, Room, Scan

_AXES = ("xspace", "yspace", "zspace")


def read_minc(data: bytes, name: str, room: Room, _parts: list[bytes]) -> Scan:
    """Read one MINC-1 file; errors as `unet.scans.reader.read_files`."""
    try:
        stored = netcdf_file(io.BytesIO(data), mmap=False)
        if "image" not in stored.variables:
            raise IngestError(t("{name}: a NetCDF without the image that a MINC has. Convert it to NIfTI.", name=name))
        minc = Minc1File(stored)
        names = tuple(stored.variables["image"].dimensions)
        shape, dtype, affine = minc.get_data_shape(), minc.get_data_dtype(), minc.get_affine()
        if sorted(one for one in names if one.endswith("space")) != list(_AXES):
            raise ValueError
    except IngestError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise IngestError(
            t("{name}: the MINC header is damaged. Copy or convert the file again.", name=name)
        ) from error
    # fastest first, as in NIfTI; what is no axis of space comes last
    spatial = [axis for axis in reversed(range(len(names))) if names[axis].endswith("space")]
    others = [axis for axis in range(len(names)) if axis not in spatial]
    reserve(name, tuple(shape[axis] for axis in (*spatial, *others)), np.dtype(np.float64), room)
    try:
        array = np.asarray(minc.get_scaled_data())
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise IngestError(
            t("{name}: the MINC header is damaged. Copy or convert the file again.", name=name)
        ) from error
    array = array.transpose(*spatial, *others)
    notes = ()
    if others:
        array = array.reshape(*array.shape[:3], -1)
        if array.shape[3] > MAX_CHANNELS:
            notes = (
                t(
                    "The file holds {channels} volumes, as in a time series. The first {max_channels} are used.",
                    channels=array.shape[3],
                    max_channels=MAX_CHANNELS,
                ),
            )
            array = array[..., :MAX_CHANNELS]
    in_space = [sorted(spatial).index(axis) for axis in spatial]
    return volume_scan(array, affine[:, [*in_space, 3]], None, name, "MINC", notes, 8 * dtype.itemsize)
