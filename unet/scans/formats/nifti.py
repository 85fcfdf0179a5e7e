"""NIfTI-1 and NIfTI-2, `.nii`, `.nii.gz` or a `.hdr` with its `.img`, and Analyze 7.5, into a Scan.

The header is read first and compared with the bytes that are there; only then is the array looked at, in place.
Source: the NIfTI-1 standard, https://nifti.nimh.nih.gov/nifti-1; nibabel reads the header.
"""

import io

import numpy as np
from nibabel.analyze import AnalyzeHeader
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

from unet.data.sequences import guess_from_file
from unet.language import t
from unet.scans.formats.archives import gunzip, inflate_start
from unet.scans.formats.colours import are_equal
from unet.scans.formats.nifti_geometry import affine_of, slice_axis_of
from unet.scans.formats.signatures import START, is_analyze
from unet.scans.found import nothing
from unet.scans.limits import MAX_CHANNELS, MAX_SIDE
from unet.scans.placement import Placement
from unet.scans.scan import IngestError, Room, Scan, check_shape, finished, orient

GEOMETRY_FIELDS = (
    "pixdim",
    "qform_code",
    "sform_code",
    "xyzt_units",
    *(f"quatern_{letter}" for letter in "bcd"),
    *(f"qoffset_{letter}" for letter in "xyz"),
    *(f"srow_{letter}" for letter in "xyz"),
)
_SLACK = 1 << 20  # bytes that may follow the picture


def read_nifti(data: bytes, name: str, room: Room, image_half: bytes | None = None) -> Scan:
    """Read one NIfTI file.

    Args:
        data: the file, gzipped or not; of a pair the header.
        name: for messages.
        room: memory that is left.
        image_half: the `.img` of a pair.

    Raises:
        IngestError: it cannot be used.
    """
    zipped = data[:2] == b"\x1f\x8b"
    start = inflate_start(data, 2048) if zipped else data[:2048]
    header, shape, dtype = _read_header(start, name)
    count = int(np.prod(shape, dtype=object))
    check_sides(name, shape)
    volumes = int(np.prod(shape[3:], dtype=object))
    # which axis counts the slices is known later
    room.take(
        name, (1, shape[0], shape[1]), shape[2] * min(volumes, MAX_CHANNELS) * len(dtype.names or "1"), dtype.itemsize
    )
    paired = header["magic"].item()[:2] == b"ni"
    offset = _offset(header, name)
    end = offset + count * dtype.itemsize
    values = image_half if paired else data
    if values is None:
        raise IngestError(
            t("{name}: a header without its picture. Upload the .img file of the same name with it.", name=name)
        )
    if values[:2] == b"\x1f\x8b" and (zipped or paired):
        if end > 4 * len(values) * 1032 + _SLACK:  # deflate packs at most 1032 to 1
            raise IngestError(
                t("{name}: the header announces {end:,} bytes, more than the file can hold.", name=name, end=end)
            )
        Room().take(name, (1, shape[0], shape[1]), shape[2] * volumes, dtype.itemsize)
        values = gunzip(values, name, end + _SLACK)
    array = values_of(values, shape, dtype, offset, name)
    return finished(scan_of(array, header, name))


def outline(start: bytes, name: str) -> Scan:
    """Return what the first bytes of a file say, gzipped or not, without the values; errors as `read_nifti`."""
    header, shape, _ = _read_header(inflate_start(start, 2048) if start[:2] == b"\x1f\x8b" else start[:2048], name)
    header["scl_slope"] = 0  # nothing to scale
    return scan_of(nothing((*shape[:3], min(int(np.prod(shape[3:], dtype=object)), MAX_CHANNELS))), header, name)


def check_sides(name: str, shape: tuple[int, ...]) -> None:
    """Raise IngestError where a side of a volume is longer than any slice that is segmented."""
    if max(shape[:3]) > MAX_SIDE:
        raise IngestError(
            t(
                "{name}: {shape} values; expected at most {max_side:,} a side. An MRI has a few hundred. Crop it.",
                name=name,
                shape=" × ".join(map(str, shape)),
                max_side=MAX_SIDE,
            )
        )


def values_of(data: bytes, shape: tuple[int, ...], dtype: np.dtype, offset: int, name: str) -> np.ndarray:
    """Return the array that begins at a byte of an unpacked file, the first axis fastest; a view of the bytes.

    Raises:
        IngestError: the file is too short for it.
    """
    count = int(np.prod(shape, dtype=object))
    end = offset + count * dtype.itemsize
    if len(data) < end:
        raise IngestError(
            t(
                "{name}: {shape} values need {end:,} bytes, but the file has {count:,}. It is cut off, "
                "or its header is wrong. Copy it again.",
                name=name,
                shape=" × ".join(map(str, shape)),
                end=end,
                count=len(data),
            )
        )
    return np.frombuffer(data, dtype, count, offset).reshape(shape, order="F")


def _read_header(start: bytes, name: str) -> tuple[Nifti1Header, tuple[int, ...], np.dtype]:
    if is_analyze(start[:START]):
        return _read_analyze(start, name)
    version_2 = start[4:8] in (b"n+2\0", b"ni2\0")
    paired = start[344:348] == b"ni1\0" or start[4:8] == b"ni2\0"
    kinds = (Nifti2Header, Nifti2PairHeader) if version_2 else (Nifti1Header, Nifti1PairHeader)
    length = 540 if version_2 else 348
    try:
        header = kinds[paired].from_fileobj(io.BytesIO(start[:length]), check=False)
        shape = tuple(int(size) for size in header.get_data_shape())
        dtype = header.get_data_dtype()
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise IngestError(
            t("{name}: the NIfTI header is damaged. Copy or convert the file again.", name=name)
        ) from error
    return header, _checked(shape, dtype, name), dtype


