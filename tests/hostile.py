"""A corpus of files that mean no good, or were made by something broken, built in memory from nothing.

python -m tests.hostile        each one in its own child: seconds beyond its start, memory of child and server
"""

import gzip
import io
import resource
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from tests import hostile_large, hostile_masks, hostile_volumes
from tests.heic_files import HEIC
from tests.upload_files import (
    dicom_bytes,
    dicom_series,
    dicom_slice,
    mgz_bytes,
    nifti_bytes,
    nifti_of,
    picture_bytes,
    png_bytes,
    tar_bytes,
    tiff_bytes,
    zip_bytes,
)
from tests.volume_files import (
    afni_pair,
    mha_bytes,
    minc_bytes,
    nrrd_bytes,
    nrrd_header,
    par_pair,
    seg_nrrd_bytes,
)
from unet.scans.sandbox import read_upload
from unet.scans.scan import IngestError

Files = list[tuple[str, bytes]]
READ, REFUSED, EITHER = "read", "refused", "either"
MB = 1 << 20


def slice_image(side: int = 64, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    """A bright disc with texture in black air."""
    y, x = np.mgrid[:side, :side] - side / 2
    noise = np.random.default_rng(seed).integers(0, 40, (side, side))
    disc = (np.hypot(x, y) < 0.4 * side) * (100 + noise)
    return disc.astype(dtype)


def stack(slices: int = 6, side: int = 64) -> np.ndarray:
    """(slices, side, side, 3) uint8, the channels unlike."""
    planes = [[slice_image(side, seed=3 * z + channel) for channel in range(3)] for z in range(slices)]
    return np.moveaxis(np.array(planes), 1, -1)


def good() -> dict[str, Files]:
    """One upload of each kind that is read, the file that tells the kind first."""
    image, colour = slice_image(), stack(1)[0]
    jpeg = io.BytesIO()
    Image.fromarray(colour).save(jpeg, "JPEG")
    return {
        "png": [("a.png", png_bytes(image))],
        "jpeg": [("a.jpg", jpeg.getvalue())],
        "tiff": [("a.tif", tiff_bytes(stack(3), photometric="rgb"))],
        "nifti": [("a.nii", nifti_of(stack()))],
        "nifti_gz": [("a.nii.gz", gzip.compress(nifti_of(stack())))],
        "dicom": [("a.dcm", dicom_bytes(dicom_slice(image)))],
        "zip": [("a.zip", zip_bytes(dicom_series(stack()[..., 1])))],
        "tar_gz": [("a.tar.gz", gzip.compress(tar_bytes(dicom_series(stack()[..., 1]))))],
        "mgz": [("flair.mgz", mgz_bytes(stack()[..., 1]))],
        **{kind: [(f"a.{kind}", picture_bytes(image, kind))] for kind in ("webp", "bmp", "gif")},
        "heic": [("a.heic", HEIC)],
        "nrrd": [("a.nrrd", nrrd_bytes(stack()[..., 1]))],
        "nrrd_bzip2": [("a.nrrd", nrrd_bytes(stack()[..., 1], "bzip2"))],
        "nhdr": [
            ("a.nhdr", nrrd_header((6, 64, 64), data_file="a.raw")),
            ("a.raw", stack()[..., 1].astype("<i2").tobytes()),
        ],
        "seg_nrrd": [("a.seg.nrrd", seg_nrrd_bytes([stack()[..., 1] > 110, stack()[..., 2] > 120], ["core", "edema"]))],
        "mha": [("a.mha", mha_bytes(stack()[..., 1]))],
        "mhd": [
            ("a.mhd", mha_bytes(stack()[..., 1], "a.raw", compressed=False)),
            ("a.raw", stack()[..., 1].astype("<i2").tobytes()),
        ],
        "afni": afni_pair(stack()[..., 1]),
        "parrec": par_pair(stack()[..., 1]),
        "minc": [("a.mnc", minc_bytes(stack()[..., 1]))],
        **hostile_masks.good(),
    }


@cache
def corpus() -> dict[str, tuple[str, Files]]:
    """Return name → (what must come of it, the upload)."""
    found: dict[str, tuple[str, Files]] = {}
    for part in (_truncated, _bombs, _lying, _disguised, _odd_pictures, _odd_dicom, _odd_nifti, _odd_zips):
        for name, case in part().items():
            assert name not in found
            found[name] = case
    masks = {name: (READ, files) for name, files in hostile_masks.corpus().items()}
    return found | hostile_large.corpus(slice_image()) | hostile_volumes.corpus(stack()[..., 1]) | masks


def _truncated() -> dict:
    cases = {}
    for kind, [(name, content), *rest] in good().items():
        for percent in (1, 25, 50, 99):
            cut = (name, content[: max(1, len(content) * percent // 100)])
            cases[f"{kind}_cut_at_{percent}"] = (EITHER, [cut, *rest])
    return cases


def _deflated_zeros(megabytes: int) -> bytes:
    """A raw deflate stream of zeros, made in no time: one flushed block again and again, without its end."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return (engine.compress(bytes(MB)) + engine.flush(zlib.Z_FULL_FLUSH)) * megabytes


def _gzip_bomb(start: bytes, megabytes: int) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = engine.compress(start) + engine.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + head + _deflated_zeros(megabytes)


def _gzipped(content: bytes, times: int) -> bytes:
    for _ in range(times):
        content = gzip.compress(content)
    return content


def _huge_bmp(bmp: bytes) -> bytes:
    """A BMP whose header announces 60,000 × 60,000 pixels."""
    return bmp[:18] + struct.pack("<II", 60_000, 60_000) + bmp[26:]


def _bombs() -> dict:
    header = nifti_bytes(np.zeros((4, 4, 4), np.int16))
    zeros = bytes(24 * MB)
    plain = dicom_slice(slice_image())
    plain.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta = dicom_bytes(plain)
    meta = meta[: 144 + int.from_bytes(meta[140:144], "little")]
    run = dicom_slice(slice_image(), BitsAllocated=8, BitsStored=8, HighBit=7)
    run.file_meta.TransferSyntaxUID = RLELossless
    rle = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (8 * MB)  # two bytes that become 128
    run.PixelData = encapsulate([rle])
    run["PixelData"].is_undefined_length = True
    png = b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 7000, 9000, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(9000 * 7001), 1)
    text = _png_chunk(b"zTXt", b"a\0\0" + zlib.compress(zeros, 9)) * 4
    good_png = png_bytes(slice_image())
    bomb = zip_bytes([("a.nii", zeros)])
    return {
        "gzip_bomb": (REFUSED, [("a.nii.gz", _gzip_bomb(header, 1000))]),
        "gzip_bomb_of_nothing": (REFUSED, [("a.gz", _gzip_bomb(b"", 1000))]),
        "gzip_bomb_dicom": (REFUSED, [("a.dcm.gz", _gzip_bomb(bytes(128) + b"DICM", 1000))]),
        "gzip_in_gzip_in_gzip": (REFUSED, [("a.nii.gz", _gzipped(header, 4))]),
        "gzip_bomb_in_gzip": (REFUSED, [("a.gz.gz", gzip.compress(_gzip_bomb(header, 1000)))]),
        "tar_bomb": (REFUSED, [("a.tar.gz", _gzip_bomb(tar_bytes([("a.nii", header)])[:512], 1000))]),
        "zip_bombs_in_a_zip": (
            REFUSED,
            [("a.zip", zip_bytes([(f"{n}.zip", zip_bytes([("a.nii", zeros)])) for n in range(9)]))],
        ),
        "mgh_of_terabytes": (REFUSED, [("a.mgh", struct.pack(">6I", 1, 60_000, 60_000, 600, 1, 3) + bytes(900))]),
        "bmp_of_terapixels": (REFUSED, [("a.bmp", _huge_bmp(picture_bytes(slice_image(), "bmp")))]),
        "deflated_dicom_bomb": (REFUSED, [("a.dcm", meta + _deflated_zeros(1000))]),
        "rle_bomb": (REFUSED, [("a.dcm", dicom_bytes(run))]),
        "zip_bomb": (REFUSED, [("a.zip", bomb)]),
        "zip_bomb_of_many": (REFUSED, [("a.zip", zip_bytes([(f"{n}.nii", zeros[: 2 * MB]) for n in range(12)]))]),
        "png_of_63_megapixels": (
            READ,
            [("a.png", png + _png_chunk(b"IDAT", rows) + _png_chunk(b"IEND", b""))],
        ),
        "png_text_bomb": (EITHER, [("a.png", good_png[:33] + text + good_png[33:])]),
    }


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _lying() -> dict:
    nifti = bytearray(nifti_bytes(np.zeros((4, 4, 4), np.int16)))
    huge, negative, eight = nifti.copy(), nifti.copy(), nifti.copy()
    huge[40:56] = struct.pack("<8h", 3, 32000, 32000, 32000, 1, 1, 1, 1)
    negative[40:56] = struct.pack("<8h", 3, -5, 4, 4, 1, 1, 1, 1)
    eight[40:42] = struct.pack("<h", 99)
    somewhat = nifti.copy()
    somewhat[40:56] = struct.pack("<8h", 3, 400, 400, 400, 1, 1, 1, 1)
    offset = nifti.copy()
    offset[108:112] = struct.pack("<f", 1e30)
    no_number = nifti.copy()
    no_number[108:112] = struct.pack("<f", float("nan"))
    kind = nifti.copy()
    kind[70:72] = struct.pack("<h", 12345)
    ifd = bytearray(tiff_bytes(slice_image()))
    wide = ifd.replace(struct.pack("<HHII", 256, 4, 1, 64)[:8], struct.pack("<HHI", 256, 4, 1)).copy()
    position = ifd.find(struct.pack("<HH", 256, 4))
    wide[position + 8 : position + 12] = struct.pack("<I", 60000)
    tall = wide.copy()
    position = ifd.find(struct.pack("<HH", 257, 4))
    tall[position + 8 : position + 12] = struct.pack("<I", 60000)
    loop = ifd.copy()
    start = struct.unpack("<I", loop[4:8])[0]
    entries = struct.unpack("<H", loop[start : start + 2])[0]
    loop[start + 2 + 12 * entries : start + 6 + 12 * entries] = struct.pack("<I", start)
    png = png_bytes(slice_image())
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    jpeg = bytearray(good()["jpeg"][0][1])
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    image = slice_image()
    return {
        "nifti_of_32000_cubed": (REFUSED, [("a.nii", bytes(huge))]),
        "nifti_gz_of_32000_cubed": (REFUSED, [("a.nii.gz", gzip.compress(bytes(huge)))]),
        "nifti_gz_of_400_cubed": (REFUSED, [("a.nii.gz", gzip.compress(bytes(somewhat)))]),
        "nifti_of_minus_5": (REFUSED, [("a.nii", bytes(negative))]),
        "nifti_of_99_axes": (REFUSED, [("a.nii", bytes(eight))]),
        "nifti_far_offset": (REFUSED, [("a.nii", bytes(offset))]),
        "nifti_offset_nan": (REFUSED, [("a.nii", bytes(no_number))]),
        "nifti_unknown_type": (REFUSED, [("a.nii", bytes(kind))]),
        "tiff_60000_wide": (REFUSED, [("a.tif", bytes(wide))]),
        "tiff_60000_squared": (REFUSED, [("a.tif", bytes(tall))]),
        "tiff_pages_in_a_circle": (EITHER, [("a.tif", bytes(loop))]),
        "png_of_30000_squared": (REFUSED, [("a.png", png[:8] + _png_chunk(b"IHDR", header) + png[33:])]),
        "jpeg_of_65500_squared": (REFUSED, [("a.jpg", bytes(jpeg))]),
        "dicom_of_65535_squared": (REFUSED, [("a.dcm", dicom_bytes(dicom_slice(image, Rows=65535, Columns=65535)))]),
        "dicom_of_20000_squared": (REFUSED, [("a.dcm", dicom_bytes(dicom_slice(image, Rows=20000, Columns=20000)))]),
        "dicom_of_9999_frames": (REFUSED, [("a.dcm", dicom_bytes(dicom_slice(image, NumberOfFrames=9999)))]),
        "dicom_of_4000_frames": (REFUSED, [("a.dcm", dicom_bytes(dicom_slice(image, NumberOfFrames=4000)))]),
        "dicom_rows_0": (REFUSED, [("a.dcm", dicom_bytes(dicom_slice(image, Rows=0)))]),
    }


def _disguised() -> dict:
    png, nifti = good()["png"][0][1], good()["nifti"][0][1]
    dicom = good()["dicom"][0][1]
    return {
        "png_called_dcm": (READ, [("a.dcm", png)]),
        "dicom_called_png": (READ, [("a.png", dicom)]),
        "nifti_called_jpg": (READ, [("a.jpg", nifti)]),
        "zip_called_nii_gz": (READ, [("a.nii.gz", zip_bytes([("b", png)]))]),
        "nifti_called_gz": (READ, [("a.nii.gz", nifti)]),
        "program": (REFUSED, [("a.png", b"MZ" + bytes(4000))]),
        "pickle": (REFUSED, [("a.npy", b"\x80\x04cos\nsystem\n(S'true'\ntR.")]),
        "html": (REFUSED, [("a.nii", b"<!doctype html><html><body>404</body></html>" * 20)]),
        "empty": (REFUSED, [("a.dcm", b"")]),
        "one_byte": (REFUSED, [("a.dcm", b"\0")]),
        "random_bytes": (REFUSED, [("a.dcm", np.random.default_rng(4).bytes(100_000))]),
        "unicode_name": (READ, [("Größe_мозг_脳_\u202e.png", png)]),
        "name_of_300_letters": (READ, [("a" * 300 + ".png", png)]),
        "name_with_line_breaks": (READ, [("a\nb\r\n\0.png", png)]),
        "name_of_nothing": (READ, [("", png)]),
        "good_beside_bad": (READ, [("bad.dcm", b"no"), ("good.png", png)]),
    }


def _odd_pictures() -> dict:
    image, colour = slice_image(), stack(1)[0]

    def saved(picture: Image.Image, kind: str, **options) -> bytes:
        written = io.BytesIO()
        picture.save(written, kind, **options)
        return written.getvalue()

    exif = Image.Exif()
    exif[274] = 6
    alpha = np.dstack([colour, image])
    frames = [Image.fromarray(slice_image(seed=seed)) for seed in range(3)]
    grey, pages = {"photometric": "minisblack"}, np.zeros((2000, 8, 8), np.uint8)
    signal = slice_image().astype(np.float32)
    bad, infinite = signal.copy(), signal.copy()
    bad[3, 3], infinite[5, 5] = np.nan, np.inf
    return {
        "1x1_png": (READ, [("a.png", png_bytes(np.array([[7]], np.uint8)))]),
        "1x10000_png": (READ, [("a.png", png_bytes(np.zeros((1, 10000), np.uint8)))]),
        "10000x1_png": (READ, [("a.png", png_bytes(np.zeros((10000, 1), np.uint8)))]),
        "constant_png": (READ, [("a.png", png_bytes(np.full((64, 64), 9, np.uint8)))]),
        "palette_png": (READ, [("a.png", saved(Image.fromarray(colour).quantize(16), "PNG"))]),
        "alpha_png": (READ, [("a.png", png_bytes(alpha))]),
        "grey_alpha_png": (READ, [("a.png", saved(Image.fromarray(np.dstack([image, image]), "LA"), "PNG"))]),
        "16_bit_png": (READ, [("a.png", png_bytes(image.astype(np.uint16) * 200))]),
        "16_bit_colour_png": (READ, [("a.png", png_bytes(colour.astype(np.uint16) * 200))]),
        "1_bit_png": (READ, [("a.png", saved(Image.fromarray(image > 0), "PNG"))]),
        "animated_png": (READ, [("a.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))]),
        "cmyk_jpeg": (READ, [("a.jpg", saved(Image.fromarray(colour).convert("CMYK"), "JPEG"))]),
        "exif_rotated_jpeg": (READ, [("a.jpg", saved(Image.fromarray(colour[:40]), "JPEG", exif=exif))]),
        "12_bit_jpeg": (REFUSED, [("a.jpg", _twelve_bit_jpeg())]),
        "cmyk_tiff": (READ, [("a.tif", saved(Image.fromarray(colour).convert("CMYK"), "TIFF"))]),
        "palette_tiff": (READ, [("a.tif", saved(Image.fromarray(colour).quantize(16), "TIFF"))]),
        "lzw_tiff": (READ, [("a.tif", saved(Image.fromarray(colour), "TIFF", compression="tiff_lzw"))]),
        "white_is_zero_tiff": (READ, [("a.tif", tiff_bytes(image, photometric="miniswhite"))]),
        "float_tiff_with_nan": (READ, [("a.tif", tiff_bytes(bad))]),
        "float_tiff_with_inf": (READ, [("a.tif", tiff_bytes(infinite))]),
        "float_tiff_of_nan": (REFUSED, [("a.tif", tiff_bytes(np.full((64, 64), np.nan, np.float32)))]),
        "complex_tiff": (READ, [("a.tif", tiff_bytes(signal.astype(np.complex64)))]),
        "float64_tiff_overflow": (EITHER, [("a.tif", tiff_bytes(signal.astype(np.float64) * 1e300))]),
        "tiled_tiff": (READ, [("a.tif", tiff_bytes(image.astype(np.uint16), tile=(16, 16)))]),
        "big_tiff": (READ, [("a.tif", tiff_bytes(image, bigtiff=True))]),
        "big_endian_tiff": (READ, [("a.tif", tiff_bytes(image.astype(np.uint16), byteorder=">"))]),
        "tiff_of_2000_pages": (
            REFUSED,
            [("a.tif", tiff_bytes(pages, metadata=None, **grey))],
        ),
        "tiff_of_5_channels": (READ, [("a.tif", tiff_bytes(np.zeros((64, 64, 5), np.uint8), **grey))]),
    }


def _twelve_bit_jpeg() -> bytes:
    """A JPEG whose frame says 12 bits, extended sequential."""
    jpeg = bytearray(good()["jpeg"][0][1])
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 1], jpeg[frame + 4] = 0xC1, 12
    return bytes(jpeg)


def _odd_dicom() -> dict:
    image = slice_image()

    def one(**changes) -> Files:
        return [("a.dcm", dicom_bytes(dicom_slice(image, **changes)))]

    nested = b"".join(
        struct.pack("<HHI", 0x0040, 0xA730, 0xFFFFFFFF) + b"\xfe\xff\0\xe0\xff\xff\xff\xff" for _ in range(3000)
    )
    whole = dicom_bytes(dicom_slice(image))
    explicit = b"\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 3000
    meta = whole[: 144 + int.from_bytes(whole[140:144], "little")]
    bare = whole[144 + int.from_bytes(whole[140:144], "little") :]
    series = dicom_series(stack()[..., 1])
    other = dicom_series(stack()[..., 0], "ax T1", "9.9.9")
    frames = dicom_slice(image, NumberOfFrames=4, PixelData=stack(4)[..., 0].astype(np.uint16).tobytes())
    jpeg = dicom_slice(image)
    jpeg.file_meta.TransferSyntaxUID = JPEG2000Lossless
    jpeg.PixelData = encapsulate([np.random.default_rng(2).bytes(5000)])
    jpeg["PixelData"].is_undefined_length = True
    colour = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    return {
        "dicom_nested_3000_deep": (REFUSED, [("a.dcm", meta + explicit)]),
        "dicom_nested_3000_deep_bare": (REFUSED, [("a.dcm", b"\x08\0\x05\0" + bytes(4) + nested)]),
        "dicom_slope_0": (READ, one(RescaleSlope=0, RescaleIntercept=0)),
        "dicom_slope_huge": (EITHER, one(RescaleSlope=1e38, RescaleIntercept=0)),
        "dicom_no_syntax": (READ, [("a.dcm", bare)]),
        "dicom_monochrome1": (READ, one(PhotometricInterpretation="MONOCHROME1")),
        "dicom_no_orientation": (READ, one(ImageOrientationPatient=None, ImagePositionPatient=None)),
        "dicom_orientation_of_zeros": (READ, one(ImageOrientationPatient=[0] * 6)),
        "dicom_orientation_parallel": (READ, one(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])),
        "dicom_spacing_0": (READ, one(PixelSpacing=[0, 0])),
        "dicom_spacing_negative": (READ, one(PixelSpacing=[-1, -1])),
        "dicom_no_photometric": (EITHER, one(PhotometricInterpretation=None)),
        "dicom_12_bit": (READ, one(BitsStored=12, HighBit=11)),
        "dicom_bits_13_of_9": (EITHER, one(BitsAllocated=9, BitsStored=13)),
        "dicom_without_pixels": (REFUSED, one(PixelData=None)),
        "dicom_of_half_the_pixels": (REFUSED, one(PixelData=bytes(64 * 64))),
        "dicom_colour": (READ, one(PhotometricInterpretation="RGB", PixelData=stack(1)[0].tobytes(), **colour)),
        "dicom_multiframe": (READ, [("a.dcm", dicom_bytes(frames))]),
        "dicom_jpeg2000_of_noise": (REFUSED, [("a.dcm", dicom_bytes(jpeg))]),
        "dicom_cut_in_two_series": (READ, series + [(f"other/{name}", content) for name, content in other]),
        "dicom_every_slice_twice": (READ, series + [(f"again/{name}", content) for name, content in series]),
        "dicom_slice_missing": (READ, series[:2] + series[3:]),
        "dicom_meta_only": (REFUSED, [("a.dcm", meta)]),
        "dicom_preamble_only": (REFUSED, [("a.dcm", bytes(128) + b"DICM")]),
        "dicom_empty_report": (REFUSED, [("a.dcm", bytes(128) + b"DICM" + bytes(8))]),
        "dicom_implicit_bytes_as_explicit": (EITHER, [("a.dcm", meta + nested)]),
        "dicom_no_uids": (READ, one(SOPInstanceUID=None, SeriesInstanceUID=None, StudyInstanceUID=None)),
        "dicom_burned_in": (READ, one(BurnedInAnnotation="YES")),
    }


def _odd_nifti() -> dict:
    signal = stack()[..., 0].astype(np.float32).transpose(2, 1, 0)
    bad = signal.copy()
    bad[0, 0, 0], bad[1, 0, 0] = np.nan, -np.inf
    slope = bytearray(nifti_bytes(signal))
    slope[112:116] = struct.pack("<f", float("inf"))
    nowhere = bytearray(nifti_bytes(signal))
    nowhere[280:328] = struct.pack("<12f", *[float("nan")] * 12)
    sheared = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    colour = np.zeros((8, 8, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["R"] = 5
    pair = bytearray(nifti_bytes(signal))[:348]
    pair[344:348] = b"ni1\0"
    pair[108:112] = struct.pack("<f", 0)
    return {
        "nifti_with_nan": (READ, [("a.nii", nifti_bytes(bad))]),
        "nifti_of_nan": (REFUSED, [("a.nii", nifti_bytes(np.full((8, 8, 4), np.nan, np.float32)))]),
        "nifti_slope_inf": (READ, [("a.nii", bytes(slope))]),
        "nifti_flat_affine": (READ, [("a.nii", nifti_bytes(signal, sheared))]),
        "nifti_affine_of_nan": (EITHER, [("a.nii", bytes(nowhere))]),
        "nifti_complex": (READ, [("a.nii", nifti_bytes(signal.astype(np.complex64)))]),
        "nifti_rgb": (READ, [("a.nii", nifti_bytes(colour))]),
        "nifti_two_axes": (READ, [("a.nii", nifti_bytes(signal[..., 0]))]),
        "nifti_7_axes": (READ, [("a.nii", nifti_bytes(np.zeros((8, 8, 4, 1, 2, 1, 3), np.uint8)))]),
        "nifti_300_volumes": (READ, [("a.nii", nifti_bytes(np.zeros((8, 8, 4, 300), np.uint8)))]),
        "nifti_pair": (READ, [("a.hdr", bytes(pair)), ("a.img", signal.tobytes(order="F"))]),
        "nifti_half_a_pair": (REFUSED, [("a.hdr", bytes(pair))]),
        "nifti_other_half": (REFUSED, [("a.img", signal.tobytes(order="F"))]),
        "analyze": (REFUSED, [("a.hdr", bytes(pair[:344]) + bytes(4))]),
    }


def _odd_zips() -> dict:
    png = good()["png"][0][1]
    local = b"".join(struct.pack("<4s5H3I2H6s", b"PK\3\4", 10, *[0] * 7, 6, 0, b"%06d" % n) for n in range(100_000))
    central = b"".join(
        struct.pack("<4s6H3I5H2I6s", b"PK\1\2", 10, 10, *[0] * 7, 6, *[0] * 5, 36 * n, b"%06d" % n)
        for n in range(100_000)
    )
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(central), len(local), 0)
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        archive.writestr(link, b"/etc/passwd")
        archive.writestr("a.png", png)
    plain = bytearray(zip_bytes([("a.png", png)], zipfile.ZIP_STORED))
    encrypted = plain.copy()
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        encrypted[encrypted.find(signature) + offset] |= 1
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a.png", png)
        archive.writestr("b.png", png)
        archive.infolist()[1].header_offset = 0
        archive.filelist[1].header_offset = 0
    broken = plain.copy()
    broken[60] ^= 0xFF
    method = plain.copy()
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        method[method.find(signature) + offset] = 99
    lying = plain.copy()
    lying[lying.find(b"PK\5\6") + 10] = 200
    junk = [(name, b"x") for name in ("__MACOSX/._a.png", ".DS_Store", "DICOMDIR")]
    return {
        "zip_of_100000": (REFUSED, [("a.zip", local + central + end)]),
        "zip_dot_dot": (REFUSED, [("a.zip", zip_bytes([("../../etc/cron.d/a.png", png)]))]),
        "zip_absolute": (REFUSED, [("a.zip", zip_bytes([("/etc/a.png", png)]))]),
        "zip_backslashes": (REFUSED, [("a.zip", zip_bytes([("..\\..\\a.png", png)]))]),
        "zip_drive": (REFUSED, [("a.zip", zip_bytes([("C:/a.png", png)]))]),
        "zip_overlapping": (REFUSED, [("a.zip", twice.getvalue())]),
        "zip_link": (READ, [("a.zip", linked.getvalue())]),
        "zip_in_zip": (READ, [("a.zip", zip_bytes([("b.zip", zip_bytes([("a.png", png)]))]))]),
        "zip_encrypted": (REFUSED, [("a.zip", bytes(encrypted))]),
        "zip_empty": (REFUSED, [("a.zip", zip_bytes([]))]),
        "zip_broken_entry": (EITHER, [("a.zip", bytes(broken))]),
        "zip_unknown_method": (REFUSED, [("a.zip", bytes(method))]),
        "zip_lying_count": (EITHER, [("a.zip", bytes(lying))]),
        "zip_of_junk_beside_a_png": (READ, [("a.zip", zip_bytes([*junk, ("a.png", png)]))]),
        "zip_names_unicode": (READ, [("a.zip", zip_bytes([("мозг/脳" + "é" * 120 + ".png", png)]))]),
    }


def child_seconds() -> float:
    """Processor time of all children so far: what else the machine does, does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def server_memory() -> int:
    """Resident memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // MB


def run(files: Files) -> tuple[float, int, list[str]]:
    """Read an upload in a child; return its processor time, the number of scans and the sentences."""
    started = child_seconds()
    try:
        scans, problems = read_upload(files)
    except IngestError as error:
        scans, problems = [], [str(error)]
    return child_seconds() - started, len(scans), problems


def main() -> None:
    cases = corpus()
    # a child's start is Python and the library of the format, which a good file needs too
    start = {kind: min(run(files)[0] for _ in range(3)) for kind, files in good().items()}
    before, seconds, wrong = server_memory(), {}, []
    for name, (wanted, files) in cases.items():
        kind = next((kind for kind in ("dicom", "nifti", "tiff") if kind in name), "png")
        used, scans, problems = run(files)
        seconds[name] = used - start[kind]
        outcome = READ if scans else REFUSED
        if wanted not in (EITHER, outcome) or not (scans or problems):
            wrong.append(name)
        print(f"{name:34} {outcome:8} {seconds[name]:6.2f} s  {' '.join(problems)[:100]}")
    slowest = sorted(seconds, key=seconds.__getitem__)[::-1][:5]
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"\n{len(cases)} uploads; not as wanted: {', '.join(wrong) or 'none'}")
    print("start of a child:", ", ".join(f"{kind} {value:.2f} s" for kind, value in start.items()))
    print("slowest beyond it:", ", ".join(f"{name} {seconds[name]:.2f} s" for name in slowest))
    print(f"largest child {child} MB; this process {before} MB before, {server_memory()} MB after")


if __name__ == "__main__":
    main()
