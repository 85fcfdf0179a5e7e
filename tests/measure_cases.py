"""Read the uploads of `../shared/mri-cases`, each with its right outcome, and say which come out right.

    python -m tests.measure_cases
    python -m tests.measure_cases nifti2 mgz       some of them

Each line: the case, whether it came out right, what was found. Where it did not, the next lines say what is wanted.
"""

import argparse
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from unet.data.volume import FLAIR
from unet.export.result import Result, to_nifti
from unet.scans.assemble import build_volume
from unet.scans.mapping import Channel, Mapping, doubt, suggest, suggest_mask
from unet.scans.reader import read_files
from unet.scans.scan import Scan
from unet.weights.network import find_weights

CASES = Path(__file__).resolve().parents[2] / "shared" / "mri-cases"


@dataclass(frozen=True)
class Outcome:
    """What came of an upload."""

    scans: list[Scan]
    problems: list[str]

    @property
    def mappings(self) -> list[Mapping]:
        """The pictures that are offered, the first first."""
        return suggest(self.scans)

    def sequences(self, picture: int = 0) -> tuple[str | None, ...]:
        """File or series names of the three sequences of a picture."""
        return tuple(channel and Path(self.scans[channel.scan].name).name for channel in self.mappings[picture])

    @property
    def expected(self) -> str | None:
        """Name of the expected mask of the first picture."""
        channel = suggest_mask(self.scans, self.mappings[0][FLAIR])
        return channel and Path(self.scans[channel.scan].name).name

    def says(self, *words: str) -> bool:
        """Whether the words stand in what the visitor is told."""
        told = [*self.problems, *(note for scan in self.scans for note in scan.notes)]
        told += [doubt(self.scans, mapping) for mapping in self.mappings]
        return all(any(word in sentence for sentence in told) for word in words)


def one_flair(slices: int, *said: str) -> Callable[[Outcome], bool]:
    """One scan of so many slices, taken for FLAIR, without a file left out; and what is said."""
    return lambda found: (
        [scan.voxels.shape[0] for scan in found.scans] == [slices]
        and found.scans[0].guesses[0] == "FLAIR"
        and (bool(said) or not found.problems)
        and found.says(*said)
    )


def sentence(*words: str) -> Callable[[Outcome], bool]:
    """No scan, and a sentence with these words."""
    return lambda found: not found.scans and found.says(*words)


def three(pre: str, flair: str, post: str, mask: str | None = None) -> Callable[[Outcome], bool]:
    """One picture of three sequences, its expected mask, and nothing to complain of."""
    return lambda found: (
        len(found.mappings) == 1
        and found.sequences() == (pre, flair, post)
        and found.expected == mask
        and not found.problems
    )


def _own_study(found: Outcome) -> bool:
    studies = [{(found.scans[one.scan].source or {})["study"] for one in mapping if one} for mapping in found.mappings]
    return len(studies) == 2 and all(len(one) == 1 for one in studies)


def _keeps_its_gap(scan: Scan) -> bool:
    """Whether the slice after the gap lies where its header says, in the NIfTI of a mask."""
    mask = np.zeros(scan.voxels.shape[:3], np.uint8)
    mask[5] = 1
    volume, _ = build_volume([scan], (None, Channel(0, 0), None))
    nifti = to_nifti(Result(scan, volume, mask, 0.5, find_weights(), ""))
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(nifti))
    place = np.argwhere(np.asanyarray(image.dataobj))[0]
    assert image.affine is not None
    column, row, slice_ = place
    return bool(
        np.isclose((image.affine @ [column, row, slice_, 1])[2], (scan.source or {})["references"][5]["position"][2])
    )


def _no_high_bits(found: Outcome) -> bool:
    return one_flair(5)(found) and max(scan.voxels.max() for scan in found.scans) < 4096


