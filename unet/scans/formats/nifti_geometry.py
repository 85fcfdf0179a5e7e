"""What a NIfTI header says of directions and voxel sizes."""

from contextlib import suppress

import numpy as np
from nibabel.nifti1 import Nifti1Header

from unet.language import t
from unet.scans.placement import usable_affine, usable_spacing

MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}  # code of the header's unit: metre, millimetre, micrometre


def affine_of(header: Nifti1Header, zooms: np.ndarray, notes: list[str]) -> tuple[np.ndarray | None, np.ndarray, bool]:
    """Return indices to millimetres, or None where the header is silent; voxel sizes in mm, and whether they hold."""
    unit = MILLIMETRES.get(int(header["xyzt_units"]) & 7)
    sensible = usable_spacing(zooms * (unit or 1.0))
    oriented = int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0
    known = oriented or (sensible and (unit is not None or bool((zooms != 1).any())))
    affine = None
    if oriented:
        with suppress(ValueError):  # a quaternion longer than 1
            affine = np.array(header.get_best_affine(), np.float64)
        if affine is None or not usable_affine(affine):
            notes.append(t("The orientation in the header is impossible. It was ignored."))
            return None, zooms, False
    if affine is not None and _forms_differ(header, affine):
        notes.append(
            t(
                "The header gives two orientations that differ (q-form and s-form). The s-form is used; left and right "
                "may be swapped."
            )
        )
    if known and unit is None:
        notes.append(t("The header names no unit of length. Millimetres are assumed, as is usual."))
    if affine is not None:
        affine[:3] *= unit or 1.0
    return affine, zooms * (unit or 1.0), known


def _forms_differ(header: Nifti1Header, affine: np.ndarray) -> bool:
    """Tell whether q-form and s-form, where both count, place a corner of the picture more than a voxel apart."""
    if int(header["qform_code"]) <= 0 or int(header["sform_code"]) <= 0:
        return False
    try:
        other = np.array(header.get_qform(), np.float64)
    except ValueError:  # a quaternion longer than 1
        return False
    shape = header.get_data_shape()[:3]
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)], float).T
    corners[: len(shape)] *= np.array(shape)[:, np.newaxis] - 1
    apart = np.linalg.norm((affine @ corners - other @ corners)[:3], axis=0)
    return bool(apart.max() > np.linalg.norm(affine[:3, :3], axis=0).max())


def slice_axis_of(affine: np.ndarray | None, zooms: np.ndarray) -> int:
    """Return the axis along which slices were taken: the coarsest one, or the last."""
    sizes = zooms if affine is None else np.linalg.norm(affine[:3, :3], axis=0)
    coarsest = int(sizes.argmax()) if np.isfinite(sizes).all() else 2
    return coarsest if sizes[coarsest] > 1.05 * sizes[2] else 2
