"""Volumes whose values are labels: masks, whatever their name says."""

from dataclasses import replace

import numpy as np

from unet.data.sequences import EXPECTED_MASK, OTHER
from unet.language import t
from unet.scans.limits import MAX_LABELS
from unet.scans.scan import Scan
from unet.scans.stacking import PICTURES

MAX_VALUE = 65535


def as_label_map(scan: Scan) -> Scan:
    """Return a scan as an expected mask if its values are labels: 0 and few whole numbers, as no picture has them.

    Photos and slides are left as they are, and so is what its name calls another picture, such as a brain mask.
    """
    if scan.file_format in (*PICTURES, "DICOM") or scan.voxels.shape[3] != 1:
        return scan
    if scan.guesses[0] == OTHER:
        return scan
    labels = _labels(scan.voxels)
    if not labels:
        return scan
    scan = replace(scan, window=(0.0, float(labels[-1])))
    if scan.guesses == (EXPECTED_MASK,):
        return scan
    note = t("Its only values are {labels}, so it is taken for a mask.", labels=", ".join(map(str, labels)))
    return replace(scan, guesses=(EXPECTED_MASK,), notes=(*scan.notes, note))


def _labels(voxels: np.ndarray) -> list[int]:
    """Return the values of a label map, 0 first; empty for a picture, which shows itself in its first slices."""
    if voxels.min() != 0 or not 0 < voxels.max() <= MAX_VALUE:
        return []
    found: set[int] = set()
    for plane in voxels:  # one at a time, as a copy of all may be too large
        whole = plane.astype(np.int32)
        if not np.array_equal(whole, plane):
            return []
        found.update(np.flatnonzero(np.bincount(whole.ravel())).tolist())
        if len(found) > MAX_LABELS:
            return []
    return sorted(found)
