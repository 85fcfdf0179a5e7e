"""NRRD, attached or with data files, and the segmentations that 3D Slicer saves as `.seg.nrrd`, into a Scan.

pynrrd reads the header. The values are unpacked here, as pynrrd opens every file that a header names and unpacks
without a limit. Source: https://teem.sourceforge.net/nrrd/format.html
"""

import io
import re
from dataclasses import dataclass, replace

import nrrd
import numpy as np

from unet.data.sequences import EXPECTED_MASK
from unet.language import t
from unet.scans.formats.nifti import values_of
from unet.scans.formats.volumes import reserve, unpacked, volume_scan
from unet.scans.limits import MAX_CHANNELS
from unet.scans.scan import IngestError, Room, Scan, plain_name

_MAX_HEADER = 1 << 20  # bytes; a segmentation in 3D Slicer names each segment in about 500
_MAX_LINES = 10_000  # that a header may skip
_SPACES = {  # signs that turn a space's axes into right, front, up
    **dict.fromkeys(("right-anterior-superior", "ras", "right-anterior-superior-time", "rast"), (1, 1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las", "left-anterior-superior-time", "last"), (-1, 1, 1)),
    **dict.fromkeys(("left-posterior-superior", "lps", "left-posterior-superior-time", "lpst"), (-1, -1, 1)),
}
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001, "micron": 0.001, "microns": 0.001}
_LIST = re.compile(rb"^data ?file:[ \t]*LIST.*$", re.MULTILINE)
_PACKED = {"gzip", "gz", "bzip2", "bz2"}


@dataclass(frozen=True, eq=False)
class _Layout:
    """What a header says of its axes.

    Attributes:
        spatial: axes that lie in space, two or three.
        others: axes that hold the values of one voxel, such as layers or colours.
        affine: 4 × 4, indices of the spatial axes to RAS+ millimetres, or None.
        spacing: millimetres between their indices, where there is no affine, or None.
    """

    spatial: list[int]
    others: list[int]
    affine: np.ndarray | None
    spacing: tuple[float, ...] | None


def read_nrrd(data: bytes, name: str, room: Room, parts: list[bytes]) -> Scan:
    """Read one NRRD.

    Args:
        data: the file; of a detached one the header.
        name: for messages.
        room: memory that is left.
        parts: the data files of a detached header, in its order; none where it is attached.

    Raises:
        IngestError: it cannot be used.
    """
    notes: list[str] = []
    listed = _LIST.search(data[:_MAX_HEADER]) if parts else None  # names of data files, which pynrrd takes for fields
    start = io.BytesIO(data[: listed.end() if listed else _MAX_HEADER])
    try:
        header = nrrd.read_header(start)
        encoding = str(header["encoding"]).lower()
        sizes = tuple(int(size) for size in header["sizes"])
        # an array without values has the type that the header states
        dtype = nrrd.read_data(
            {"type": header["type"], "dimension": 1, "sizes": np.array([0]), "encoding": "raw"}
            | {key: header[key] for key in ("endian",) if key in header},
            io.BytesIO(),
        ).dtype
        if header["dimension"] != len(sizes):
            raise ValueError
        layout = _layout(header, sizes, notes)
    except Exception as error:  # pynrrd raises many kinds for a damaged header
        raise IngestError(
            t("{name}: the NRRD header is damaged. Copy or convert the file again.", name=name)
        ) from error
    if encoding != "raw" and encoding not in _PACKED:
        raise IngestError(
            t(
                "{name}: an NRRD with the encoding {encoding}; expected raw, gzip or bzip2. Save it again as one of "
                "these.",
                name=name,
                encoding=plain_name(encoding),
            )
        )
    if len(layout.spatial) not in (2, 3):
        raise IngestError(
            t(
                "{name}: an NRRD with {count} axes in space; expected two or three.",
                name=name,
                count=len(layout.spatial),
            )
        )
    shape = [sizes[axis] for axis in (*layout.spatial, *layout.others)]
    shape[2:2] = [1] * (3 - len(layout.spatial))
    size = reserve(name, tuple(shape), dtype, room)
    values = _values(header, parts or [data[start.tell() :]], size, name)
    array = values_of(values, sizes, dtype, 0, name).transpose(*layout.spatial, *layout.others)
    return _scan(array.reshape(shape) if len(layout.spatial) == 2 else array, layout, header, name, notes)


def _layout(header: dict, sizes: tuple[int, ...], notes: list[str]) -> _Layout:
    """Tell the axes in space from the others, and where they lie."""
    directions = header.get("space directions")
    if directions is not None:
        directions = np.asarray(directions, float)[:, :3]  # of a space with time, the first three axes
        spatial = [axis for axis, one in enumerate(directions) if np.isfinite(one).all() and one.any()]
    elif any(kind in ("domain", "space") for kind in header.get("kinds", ())):
        spatial = [axis for axis, kind in enumerate(header["kinds"]) if kind in ("domain", "space")]
    elif len(sizes) <= 3:
        spatial = list(range(len(sizes)))
    else:
        spatial = list(range(3)) if sizes[-1] < sizes[0] else list(range(len(sizes) - 3, len(sizes)))
        notes.append(t("The header does not say which axes lie in space. Three axes side by side are assumed."))
    others = [axis for axis in range(len(sizes)) if axis not in spatial]
    unit = _unit(header, spatial, notes)
    if directions is None:
        spacings = header.get("spacings")
        spacing = None if spacings is None else tuple(float(spacings[axis]) * unit for axis in spatial)
        return _Layout(spatial, others, None, spacing if unit and len(spatial) == 3 else None)
    vectors = directions[spatial] * unit
    signs = _SPACES.get(str(header.get("space", "")).lower())
    if signs is None or len(spatial) != 3 or vectors.shape != (3, 3) or not unit:
        spacing = tuple(float(one) for one in np.linalg.norm(vectors, axis=1))
        return _Layout(spatial, others, None, spacing if unit and len(spatial) == 3 else None)
    affine = np.eye(4)
    affine[:3, :3] = (vectors * signs).T
    if "space origin" in header:
        affine[:3, 3] = np.asarray(header["space origin"], float)[:3] * signs * unit
    else:
        notes.append(t("The header holds no origin. 0 is assumed; other series may lie elsewhere."))
    return _Layout(spatial, others, affine, None)


def _unit(header: dict, spatial: list[int], notes: list[str]) -> float:
    """Return millimetres for the header's unit of length; 0 for a unit that is none."""
    if "space directions" not in header and "spacings" not in header:
        return 0.0
    units = header.get("space units") or [header["units"][axis] for axis in spatial if "units" in header]
    units = {str(one).lower() for one in units} - {"", "none", "???"}
    if not units:
        notes.append(t("The header names no unit of length. Millimetres are assumed, as is usual."))
        return 1.0
    unit = " ".join(sorted(units))
    if unit not in _MILLIMETRES:
        notes.append(
            t("The header's unit of length is {unit}. Sizes in millimetres stay unknown.", unit=plain_name(unit))
        )
    return _MILLIMETRES.get(unit, 0.0)


def _values(header: dict, parts: list[bytes], size: int, name: str) -> bytes:
    """Return the values of all data files, unpacked, one behind the other.

    Raises:
        IngestError: they are not as many as the header announces.
    """
    lines = int(header.get("line skip", header.get("lineskip", 0)))
    skipped = int(header.get("byte skip", header.get("byteskip", 0)))
    if not 0 <= lines <= _MAX_LINES or not -1 <= skipped <= _MAX_HEADER or size % len(parts):
        raise IngestError(t("{name}: the NRRD header is damaged. Copy or convert the file again.", name=name))
    share, found = size // len(parts), []
    for content in parts:
        stream = io.BytesIO(content)
        for _ in range(lines):
            stream.readline()
        content = content[stream.tell() :]
        if str(header["encoding"]).lower() in _PACKED:
            content = unpacked(content, share + max(skipped, 0), name)
        begin = max(0, len(content) - share) if skipped == -1 else skipped
        found.append(content[begin : begin + share])
    return found[0] if len(found) == 1 else b"".join(found)


def _scan(array: np.ndarray, layout: _Layout, header: dict, name: str, notes: list[str]) -> Scan:
    """Return the array, its axes in space first, as a scan; a segmentation as an expected mask."""
    segments = sorted((key for key in header if re.fullmatch(r"Segment\d+_ID", key)), key=lambda key: (len(key), key))
    bits = 8 * array.dtype.itemsize
    if segments:
        if array.ndim > 3:
            notes.append(
                t("{count} layers of segments; joined into one.", count=int(np.prod(array.shape[3:], dtype=int)))
            )
            array = _joined(array)
        names = [str(header.get(key.replace("_ID", "_Name"), key)) for key in segments[:20]]
        notes.append(t("A segmentation: {names}.", names=", ".join(map(plain_name, names))))
    elif array.ndim > 4 or (array.ndim == 4 and array.shape[3] > MAX_CHANNELS):
        count = int(np.prod(array.shape[3:], dtype=int))
        notes.append(
            t(
                "The file holds {channels} volumes, as in a time series. The first {max_channels} are used.",
                channels=count,
                max_channels=min(MAX_CHANNELS, count),
            )
        )
        array = array.reshape(*array.shape[:3], -1, order="F")[..., :MAX_CHANNELS]
    scan = volume_scan(array, layout.affine, layout.spacing, name, "NRRD", tuple(notes), bits)
    return replace(scan, guesses=(EXPECTED_MASK,)) if segments else scan


def _joined(array: np.ndarray) -> np.ndarray:
    """Return layers of labels as one, (columns, rows, slices) int32; where segments overlap, the last one counts."""
    layers = array.reshape(*array.shape[:3], -1, order="F")
    joined, used = np.zeros(array.shape[:3], np.int32), 0
    for number in range(layers.shape[3]):
        layer = layers[..., number].astype(np.int32)
        joined = np.where(layer > 0, layer + used, joined)
        used = int(joined.max())
    return joined
