"""What a file is, by its first bytes and never by its name."""

import re

from unet.language import mark

FORMATS = mark("DICOM, NIfTI, MGZ, Analyze, TIFF, PNG, JPEG, WebP, BMP, GIF, or a zip or tar of these")
PICTURE_KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF"}  # as Pillow calls them
UNREADABLE = {
    "heic": mark("HEIC, which this app does not read yet. Save the photo as JPEG."),
    "nrrd": mark("NRRD, which this app does not read yet. Save it as NIfTI, for example in 3D Slicer."),
    "metaimage": mark("a MetaImage (MHA, MHD), which this app does not read yet. Save it as NIfTI."),
    "minc": mark("MINC, which this app does not read. Convert it with mnc2nii."),
    "hdf5": mark("HDF5, or MINC-2 inside it, which this app does not read. Convert it to NIfTI."),
}
START = 348  # bytes that tell every format apart: NIfTI-1 has its magic at the end of its header

JPEG_SCAN = b"\xff\xda"  # starts a pass over a JPEG's picture; the bytes of a pass never hold it

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_MAGICS = {
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"BM": "bmp",
    b"GIF8": "gif",
    b"NRRD000": "nrrd",
    b"ObjectType": "metaimage",
    b"CDF\1": "minc",
    b"\x89HDF": "hdf5",
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",
    b"\x1f\x8b": "gzip",
}


def sniff(start: bytes) -> str | None:
    r"""Return what a file is, in one small word, or None, from its first 348 bytes.

    Analyze 7.5 counts as `nifti`, whose header grew out of it.

    >>> sniff(b"PK\3\4"), sniff(b"II*\0"), sniff(b"hello")
    ('zip', 'tiff', None)
    """
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    if is_analyze(start):
        return "nifti"
    if start[128:132] == b"DICM" or _bare_dicom(start):
        return "dicom"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return "heic"
    if start[:4] == b"\0\0\0\1" and _is_mgh(start):
        return "mgh"
    if start[257:262] == b"ustar":
        return "tar"
    return next((kind for magic, kind in _MAGICS.items() if start.startswith(magic)), None)


def is_analyze(start: bytes) -> bool:
    """Tell a header of Analyze 7.5: 348 bytes, its length first, one to seven dimensions, and no magic of NIfTI."""
    for order in ("little", "big"):
        dimensions = int.from_bytes(start[40:42], order)
        if int.from_bytes(start[:4], order) == 348 and 1 <= dimensions <= 7 and len(start) == START:
            return start[344:348] not in (b"n+1\0", b"ni1\0")
    return False


def _is_mgh(start: bytes) -> bool:
    """Tell FreeSurfer's MGH, which has no magic: four sizes and the type of its values, big-endian."""
    *sizes, kind = (int.from_bytes(start[place : place + 4], "big") for place in range(4, 24, 4))
    return all(0 < size < 65536 for size in sizes) and kind in (0, 1, 3, 4)


def _bare_dicom(start: bytes) -> bool:
    """A data set without preamble: its first tag is of group 0002 or 0008, in either byte order."""
    if start[:2] in (b"\2\0", b"\x08\0") and start[3:4] == b"\0":
        return bool(re.match(rb"[A-Z]{2}", start[4:6])) or int.from_bytes(start[4:8], "little") < 4096
    return start[:2] == b"\0\x08" and start[2:3] == b"\0" and bool(re.match(rb"[A-Z]{2}", start[4:6]))
