"""Whether the voxels of two scans lie in the same places, how much of one the other covers, and even grids.

Where slices of a series are missing, the others still lie on an even grid; `Scan.affine` is that of this grid.
"""

from itertools import pairwise

import numpy as np

from unet.scans.scan import Scan

SAME_PLACE = 0.5  # of a voxel: grids closer than this are one grid
MIN_OVERLAP = 0.5  # of FLAIR's grid that another sequence must cover
_PROBED = 32  # points along an axis at which that is looked at


def same_grid(first: Scan, second: Scan) -> bool:
    """Tell whether two scans have their voxels in the same places, as far as their headers say."""
    if first.voxels.shape[:3] != second.voxels.shape[:3] or first.places != second.places:
        return False
    if first.affine is None or second.affine is None:
        return True
    corners = np.array([[0, 0, 0, 1], [*(size - 1 for size in even_shape(first)), 1]]).T
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
    axes = [np.linspace(0, size - 1, min(size, _PROBED)) for size in even_shape(flair)]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    points = to_other[:3, :3] @ points + to_other[:3, 3:]
    last = np.array(even_shape(other))[:, np.newaxis] - 0.5
    return float(((points >= -0.5) & (points < last)).all(axis=0).mean())


def covers(flair: Scan, other: Scan) -> bool:
    """Tell whether another scan can stand beside FLAIR: on its grid, or to be resampled onto enough of it."""
    return fits(flair, other) and covered(flair, other) >= MIN_OVERLAP


def touches(flair: Scan, other: Scan) -> bool:
    """Tell whether the box of another scan that `fits` meets FLAIR's, in FLAIR's directions."""
    if same_grid(flair, other):
        return True
    assert flair.affine is not None
    assert other.affine is not None
    low, high = np.full(3, -0.5), np.array(even_shape(other)) - 0.5
    corners = np.array([[*np.where(corner, high, low), 1] for corner in np.ndindex(2, 2, 2)]).T
    found = np.linalg.solve(flair.affine, other.affine @ corners)[:3]
    return bool(((found.max(axis=1) > -0.5) & (found.min(axis=1) < np.array(even_shape(flair)) - 0.5)).all())


def size_of(scan: Scan) -> str:
    """Return slices, height and width for a sentence."""
    return " × ".join(str(size) for size in scan.voxels.shape[:3])


def even_shape(scan: Scan) -> tuple[int, int, int]:
    """Return slices, height and width with the missing slices counted."""
    shape = list(scan.voxels.shape[:3])
    if scan.places:
        shape[scan.placement.axes.index(0)] = scan.places[-1] + 1
    return shape[0], shape[1], shape[2]


def file_affine(scan: Scan) -> np.ndarray:
    """Return the 4 × 4 matrix from the file's own indices, missing slices counted, to RAS+ millimetres.

    Args:
        scan: one with an affine.
    """
    assert scan.affine is not None
    shape = scan.placement.inverse(np.broadcast_to(np.False_, even_shape(scan))).shape
    return scan.affine @ np.linalg.inv(scan.placement.affine(np.eye(4), shape))


def on_even_grid(scan: Scan, values: np.ndarray, interpolated: bool = False) -> np.ndarray:
    """Return an array with a slice for each missing one; the same array where none is missing.

    Args:
        scan: whose slices are missing.
        values: (slices, height, width), in display order.
        interpolated: whether a missing slice lies between its neighbours, else it is 0.
    """
    if scan.places is None:
        return values
    file_order = scan.placement.inverse(values)
    even = np.zeros((scan.places[-1] + 1, *file_order.shape[1:]), values.dtype)
    even[list(scan.places)] = file_order
    if interpolated:
        for index, (before, after) in enumerate(pairwise(scan.places)):
            for place in range(before + 1, after):
                share = (place - before) / (after - before)
                even[place] = (1 - share) * file_order[index] + share * file_order[index + 1]
    return scan.placement.forward(even)


def off_even_grid(scan: Scan, even: np.ndarray) -> np.ndarray:
    """Return the slices of an even grid that the scan has."""
    if scan.places is None:
        return even
    return scan.placement.forward(scan.placement.inverse(even)[list(scan.places)])
