"""Whether the voxels of two scans lie in the same places, and how much of one the other covers."""

import numpy as np

from unet.scans.scan import Scan

SAME_PLACE = 0.5  # of a voxel: grids closer than this are one grid
MIN_OVERLAP = 0.5  # of FLAIR's grid that another sequence must cover
_PROBED = 32  # points along an axis at which that is looked at


def same_grid(first: Scan, second: Scan) -> bool:
    """Tell whether two scans have their voxels in the same places, as far as their headers say."""
    if first.voxels.shape[:3] != second.voxels.shape[:3]:
        return False
    if first.affine is None or second.affine is None:
        return True
    corners = np.array([[0, 0, 0, 1], [*(size - 1 for size in first.voxels.shape[:3]), 1]]).T
    apart = np.abs(np.linalg.solve(first.affine, second.affine @ corners) - corners)
    return bool(apart.max() <= SAME_PLACE)


def fits(flair: Scan, other: Scan) -> bool:
    """Tell whether another scan can be brought onto FLAIR's grid."""
    return same_grid(flair, other) or (flair.affine is not None and other.affine is not None)


def covered(flair: Scan, other: Scan) -> float:
    """Return the share of FLAIR's grid that lies inside another scan, 0 to 1, seen at some of its points.

    Args:
        flair: a scan.
        other: one that `fits`.
    """
    if same_grid(flair, other):
        return 1.0
    assert flair.affine is not None
    assert other.affine is not None
    to_other = np.linalg.solve(other.affine, flair.affine)
    axes = [np.linspace(0, size - 1, min(size, _PROBED)) for size in flair.voxels.shape[:3]]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    points = to_other[:3, :3] @ points + to_other[:3, 3:]
    last = np.array(other.voxels.shape[:3])[:, np.newaxis] - 0.5
    return float(((points >= -0.5) & (points < last)).all(axis=0).mean())
