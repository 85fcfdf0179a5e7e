"""Which scans of an upload are of one examination: by the study of DICOM, else by folders and file names.

Two patients, or two visits of one, must never make one picture in silence.
"""

import re
from itertools import takewhile
from pathlib import PurePosixPath

from unet.data.sequences import guess_from_file
from unet.scans.scan import Scan

_BIDS = re.compile(r"(?<![a-zA-Z0-9])(sub-[a-zA-Z0-9]+)(?:[_/](ses-[a-zA-Z0-9]+))?")


class Examinations:
    """The scans of an upload, each with the examination it is of.

    Args:
        scans: of one upload.
        flairs: numbers of the scans that state FLAIR: where one folder holds several, names tell whose a scan is.
    """

    def __init__(self, scans: list[Scan], flairs: list[int]) -> None:
        self._scans = scans
        self._flairs = sorted(set(flairs))

    def hold(self, flair: int, other: int) -> bool:
        """Tell whether two scans, by number, are of one examination."""
        first, second = self._scans[flair], self._scans[other]
        if flair == other:
            return True
        if (studies := _studies(first, second)) is not None:
            return studies
        if _place(first) != _place(second):
            return False
        rivals = [one for one in self._flairs if _place(self._scans[one]) == _place(second)]
        alike = {one: _common(self._scans[one], second) for one in {flair, *rivals}}
        return alike[flair] == max(alike.values())


def _studies(first: Scan, second: Scan) -> bool | None:
    """Tell whether two DICOM series are of one study, or None where a header does not say."""
    pairs = ((scan.source or {}).get("study") for scan in (first, second))
    one, other = pairs
    return one == other if one and other else None


def _place(scan: Scan) -> str:
    """Return the subject and session of BIDS, else the folder, without those that are named after a sequence."""
    path = PurePosixPath(scan.files[0] if scan.files else scan.name)
    if found := _BIDS.search(str(path)):
        return "_".join(filter(None, found.groups()))
    folders = list(path.parent.parts)
    while folders and guess_from_file(folders[-1]) is not None:
        folders.pop()
    return "/".join(folders)


def _common(first: Scan, second: Scan) -> int:
    """Return how many words and numbers two file names begin with alike; those of DICOM are mere numbers."""
    if first.file_format == second.file_format == "DICOM":
        return 0
    names = [PurePosixPath(scan.files[0] if scan.files else scan.name).name.lower() for scan in (first, second)]
    pairs = zip(*(re.findall(r"[a-z0-9]+", name) for name in names), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