WANTED: dict[str, Callable[[Outcome], bool]] = {
    "analyze_spm": one_flair(10, "gives no orientation"),
    "dicom_dicomdir_only": sentence("only lists the other files", "whole folder"),
    "dicom_dup_same_uid": one_flair(10),
    "dicom_flair_t1_two_patients": _own_study,
    "dicom_ge_t1flair": three("Ax T1 FLAIR", "Ax T2 FLAIR", "Ax T1 FLAIR +C"),
    "dicom_high_bits_overlay": _no_high_bits,
    "dicom_imagetype_varies": one_flair(10),
    "dicom_iop_jitter": one_flair(10),
    "dicom_localizer_mixed": lambda found: sorted(len(scan.voxels) for scan in found.scans) == [1, 1, 10],
    "dicom_missing_slice": lambda found: one_flair(9, "unevenly spaced")(found) and _keeps_its_gap(found.scans[0]),
    "dicom_no_description": lambda found: (
        [scan.guesses[0] for scan in found.scans] == ["pre-contrast", "FLAIR", "post-contrast"]
    ),
    "dicom_no_ipp": one_flair(10, "in the order of their numbers"),
    "dicom_one_slice_no_ipp": one_flair(9, "IM0005.dcm: its header holds no position"),
    "dicom_ps_jitter": one_flair(10),
    "dicom_study_planes": lambda found: found.sequences() == ("AX T1", "AX T2 FLAIR", "AX T1 +C"),
    "dicom_two_acquisitions": lambda found: [len(scan.voxels) for scan in found.scans] == [10, 10],
    "jpg_annotated": lambda found: (
        [scan.voxels.shape[3] for scan in found.scans] == [1] and found.says("drawn on it", "says FLAIR")
    ),
    "jpg_mask": lambda found: found.expected == "slice_05_mask.jpg" and found.says("from half of the brightest up"),
    "mac_dot_underscore_only": sentence("macOS keeps notes", "Upload flair.nii.gz"),
    "mgz": one_flair(10),
    "names_bids": three(
        "sub-01_T1w.nii.gz", "sub-01_FLAIR.nii.gz", "sub-01_ce-gd_T1w.nii.gz", "sub-01_label-lesion_mask.nii.gz"
    ),
    "names_brain_mask": lambda found: found.expected == "lesion.nii.gz",
    "names_brats2023": three(
        "BraTS-GLI-00000-000-t1n.nii.gz",
        "BraTS-GLI-00000-000-t2f.nii.gz",
        "BraTS-GLI-00000-000-t1c.nii.gz",
        "BraTS-GLI-00000-000-seg.nii.gz",
    ),
    "names_native_space": three(
        "sub_hdbet_native_t1.nii.gz", "sub_hdbet_native_fla.nii.gz", "sub_hdbet_native_t1c.nii.gz"
    ),
    "nifti2": one_flair(10),
    "nifti_4d_flair_first": lambda found: (
        found.scans[0].voxels.shape[3] == 4 and found.mappings[0][FLAIR].channel == 0 and found.says("says FLAIR")
    ),
    "nifti_5d_vector": lambda found: [scan.voxels.shape for scan in found.scans] == [(10, 96, 96, 3)],
    "nifti_double_gz": one_flair(10),
    "nifti_gz_named_nii": lambda found: [scan.guesses for scan in found.scans] == [("FLAIR",)] * 2,
    "nifti_int8": one_flair(10),
    "nifti_neg_pixdim": lambda found: one_flair(10)(found) and min(found.scans[0].spacing or (0,)) > 0,
    "nifti_no_codes": one_flair(10, "gives no orientation"),
    "nifti_pair": one_flair(10),
    "nifti_q_s_conflict": one_flair(10, "q-form and s-form"),
    "nifti_rgb24": lambda found: [scan.voxels.shape[0] for scan in found.scans] == [10] and not found.problems,
    "nifti_slope_zero": one_flair(10),
    "picture_webp": lambda found: [scan.file_format for scan in found.scans] == ["WEBP"],
    "png_1bit_mask": lambda found: found.expected == "slice_05_mask.png",
    "png_palette_mask": lambda found: found.expected == "slice_05_mask.png",
    "zip_in_zip": lambda found: len(found.scans) == 1 and not found.problems,
}


def read_case(folder: Path) -> Outcome:
    """Read a case as the page does, without the child process."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "RIGHT.txt"]
    return Outcome(*read_files([(str(path.relative_to(folder)), path.read_bytes()) for path in paths]))


def is_right(name: str, found: Outcome) -> bool:
    """Whether a case came out right."""
    try:
        return bool(WANTED[name](found))
    except (IndexError, KeyError):  # a scan, a picture or a study that is wanted is not there
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*WANTED, []], help="of cases; default: all")
    names = parser.parse_args().names or list(WANTED)
    right = 0
    for name in names:
        found = read_case(CASES / name)
        good = is_right(name, found)
        right += good
        pictures = "; ".join(", ".join(map(str, found.sequences(n))) for n in range(len(found.mappings)))
        print(f"{name}: {'right' if good else 'WRONG'}: {len(found.scans)} scans; {pictures or found.problems}")
        if not good:
            print((CASES / name / "RIGHT.txt").read_text())
    print(f"{right} of {len(names)} right")


if __name__ == "__main__":
    main()
