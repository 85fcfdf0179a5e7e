"""What a file is, by its first bytes and never by its name."""

import re

from unet.language import mark

FORMATS = mark(
    "DICOM, NIfTI, Analyze, MGZ, NRRD, MHA, AFNI, PAR/REC, MINC-1, TIFF, PNG, JPEG, HEIC, WebP, BMP, GIF, or a zip or "
    "tar of these"
)
PICTURE_KINDS = {  # as Pillow calls them
    "png": "PNG",
    "jpeg": "JPEG",
    "webp": "WEBP",
    "bmp": "BMP",
    "gif": "GIF",
    "heic": "HEIF",
}
VOLUME_KINDS = {  # as people call them, of volumes that have a reader each beside NIfTI and MGH
    "nrrd": mark("an NRRD"),
    "metaimage": mark("a MetaImage"),
    "afni": mark("an AFNI header"),
    "parrec": mark("a PAR header"),
    "minc": mark("a MINC file"),
}
UNREADABLE = {
    "hdf5": mark("HDF5, or MINC-2 inside it, which this app does not read. Convert it to NIfTI."),
    "netcdf": mark("NetCDF of a version that MINC-1 does not have. Convert it to NIfTI."),
    "matlab": mark("MATLAB data, which this app does not read. Save the picture as NIfTI or PNG."),
    "numpy": mark("A NumPy array, which this app does not read. Save it as NIfTI or PNG."),
    "avif": mark("AVIF, which this app does not read. Save the picture as JPEG or PNG."),
    "video": mark("A video, which this app does not read. Save one picture of it as JPEG or PNG."),
    "pdf": mark("A PDF, which this app does not read. Save its picture as PNG."),
    "archive": mark("An archive of type 7z, RAR, xz or bzip2, which this app does not open. Pack the files as zip."),
}
START = 348  # bytes that tell every format apart: NIfTI-1 has its magic at the end of its header

JPEG_SCAN = b"\xff\xda"  # starts a pass over a JPEG's picture; the bytes of a pass never hold it

_BRANDS = {  # of the ISO base media file format, by the word after "ftyp"
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "heic"),
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"M4V ", b"qt  ", b"3gp4", b"3gp5"), "video"),
}
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
    b"# === DATA DESCRIPTION FILE": "parrec",
    b"CDF\1": "minc",
    b"CDF\2": "netcdf",
    b"CDF\5": "netcdf",
    b"\x89HDF": "hdf5",
    b"MATLAB 5": "matlab",
    b"\x93NUMPY": "numpy",
    b"%PDF-": "pdf",
    b"7z\xbc\xaf\x27\x1c": "archive",
    b"Rar!\x1a": "archive",
    b"\xfd7zXZ": "archive",
    b"BZh": "archive",
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",
    b"\x1f\x8b": "gzip",
}
_TEXTS = {  # headers of text, whose first line may begin with spaces
    re.compile(rb"\s*type\s*=\s*(string|integer|float)-attribute\s"): "afni",
    re.compile(rb"\s*(ObjectType|NDims|Comment)[ \t]*=", re.IGNORECASE): "metaimage",
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
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        return _BRANDS[start[8:12]]
    if start[:4] == b"\0\0\0\1" and _is_mgh(start):
        return "mgh"
    if start[257:262] == b"ustar":
        return "tar"
    if found := next((kind for magic, kind in _MAGICS.items() if start.startswith(magic)), None):
        return found
    return next((kind for text, kind in _TEXTS.items() if text.match(start)), None)


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
