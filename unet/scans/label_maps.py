"""Volumes whose values are labels: masks, whatever their name says."""

from dataclasses import replace

import numpy as np

from unet.data.sequences import EXPECTED_MASK, OTHER
from unet.language import t
from unet.scans.expected_mask import MAX_LABELS
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
    """Return the values of a label map, 0 first; empty for a picture."""
    part = voxels[:: max(1, len(voxels) // 8), ::4, ::4]  # a picture shows itself in a part of it
    if len(np.unique(part)) > MAX_LABELS or voxels.min() != 0 or not 0 < voxels.max() <= MAX_VALUE:
        return []
    whole = voxels.astype(np.int32)
    if not np.array_equal(whole, voxels):
        return []
    found = np.flatnonzero(np.bincount(whole.ravel()))
    return found.tolist() if len(found) <= MAX_LABELS else []
