"""Volumes in the formats beside NIfTI and MGZ, made from arrays of (slices, height, width), placed as `AXIAL`."""

import bz2
import gzip
import io
import zlib

import numpy as np
from nibabel.externals.netcdf import netcdf_file

PACKERS = {"raw": bytes, "gzip": lambda data: gzip.compress(data, mtime=0), "bzip2": bz2.compress}


def nrrd_header(shape: tuple[int, ...], encoding: str = "raw", kind: str = "int16", **fields: str | None) -> bytes:
    """The lines of an NRRD's header, the blank one left out; fields replace lines or, with None, remove them.

    Args:
        shape: slices, height, width, and layers of a segmentation, which come first in the file.
        encoding: of the values.
        kind: of the values.
        fields: by their names with `_` for a space.
    """
    layers = len(shape) - 3
    lines = {
        "type": kind,
        "dimension": str(len(shape)),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, (*shape[3:], *shape[2::-1]))),
        "space directions": " ".join(["none"] * layers + ["(1,0,0)", "(0,1,0)", "(0,0,6)"]),
        "kinds": " ".join(["list"] * layers + ["domain"] * 3),
        "endian": "little",
        "encoding": encoding,
        "space origin": "(-128,-128,-60)",
        "space units": '"mm" "mm" "mm"',
    } | {name.replace("_", " "): value for name, value in fields.items()}
    written = [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return "\n".join(["NRRD0005", "# made by a test", *written]).encode() + b"\n"


def nrrd_bytes(stack: np.ndarray, encoding: str = "gzip", **fields: str | None) -> bytes:
    """An attached NRRD of int16."""
    return (
        nrrd_header(stack.shape, encoding, "int16", **fields) + b"\n" + PACKERS[encoding](stack.astype("<i2").tobytes())
    )


def seg_nrrd_bytes(layers: list[np.ndarray], names: list[str]) -> bytes:
    """A segmentation as 3D Slicer saves it: one layer alone, or several as an axis of their own."""
    stack = np.stack(layers, -1).astype(np.uint8)
    shape = stack.shape if len(layers) > 1 else stack.shape[:3]
    header = nrrd_header(shape, "gzip", "uint8")
    for number, name in enumerate(names):
        header += f"Segment{number}_ID:=Segment_{number}\nSegment{number}_Name:={name}\n".encode()
    return header + b"\n" + gzip.compress(stack.tobytes(), mtime=0)


def mha_bytes(stack: np.ndarray, data_file: str = "LOCAL", compressed: bool = True, **fields: str | None) -> bytes:
    """An MHA of int16; with a data file the header alone, as MHD."""
    slices, height, width = stack.shape
    values = stack.astype("<i2").tobytes()
    values = zlib.compress(values) if compressed else values
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(compressed),
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "-128 -128 -60",
        "ElementSpacing": "1 1 6",
        "DimSize": f"{width} {height} {slices}",
        "ElementType": "MET_SHORT",
    } | fields
    written = [f"{name} = {value}" for name, value in lines.items() if value is not None]
    header = "\n".join([*written, f"ElementDataFile = {data_file}"]).encode() + b"\n"
    return header + values if data_file == "LOCAL" else header


def afni_pair(stack: np.ndarray, name: str = "flair+orig", factor: float = 0.0) -> list[tuple[str, bytes]]:
    """The `.HEAD` and the `.BRIK` of int16."""
    slices, height, width = stack.shape
    attributes = {
        "BYTEORDER_STRING": "'LSB_FIRST~",
        "BRICK_TYPES": [1],
        "BRICK_FLOAT_FACS": [factor],
        "DATASET_RANK": [3, 1, 0, 0, 0, 0, 0, 0],
        "DATASET_DIMENSIONS": [width, height, slices, 0, 0],
        "DELTA": [1.0, 1.0, 6.0],
        "IJK_TO_DICOM_REAL": [1.0, 0.0, 0.0, -128.0, 0.0, 1.0, 0.0, -128.0, 0.0, 0.0, 6.0, -60.0],
    }
    header = ""
    for key, value in attributes.items():
        kind = "string" if isinstance(value, str) else "float" if isinstance(value[0], float) else "integer"
        text = value if isinstance(value, str) else " ".join(map(str, value))
        header += f"\ntype = {kind}-attribute\nname = {key}\ncount = {len(value)}\n {text}\n"
    return [(f"{name}.HEAD", header.encode()), (f"{name}.BRIK", stack.astype("<i2").tobytes())]


def par_pair(stack: np.ndarray, name: str = "flair", missing: int = 0) -> list[tuple[str, bytes]]:
    """The `.PAR` and the `.REC` of uint16, version 4.2, axial; of the last slices some may be missing."""
    slices, height, width = stack.shape
    general = {
        "Patient name": "Doe, Jane",
        "Examination name": "Head",
        "Protocol name": "FLAIR",
        "Examination date/time": "2026.11.27 / 12:00:00",
        "Max. number of slices/locations": slices,
        "Max. number of echoes": 1,
        "Max. number of dynamics": 1,
        "Repetition time [ms]": 9000,
        "FOV (ap,fh,rl) [mm]": f"{height} {6 * slices} {width}",
        "Angulation midslice(ap,fh,rl)[degr]": "0 0 0",
        "Off Centre midslice(ap,fh,rl) [mm]": "0 0 0",
        "Dynamic scan      <0=no 1=yes> ?": 0,
        "Diffusion         <0=no 1=yes> ?": 0,
    }
    lines = ["# === DATA DESCRIPTION FILE ===", "# CLINICAL TRYOUT   Research image export tool   V4.2", "#"]
    lines += [f".    {key}   :   {value}" for key, value in general.items()]
    lines += ["#", "# === IMAGE INFORMATION ==="]
    for number in range(slices - missing):
        line = [
            number + 1,
            1,
            1,
            1,
            0,
            2,
            number,
            16,
            100,
            width,
            height,
            0,
            2,
            1,
            100,
            200,
            *[0] * 6,
            6,
            0,
            0,
            1,
            0,
            2,
        ]
        lines.append(
            " ".join(map(str, [*line, 1, 1, 120, 0, 0, 0, 1, 90, 0, 0, 0, 1, 0, 1, 1, "MR", "no", 0, 0, 0, 1]))
        )
    text = "\n".join([*lines, "# === END OF DATA DESCRIPTION FILE ==="])
    return [(f"{name}.PAR", text.encode()), (f"{name}.REC", stack[: slices - missing].astype("<u2").tobytes())]


def minc_bytes(stack: np.ndarray) -> bytes:
    """A MINC-1 of int16, whose real values are those of the array."""
    slices, height, width = stack.shape
    written = io.BytesIO()
    file = netcdf_file(written, "w")
    for axis, size, step, start in (("z", slices, 6, -60), ("y", height, -1, 128), ("x", width, -1, 128)):
        file.createDimension(f"{axis}space", size)
        variable = file.createVariable(f"{axis}space", "i", ())
        variable.spacing, variable.step, variable.start = b"regular__", float(step), float(start)
    image = file.createVariable("image", "h", ("zspace", "yspace", "xspace"))
    image.signtype, image.valid_range = b"signed__", np.array([0.0, 1000.0])
    image[:] = stack.astype(np.int16)
    for limit, value in (("max", 1000.0), ("min", 0.0)):
        file.createVariable(f"image-{limit}", "d", ()).data[...] = value
    file.flush()
    return written.getvalue()
