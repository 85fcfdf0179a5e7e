"""Volumes beside NIfTI that mean no good: headers that promise the moon, lead to other files, or make readers work."""

import bz2
import gzip
import struct
import zlib

import numpy as np

from tests.heic_files import HEIC
from tests.volume_files import afni_pair, mha_bytes, minc_bytes, nrrd_bytes, nrrd_header, par_pair

Files = list[tuple[str, bytes]]
READ, REFUSED, EITHER = "read", "refused", "either"
MB = 1 << 20
_ELSEWHERE = ("/etc/passwd", "../../etc/passwd", "..\\..\\etc\\passwd", "file:///etc/passwd", "a.nhdr", ".", "")


def corpus(stack: np.ndarray) -> dict[str, tuple[str, Files]]:
    """Return name → (what must come of it, the upload), made from (slices, height, width)."""
    return {**_nrrd(stack), **_metaimage(stack), **_pairs(stack), **_minc(stack), **_heic(), **_named()}


def _nrrd(stack: np.ndarray) -> dict:
    def attached(values: bytes = b"", encoding: str = "gzip", **fields: str) -> Files:
        return [("a.nrrd", nrrd_header(stack.shape, encoding, **fields) + b"\n" + values)]

    zeros = zlib.compressobj(9, zlib.DEFLATED, 31)
    gzip_bomb = zeros.compress(bytes(300 * MB)) + zeros.flush()
    bzip2_bomb = bz2.compress(bytes(8 * MB)) * 100
    good = nrrd_bytes(stack)
    cases: dict[str, tuple[str, Files]] = {
        "of_terabytes": (REFUSED, attached(sizes="60000 60000 600")),
        "of_400_cubed": (REFUSED, attached(gzip.compress(bytes(64)), sizes="400 400 400")),
        "of_400_cubed_in_bzip2": (REFUSED, attached(bz2.compress(bytes(64)), "bzip2", sizes="400 400 400")),
        "gzip_bomb": (REFUSED, attached(gzip_bomb)),
        "bzip2_bomb": (REFUSED, attached(bzip2_bomb, "bzip2")),
        "of_no_values": (REFUSED, attached(sizes="64 0 6")),
        "of_minus_5": (REFUSED, attached(sizes="64 -5 6")),
        "of_1e30": (REFUSED, attached(sizes="1000000000000000000000000000000 64 6")),
        "of_words": (REFUSED, attached(sizes="many many many")),
        "of_99_axes": (REFUSED, attached(dimension="99")),
        "of_99_axes_and_sizes": (REFUSED, attached(dimension="99", sizes=" ".join(["1"] * 99))),
        "of_blocks": (REFUSED, attached(type="block")),
        "of_text": (REFUSED, attached(encoding="txt")),
        "of_hex": (REFUSED, attached(encoding="hex")),
        "skips_1e12_lines": (REFUSED, attached(line_skip="1000000000000")),
        "skips_minus_9_bytes": (REFUSED, attached(byte_skip="-9")),
        "skips_1e12_bytes": (REFUSED, attached(byte_skip="1000000000000")),
        "without_end": (REFUSED, [("a.nrrd", good.partition(b"\n\n")[0])]),
        "of_one_line": (REFUSED, [("a.nrrd", b"NRRD0005" + b"a" * MB)]),
        "of_a_million_lines": (REFUSED, [("a.nrrd", b"NRRD0005\n" + b"# \n" * 700_000)]),
        "of_a_million_quotes": (REFUSED, attached(labels='"a" ' * 200_000)),
        "field_twice": (REFUSED, [("a.nrrd", good.replace(b"type:", b"type: int16\ntype:"))]),
        "of_nan_directions": (EITHER, attached(space_directions="(nan,0,0) (0,1,0) (0,0,6)")),
        "of_no_directions": (EITHER, attached(space_directions="none none none")),
        "of_directions_of_0": (EITHER, attached(space_directions="(0,0,0) (0,0,0) (0,0,0)")),
        "of_directions_of_1e300": (EITHER, attached(space_directions="(1e300,0,0) (0,1e300,0) (0,0,1e300)")),
        "in_light_years": (READ, [("a.nrrd", good.replace(b'"mm"', b'"ly"'))]),
        "of_another_space": (READ, [("a.nrrd", good.replace(b"left-posterior-superior", b"scanner-xyz"))]),
        "version_9": (REFUSED, [("a.nrrd", good.replace(b"NRRD0005", b"NRRD0009"))]),
        "list_of_100000": (REFUSED, _detached(stack, "LIST", b"\n".join(b"%d.raw" % n for n in range(100_000)))),
        "pattern_of_a_million": (REFUSED, _detached(stack, "a%06d.raw 0 999999 1")),
        "pattern_of_a_billion_digits": (REFUSED, _detached(stack, "a%999999999d.raw 0 9 1")),
        "pattern_backwards": (REFUSED, _detached(stack, "a%d.raw 9 0 1")),
        "name_of_a_million_spaces": (REFUSED, _detached(stack, "a" + " " * 900_000 + "b")),
    }
    for number, path in enumerate(_ELSEWHERE):
        cases[f"leads_elsewhere_{number}"] = (REFUSED, _detached(stack, path))
    return {f"nrrd_{name}": case for name, case in cases.items()}


