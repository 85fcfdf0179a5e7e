"""Where voxels lie in the patient: which axis is the slice axis, how it is shown, and what headers are usable."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from unet.language import mark
from unet.scans.limits import MAX_SPACING, MIN_SPACING

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from the system of DICOM and ITK to that of NIfTI
RESLICE_RATIO = 1.5  # voxels at most this much longer than wide may be looked at from another side
# which way slice, row and column count in a display, as letters of the RAS+ system (NIfTI-1: x to the right, y to
# the front, z up); "the patient's right on the left" is a column that counts to the left
DISPLAYS = {mark("axial"): "SPL", mark("coronal"): "PIL", mark("sagittal"): "LIP"}


@dataclass(frozen=True)
class Placement:
    """How display axes lie in the file's array: display axis d is file axis `axes[d]`, backwards if `flipped[d]`.

    >>> placement = Placement((2, 0, 1), (False, True, False))
    >>> file_array = np.arange(24).reshape(2, 3, 4)
    >>> placement.forward(file_array).shape
    (4, 2, 3)
    >>> bool((placement.inverse(placement.forward(file_array)) == file_array).all())
    True
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def forward(self, array: np.ndarray) -> np.ndarray:
        """Return a view of a file's array, three axes and any channels, as (slices, height, width[, channels])."""
        array = array.transpose(*self.axes, *range(3, array.ndim))
        return array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def inverse(self, array: np.ndarray) -> np.ndarray:
        """Return a view of (slices, height, width[, channels]) on the file's own axes."""
        array = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]
        return array.transpose(*np.argsort(self.axes), *range(3, array.ndim))

    def affine(self, file_affine: np.ndarray, file_shape: tuple[int, ...]) -> np.ndarray:
        """Return the 4 × 4 matrix of display indices, given the one of file indices."""
        to_file = np.zeros((4, 4))
        to_file[3, 3] = 1
        for display_axis, (axis, flip) in enumerate(zip(self.axes, self.flipped, strict=True)):
            to_file[axis, display_axis] = -1 if flip else 1
            to_file[axis, 3] = file_shape[axis] - 1 if flip else 0
        return file_affine @ to_file


def place(file_affine: np.ndarray, slice_axis: int) -> tuple[Placement, str]:
    """Return how to show a file's array the right side up, and from where: axial, coronal or sagittal.

    The slices that were taken stay slices, unless they are not axial and the voxels are nearly cubes: then the
    picture is shown in axial slices.

    Args:
        file_affine: 4 × 4, file indices to RAS+ millimetres.
        slice_axis: file axis along which the slices were taken.
    """
    world = nearest_axes(file_affine)
    sizes = np.linalg.norm(file_affine[:3, :3], axis=0)
    plane = {0: "sagittal", 1: "coronal", 2: "axial"}[world[slice_axis][0]]
    if sizes.max() <= RESLICE_RATIO * sizes.min():
        plane = "axial"
    axes, flipped = [], []
    for letter in DISPLAYS[plane]:
        wanted, sign = "RAS".find(letter), 1
        if wanted < 0:
            wanted, sign = "LPI".find(letter), -1
        axis = next(axis for axis, (towards, _) in enumerate(world) if towards == wanted)
        axes.append(axis)
        flipped.append(bool(world[axis][1] != sign))
    return Placement(tuple(axes), tuple(flipped)), plane


def nearest_axes(affine: np.ndarray) -> list[tuple[int, int]]:
    """Return for each index axis the nearest axis of the body (0 right, 1 front, 2 up) and its sign, no axis twice.

    >>> nearest_axes(np.diag([-2.0, 3, 4, 1]))
    [(0, -1), (1, 1), (2, 1)]
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left = np.abs(cosines)
    found = [(0, 1)] * 3
    for _ in range(3):  # the clearest first, so that an oblique axis takes what is left
        towards, axis = np.unravel_index(left.argmax(), left.shape)
        found[axis] = int(towards), 1 if cosines[towards, axis] > 0 else -1
        left[towards, :] = left[:, axis] = -1
    return found


def usable_spacing(sizes: Iterable[float]) -> bool:
    """Tell whether millimetres between voxels can be meant: finite, and neither tiny nor huge.

    >>> usable_spacing((6.0, 1.0, 1.0)), usable_spacing((6.0, 1e-300, 1.0)), usable_spacing((float("nan"),))
    (True, False, False)
    """
    return all(MIN_SPACING < size < MAX_SPACING for size in sizes)


def usable_affine(affine: np.ndarray) -> bool:
    """Tell whether a matrix places voxels in space: finite, no axis of length 0, no two axes alike."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        return False
    with np.errstate(over="ignore"):
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(usable_spacing(sizes) and abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-2)
