"""Small files that cost much once they are read: long, thin, many, slow to decode, or of impossible sizes."""

import gzip
import io
import struct
import zlib

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.upload_files import AXIAL, dicom_bytes, dicom_slice, nifti_bytes, png_bytes, tiff_bytes, zip_bytes

Files = list[tuple[str, bytes]]
READ, REFUSED, EITHER = "read", "refused", "either"


def corpus(image: np.ndarray) -> dict[str, tuple[str, Files]]:
    """Return name → (what must come of it, the upload), made from a slice of 64 × 64."""
    return {**_long_and_many(image), **_slow_pictures(image), **_impossible_sizes(image), **_compressed_dicom(image)}


def _blank(shape: tuple[int, int, int], affine: np.ndarray = AXIAL, version: int = 1) -> bytes:
    """A gzipped NIfTI of zeros with one bright corner, (columns, rows, slices)."""
    header = bytearray(nifti_bytes(np.zeros((1, 1, 1), np.uint8), affine)[:352])
    if version == 2:
        import nibabel

        header = bytearray(nibabel.Nifti2Image(np.zeros((1, 1, 1), np.uint8), affine).to_bytes()[:544])
        header[16:80] = struct.pack("<8q", 3, *shape, 1, 1, 1, 1)
    else:
        header[40:56] = struct.pack("<8h", 3, *shape, 1, 1, 1, 1)
    voxels = bytearray(shape[0] * shape[1] * shape[2])
    voxels[: shape[0] // 2] = b"\xc8" * (shape[0] // 2)
    return gzip.compress(bytes(header) + bytes(voxels), 6)


def _long_and_many(image: np.ndarray) -> dict:
    finer = AXIAL.copy()
    finer[:3] *= 0.95
    png = png_bytes(image)
    sizes = [png_bytes(np.full((16 + n % 40, 16 + n // 40), 9, np.uint8)) for n in range(2000)]
    pages = np.zeros((600, 16, 16), np.uint8)
    return {
        "nifti_2_of_170000_slices": (REFUSED, [("a.nii.gz", _blank((16, 16, 170_000), version=2))]),
        "nifti_of_30000_slices": (REFUSED, [("a.nii.gz", _blank((16, 16, 30_000)))]),
        "nifti_of_2000_slices": (REFUSED, [("a.nii.gz", _blank((16, 16, 2000)))]),
        "nifti_of_600_slices": (READ, [("a.nii.gz", _blank((16, 16, 600)))]),
        "nifti_long_and_thin": (READ, [("a.nii.gz", _blank((2048, 16, 600)))]),
        "nifti_thin_and_long": (READ, [("a.nii.gz", _blank((16, 2048, 600)))]),
        "nifti_of_32_large_slices": (READ, [("a.nii.gz", _blank((1024, 1024, 32)))]),
        "nifti_of_8_largest_slices": (READ, [("a.nii.gz", _blank((2048, 2048, 8)))]),
        "nifti_of_9_largest_slices": (READ, [("a.nii.gz", _blank((2048, 2048, 9)))]),  # the page refuses it
        "nifti_of_128_slices_of_512": (READ, [("a.nii.gz", _blank((512, 512, 128)))]),
        "nifti_of_3000_squared": (REFUSED, [("a.nii.gz", _blank((3000, 3000, 1)))]),
        "nifti_of_two_grids": (
            READ,
            [("flair.nii.gz", _blank((512, 512, 91))), ("t1.nii.gz", _blank((512, 512, 91), finer))],
        ),
        "nifti_of_two_large_grids": (  # the page refuses to resample them
            READ,
            [("flair.nii.gz", _blank((512, 512, 120))), ("t1.nii.gz", _blank((512, 512, 120), finer))],
        ),
        "pngs_2000_of_one_size": (READ, [(f"{number}.png", png) for number in range(2000)]),
        "pngs_2000_of_many_sizes": (READ, [(f"{number}.png", one) for number, one in enumerate(sizes)]),
        "zip_of_5000_tiny_pngs": (
            READ,
            [("a.zip", zip_bytes([(f"{n}.png", sizes[n % 2000]) for n in range(5000)]))],
        ),
        "zip_of_5000_bad_files": (REFUSED, [("a.zip", zip_bytes([(f"{n}.dcm", b"no") for n in range(5000)]))]),
        "tiff_of_600_pages": (READ, [("a.tif", tiff_bytes(pages, photometric="minisblack"))]),
        "tiff_deflated_of_30_large_pages": (
            READ,
            [
                (
                    "a.tif",
                    tiff_bytes(np.zeros((30, 1024, 1024), np.uint8), photometric="minisblack", compression="zlib"),
                )
            ],
        ),
        "tiff_of_3000_squared_pages": (
            REFUSED,
            [("a.tif", tiff_bytes(np.zeros((2, 3000, 3000), np.uint8), photometric="minisblack", compression="zlib"))],
        ),
        "dicoms_of_600_series": (
            READ,
            [(f"{n}.dcm", dicom_bytes(dicom_slice(image, SeriesInstanceUID=f"1.2.{n}"))) for n in range(600)],
        ),
    }


def _interlaced(side: int) -> bytes:
    """An interlaced PNG of grey zeros."""
    rows = b""
    for x, y, step_x, step_y in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        width, height = -(-(side - x) // step_x), -(-(side - y) // step_y)
        rows += bytes((width + 1) * height)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _jpeg(side: int, mode: str = "L", **options) -> bytes:
    written = io.BytesIO()
    Image.new(mode, (side, side), 40 if mode == "L" else (40, 60, 80)).save(written, "JPEG", **options)
    return written.getvalue()


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose scans are repeated."""
    jpeg = _jpeg(side, progressive=True)
    last = jpeg.rfind(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * scans + jpeg[-2:]


def _slow_pictures(image: np.ndarray) -> dict:
    big = np.zeros((8000, 7900), np.uint8)
    return {
        "png_interlaced_of_63_megapixels": (REFUSED, [("a.png", _interlaced(7937))]),
        "png_interlaced_of_16_megapixels": (READ, [("a.png", _interlaced(4000))]),
        "png_of_16_bits_and_60_megapixels": (READ, [("a.png", png_bytes(big.astype(np.uint16)))]),
        "png_of_colours_and_20_megapixels": (READ, [("a.png", png_bytes(np.zeros((4500, 4500, 3), np.uint8)))]),
        "jpeg_of_60_megapixels": (READ, [("a.jpg", _jpeg(7700))]),
        "jpeg_of_80_megapixels": (REFUSED, [("a.jpg", _jpeg(9000))]),
        "jpeg_progressive_of_60_megapixels": (EITHER, [("a.jpg", _jpeg(7700, progressive=True))]),
        "jpeg_progressive_in_colours": (EITHER, [("a.jpg", _jpeg(6000, "RGB", progressive=True))]),
        "jpeg_of_1000_scans": (REFUSED, [("a.jpg", many_scans(4000, 1000))]),
        "png_beside_a_slow_jpeg": (
            READ,
            [("slow.jpg", many_scans(6000, 1000)), ("good.png", png_bytes(image))],
        ),
        "tiff_of_60_megapixels": (
            READ,
            [("a.tif", tiff_bytes(big, photometric="minisblack", compression="zlib"))],
        ),
        "tiff_of_float64_and_20_megapixels": (
            READ,
            [("a.tif", tiff_bytes(np.zeros((4500, 4500)), photometric="minisblack", compression="zlib"))],
        ),
    }


def _impossible_sizes(image: np.ndarray) -> dict:
    cases = {}
    for size in ("1e-300", "1e300", "1e-30", "1e30", "1e-5", "1e5"):
        nowhere = {"ImageOrientationPatient": None, "ImagePositionPatient": None}
        spaced = dicom_slice(image, PixelSpacing=[1, 1], **nowhere)
        spaced.PixelSpacing = [size, "1"]
        cases[f"dicom_rows_{size}_mm_apart"] = (READ, [("a.dcm", dicom_bytes(spaced))])
        spaced.PixelSpacing = ["1", size]
        cases[f"dicom_columns_{size}_mm_apart"] = (READ, [("a.dcm", dicom_bytes(spaced))])
        spaced.PixelSpacing, spaced.SliceThickness = ["1", "1"], size
        cases[f"dicom_slices_{size}_mm_thick"] = (READ, [("a.dcm", dicom_bytes(spaced))])
    for size in (1e-38, 1e38, float("nan"), float("inf"), -1.0, 0.0):
        header = bytearray(nifti_bytes(np.dstack([image] * 3), unit=None))
        header[80:92] = struct.pack("<3f", size, 1, size)  # pixdim
        header[252:256] = bytes(4)  # codes of qform and sform: no orientation
        cases[f"nifti_of_{size}_mm"] = (READ, [("a.nii", bytes(header))])
    return cases


def packed(image: np.ndarray, syntax: str, frames: list[bytes], **changes) -> Files:
    """A DICOM file of 8 bits with compressed frames; keywords as in `dicom_slice`."""
    dataset = dicom_slice(image, **{"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7} | changes)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    return [("a.dcm", dicom_bytes(dataset))]


def _compressed_dicom(image: np.ndarray) -> dict:
    noise = np.random.default_rng(5).bytes(3000)
    frame = struct.pack(">BHHB3B", 8, 64, 64, 1, 1, 0x11, 0)
    cases = {
        "dicom_jpeg_of_4096_squared": (
            REFUSED,
            packed(image, JPEGBaseline8Bit, [_jpeg(4096, progressive=True)], Rows=4096, Columns=4096),
        ),
        "dicom_jpeg_of_2048_squared": (
            EITHER,
            packed(image, JPEGBaseline8Bit, [_jpeg(2048, progressive=True)], Rows=2048, Columns=2048),
        ),
        "dicom_jpeg_of_1000_scans": (
            EITHER,
            packed(image, JPEGBaseline8Bit, [many_scans(2048, 1000)], Rows=2048, Columns=2048),
        ),
        "dicom_jpeg_larger_than_said": (EITHER, packed(image, JPEGBaseline8Bit, [_jpeg(8000)])),
        "dicom_jpeg_of_another_size": (EITHER, packed(image, JPEGBaseline8Bit, [_jpeg(32)])),
        "dicom_of_500_jpeg_frames": (
            EITHER,
            packed(image, JPEGBaseline8Bit, [_jpeg(256)] * 500, Rows=256, Columns=256, NumberOfFrames=500),
        ),
        "dicom_of_5000_frames": (REFUSED, packed(image, RLELossless, [noise] * 2, NumberOfFrames=5000)),
        "dicom_deflated_of_zeros": (READ, _deflated(image)),
    }
    for name, syntax, start in (
        ("jpeg", JPEGBaseline8Bit, b"\xff\xd8\xff\xc0\0\x0b" + frame),
        ("jpeg_lossless", JPEGLosslessSV1, b"\xff\xd8\xff\xc3\0\x0b" + frame),
        ("jpeg_ls", JPEGLSLossless, b"\xff\xd8\xff\xf7\0\x0b" + frame),
        ("jpeg_2000", JPEG2000, b"\xff\x4f\xff\x51\0\x29"),
        ("rle", RLELossless, struct.pack("<16I", 1, 64, *[0] * 14)),
    ):
        cases[f"dicom_{name}_of_noise"] = (EITHER, packed(image, syntax, [start + noise]))
        cases[f"dicom_{name}_without_end"] = (EITHER, packed(image, syntax, [start]))
        cases[f"dicom_{name}_of_nothing"] = (EITHER, packed(image, syntax, [bytes(2)]))
        cases[f"dicom_{name}_of_zeros"] = (EITHER, packed(image, syntax, [start + bytes(900)]))
    return cases


def _deflated(image: np.ndarray) -> Files:
    plain = dicom_slice(image, Rows=2000, Columns=2000, PixelData=bytes(2 * 2000 * 2000))
    plain.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return [("a.dcm", dicom_bytes(plain))]