def _detached(stack: np.ndarray, data_file: str, following: bytes = b"") -> Files:
    return [("a.nhdr", nrrd_header(stack.shape, data_file=data_file) + following)]


def _metaimage(stack: np.ndarray) -> dict:
    bomb = zlib.compress(bytes(300 * MB), 9)
    head = mha_bytes(stack, "a.zraw").replace(b"a.zraw", b"LOCAL")
    cases: dict[str, tuple[str, Files]] = {
        "of_terabytes": (REFUSED, [("a.mha", mha_bytes(stack, DimSize="60000 60000 600"))]),
        "of_400_cubed": (REFUSED, [("a.mha", mha_bytes(stack, DimSize="400 400 400"))]),
        "bomb": (REFUSED, [("a.mha", head + bomb)]),
        "bomb_beside": (REFUSED, [("a.mhd", mha_bytes(stack, "a.zraw")), ("a.zraw", bomb)]),
        "of_99_axes": (REFUSED, [("a.mha", mha_bytes(stack, NDims="99"))]),
        "of_minus_5": (REFUSED, [("a.mha", mha_bytes(stack, DimSize="64 -5 6"))]),
        "of_1e30": (REFUSED, [("a.mha", mha_bytes(stack, DimSize="1000000000000000000000000000000 64 6"))]),
        "of_minus_1_channel": (REFUSED, [("a.mha", mha_bytes(stack, ElementNumberOfChannels="-1"))]),
        "of_1e9_channels": (REFUSED, [("a.mha", mha_bytes(stack, ElementNumberOfChannels="1000000000"))]),
        "of_text": (REFUSED, [("a.mha", mha_bytes(stack, BinaryData="False"))]),
        "of_unknown_type": (REFUSED, [("a.mha", mha_bytes(stack, ElementType="MET_STRING"))]),
        "header_of_minus_9": (REFUSED, [("a.mha", mha_bytes(stack, HeaderSize="-9", compressed=False))]),
        "header_of_1e12": (REFUSED, [("a.mha", mha_bytes(stack, HeaderSize="1000000000000", compressed=False))]),
        "of_nan": (EITHER, [("a.mha", mha_bytes(stack, TransformMatrix="nan 0 0 0 1 0 0 0 1"))]),
        "of_two_numbers": (REFUSED, [("a.mha", mha_bytes(stack, TransformMatrix="1 0"))]),
        "of_spacing_0": (EITHER, [("a.mha", mha_bytes(stack, ElementSpacing="0 0 0"))]),
        "without_file": (REFUSED, [("a.mha", mha_bytes(stack).partition(b"ElementDataFile")[0])]),
        "list_of_100000": (
            REFUSED,
            [("a.mhd", mha_bytes(stack, "LIST") + b"\n".join(b"%d.raw" % n for n in range(100_000)))],
        ),
    }
    for number, path in enumerate(_ELSEWHERE):
        cases[f"leads_elsewhere_{number}"] = (REFUSED, [("a.mhd", mha_bytes(stack, path))])
    return {f"mha_{name}": case for name, case in cases.items()}


