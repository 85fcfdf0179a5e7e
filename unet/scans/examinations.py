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
        self._places = [_place(scan) for scan in scans]
        self._words = [_words(scan) for scan in scans]
        self._most_common = [
            max((self._common(one, other) for one in set(flairs) if self._places[one] == place), default=0)
            for other, place in enumerate(self._places)
        ]

    def hold(self, flair: int, other: int) -> bool:
        """Tell whether two scans, by number, are of one examination."""
        if flair == other:
            return True
        if (studies := _studies(self._scans[flair], self._scans[other])) is not None:
            return studies
        if self._places[flair] != self._places[other]:
            return False
        return self._common(flair, other) >= self._most_common[other]

    def _common(self, first: int, second: int) -> int:
        """Return how many words two file names begin with alike."""
        pairs = zip(self._words[first], self._words[second], strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _studies(first: Scan, second: Scan) -> bool | None:
    """Tell whether two DICOM series are of one study, or None where a header does not say."""
    one, other = ((scan.source or {}).get("study") for scan in (first, second))
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


def _words(scan: Scan) -> list[str]:
    """Return the words and numbers of a file's name; those of DICOM are mere numbers, and say nothing."""
    if scan.file_format == "DICOM":
        return []
    return re.findall(r"[a-z0-9]+", PurePosixPath(scan.files[0] if scan.files else scan.name).name.lower())
