"""How the files of a result are called."""

from dataclasses import dataclass
from pathlib import Path

from unet.scans.scan import Scan


def stem_of(name: str) -> str:
    """Return a file's name without its folder and endings.

    >>> stem_of("a/flair.nii.gz"), stem_of("v1.2.png")
    ('flair', 'v1.2')
    """
    name = Path(name).name.removesuffix(".gz")
    return Path(name).stem if Path(name).suffix else name


@dataclass(frozen=True)
class ResultNames:
    """How the files of one result begin, as a whole and slice by slice; `files` where each slice was a file."""

    stem: str
    slices: list[str]
    files: list[str]

    @classmethod
    def of(cls, scan: Scan, stem: str, taken: set[str]) -> "ResultNames":
        """Choose names, numbered where an earlier result of this run has taken one."""
        count = len(scan.voxels)
        files = [Path(file).name for file in scan.files] if scan.file_format != "DICOM" else []
        if len(files) == count:
            slices = [stem_of(file) for file in files]
        else:
            files, slices = [], [stem] if count == 1 else [f"{stem}_{number:03d}" for number in range(1, count + 1)]
        number, end = 1, ""
        while any(name + end in taken for name in (stem, *slices)):
            number += 1
            end = f"_{number}"
        names = cls(stem + end, [name + end for name in slices], files)
        taken.update((names.stem, *names.slices))
        return names