def _pairs(stack: np.ndarray) -> dict:
    [(head_name, head), brik] = afni_pair(stack)
    [(par_name, par), rec] = par_pair(stack)

    def afni(old: bytes, new: bytes) -> Files:
        assert old in head
        return [(head_name, head.replace(old, new)), brik]

    def philips(old: bytes, new: bytes) -> Files:
        assert old in par
        return [(par_name, par.replace(old, new)), rec]

    return {
        "afni_of_terabytes": (REFUSED, afni(b" 64 64 6 0 0", b" 60000 60000 600 0 0")),
        "afni_of_400_cubed": (REFUSED, afni(b" 64 64 6 0 0", b" 400 400 400 0 0")),
        "afni_of_minus_5": (REFUSED, afni(b" 64 64 6 0 0", b" 64 -5 6 0 0")),
        "afni_of_1e9_volumes": (REFUSED, afni(b" 3 1 0 0", b" 3 1000000000 0 0")),
        "afni_of_two_types": (REFUSED, afni(b"BRICK_TYPES\ncount = 1\n 1", b"BRICK_TYPES\ncount = 2\n 1 3")),
        "afni_bomb": (REFUSED, [(head_name, head), ("flair+orig.BRIK.gz", gzip.compress(bytes(300 * MB)))]),
        "afni_head_alone": (REFUSED, [(head_name, head)]),
        "afni_brik_alone": (REFUSED, [brik]),
        "par_of_2e9_slices": (REFUSED, philips(b"slices/locations   :   6", b"slices/locations   :   2000000000")),
        "par_of_minus_5_slices": (REFUSED, philips(b"slices/locations   :   6", b"slices/locations   :   -5")),
        "par_of_7_slices": (REFUSED, philips(b"slices/locations   :   6", b"slices/locations   :   7")),
        "par_of_terabytes": (REFUSED, philips(b" 16 100 64 64 ", b" 16 100 60000 60000 ")),
        "par_of_12_bits": (REFUSED, philips(b" 16 100 64 64 ", b" 12 100 64 64 ")),
        "par_of_100000_images": (
            REFUSED,
            philips(b"# === END", par.splitlines()[-2] * 1 + b"\n" + b"1 2 3\n" * 100_000),
        ),
        "par_alone": (REFUSED, [(par_name, par)]),
        "rec_alone": (REFUSED, [rec]),
    }


def _minc(stack: np.ndarray) -> dict:
    good = minc_bytes(stack)
    size = struct.pack(">I", stack.shape[1])
    name = good.find(b"yspace")
    wide = bytearray(good)
    wide[name + 8 : name + 12] = struct.pack(">I", 2_000_000_000)
    assert good[name + 8 : name + 12] == size
    many = bytearray(good)
    many[8:16] = struct.pack(">II", 10, 2_000_000_000)  # dimensions
    other = good.replace(b"image\0\0\0", b"imagf\0\0\0")
    return {
        "minc_of_2e9_rows": (REFUSED, [("a.mnc", bytes(wide))]),
        "minc_of_2e9_axes": (REFUSED, [("a.mnc", bytes(many))]),
        "minc_without_image": (REFUSED, [("a.mnc", other)]),
        "minc_irregular": (REFUSED, [("a.mnc", good.replace(b"regular__", b"irregular"))]),
    }


def _heic() -> dict:
    size = HEIC.find(b"ispe") + 8

    def sized(width: int, height: int) -> Files:
        return [("a.heic", HEIC[:size] + struct.pack(">II", width, height) + HEIC[size + 8 :])]

    return {
        "heic_of_60000_squared": (REFUSED, sized(60_000, 60_000)),
        "heic_of_7000_squared": (REFUSED, sized(7000, 7000)),
        "heic_of_0": (REFUSED, sized(0, 0)),
        "heic_of_16_squared": (REFUSED, sized(16, 16)),
        "heic_of_noise": (REFUSED, [("a.heic", HEIC[:400] + np.random.default_rng(6).bytes(3000))]),
        "heic_of_nothing": (REFUSED, [("a.heic", HEIC[:28])]),
    }


def _named() -> dict:
    return {
        "pdf": (REFUSED, [("a.pdf", b"%PDF-1.7" + bytes(900))]),
        "video": (REFUSED, [("a.mov", b"\0\0\0\x14ftypqt  " + bytes(900))]),
        "seven_zip": (REFUSED, [("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(900))]),
        "minc_2": (REFUSED, [("a.mnc", b"\x89HDF\r\n\x1a\n" + bytes(900))]),
        "raw_alone": (REFUSED, [("a.raw", bytes(900))]),
    }
