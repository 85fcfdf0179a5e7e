"""What a file is, by its first bytes and never by its name."""

import re

from unet.language import mark

FORMATS = mark("PNG, JPEG, TIFF, DICOM, NIfTI, or a zip of these")
START = 348  # bytes that tell every format apart: NIfTI-1 has its magic at the end of its header

JPEG_SCAN = b"\xff\xda"  # starts a pass over a JPEG's picture; the bytes of a pass never hold it

_MAGICS = {
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",
    b"\x1f\x8b": "gzip",
}


def sniff(start: bytes) -> str | None:
    r"""Return `png`, `jpeg`, `tiff`, `nifti`, `dicom`, `zip`, `gzip`, or None, from a file's first 348 bytes.

    >>> sniff(b"PK\3\4"), sniff(b"II*\0"), sniff(b"hello")
    ('zip', 'tiff', None)
    """
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    if start[128:132] == b"DICM" or _bare_dicom(start):
        return "dicom"
    return next((kind for magic, kind in _MAGICS.items() if start.startswith(magic)), None)


def _bare_dicom(start: bytes) -> bool:
    """A data set without preamble: its first tag is of group 0002 or 0008, in either byte order."""
    if start[:2] in (b"\2\0", b"\x08\0") and start[3:4] == b"\0":
        return bool(re.match(rb"[A-Z]{2}", start[4:6])) or int.from_bytes(start[4:8], "little") < 4096
    return start[:2] == b"\0\x08" and start[2:3] == b"\0" and bool(re.match(rb"[A-Z]{2}", start[4:6]))