def _read_analyze(start: bytes, name: str) -> tuple[Nifti1PairHeader, tuple[int, ...], np.dtype]:
    """Read a header of Analyze 7.5 as that of a NIfTI pair without orientation."""
    try:
        analyze = AnalyzeHeader.from_fileobj(io.BytesIO(start[:348]), check=False)
        header = Nifti1PairHeader(check=False)
        header.set_data_dtype(analyze.get_data_dtype())
        header.set_data_shape(analyze.get_data_shape())
        header["pixdim"][1:4] = analyze["pixdim"][1:4]
        header["xyzt_units"] = 2  # Analyze knows millimetres only
        dtype = analyze.get_data_dtype()
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise IngestError(
            t("{name}: the Analyze header is damaged. Copy or convert the file again.", name=name)
        ) from error
    shape = tuple(int(size) for size in analyze.get_data_shape())
    return header, _checked(shape, dtype, name), dtype


def _checked(shape: tuple[int, ...], dtype: np.dtype, name: str) -> tuple[int, ...]:
    """Return a shape of at least three axes, none of them needless at its end."""
    if dtype.itemsize == 0:
        raise IngestError(
            t("{name}: the NIfTI header names a data type without a size. Copy or convert the file again.", name=name)
        )
    if len(shape) < 2 or min(shape) < 1:
        raise IngestError(
            t(
                "{name}: a NIfTI of shape {shape}; expected at least a height and a width.",
                name=name,
                shape=shape,
            )
        )
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape if len(shape) > 2 else (*shape, 1)


def _offset(header: Nifti1Header, name: str) -> int:
    offset = float(header["vox_offset"])
    if not 0 <= offset < 2**40:
        raise IngestError(
            t(
                "{name}: the NIfTI header puts the picture at byte {offset}. Copy the file again.",
                name=name,
                offset=offset,
            )
        )
    single = header["magic"].item()[:2] == b"n+"
    return max(int(offset), 352 if single else 0)


def scan_of(array: np.ndarray, header: Nifti1Header, name: str) -> Scan:
    """Return an array that a NIfTI header describes as a scan.

    Args:
        array: at least three axes, as in the file.
        header: its place, its unit and its scaling; the other fields count for nothing.
        name: of the file.
    """
    notes = []
    bits = 8 * array.dtype.itemsize
    shape = array.shape[:3]
    array = array.reshape(*shape, -1, order="F")
    channels = array.shape[3]
    if channels > MAX_CHANNELS:
        notes.append(
            t(
                "The file holds {channels} volumes, as in a time series. The first {max_channels} are used.",
                channels=channels,
                max_channels=MAX_CHANNELS,
            )
        )
        array = array[..., :MAX_CHANNELS]
    if array.dtype.names:
        bits = 8
        array = np.stack([array[field][..., 0] for field in array.dtype.names[:3]], axis=-1)
        array = array[..., :1] if are_equal(array) else array
    if array.dtype.kind == "c":
        notes.append(t("The values are complex. Their magnitude is shown."))
        array = np.abs(array)
    with np.errstate(all="ignore"):
        voxels = _scaled(array, header, notes)
    zooms = np.abs(header["pixdim"][1:4].astype(np.float64))
    file_affine, zooms, known = affine_of(header, zooms, notes)
    slice_axis = slice_axis_of(file_affine, zooms)
    geometry: dict
    if file_affine is None:
        placement = Placement((2, 1, 0), (False, True, False))
        voxels = placement.forward(voxels)
        spacing = tuple(float(zooms[axis]) for axis in placement.axes) if known else None
        geometry = {"placement": placement, "spacing": spacing}
        notes.append(t("The header gives no orientation. The usual one for such files is assumed."))
    else:
        voxels, geometry = orient(voxels, file_affine, slice_axis)
    check_shape(name, voxels.shape[:3])
    # the numbers that place a mask on the very same grid; words of the header may name a patient and stay behind
    geometry_fields = {field: np.asarray(header[field], float).tolist() for field in GEOMETRY_FIELDS}
    version = 2 if int(header["sizeof_hdr"]) == 540 else 1
    source = {"version": version, "shape": list(shape), "header": geometry_fields}
    count = voxels.shape[3]
    names = (name,) if count == 1 else tuple(f"volume {number}" for number in range(1, count + 1))
    guesses = (guess_from_file(name),) if count == 1 else (None,) * count
    return Scan(
        name, "NIfTI", voxels, names, bits, guesses, notes=tuple(notes), files=(name,), source=source, **geometry
    )


def _scaled(array: np.ndarray, header: Nifti1Header, notes: list[str]) -> np.ndarray:
    """Apply slope and intercept, which a header may set to nonsense."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope) or not np.isfinite(intercept):
        if np.isinf(slope) or (slope and not np.isfinite(intercept)):
            notes.append(t("The scaling in the header is not a number. It was ignored."))
        slope, intercept = 1.0, 0.0
    voxels = np.asarray(array, np.float32)
    return voxels if (slope, intercept) == (1, 0) else voxels * np.float32(slope) + np.float32(intercept)
