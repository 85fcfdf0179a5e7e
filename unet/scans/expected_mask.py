"""The mask that a prediction is scored against, on FLAIR's grid."""

import numpy as np
from scipy import ndimage

from unet.language import t
from unet.scans.grids import even_shape, fits, off_even_grid, on_even_grid, same_grid, size_of
from unet.scans.limits import MAX_LABELS, MAX_RESAMPLED
from unet.scans.scan import IngestError, Scan

_SAME_LATTICE = 0.01  # of a voxel: grids that differ by whole voxels, up to this, need no resampling


class MaskError(IngestError):
    """A mask that cannot be used; its picture can."""


def expected_mask(flair: Scan, scan: Scan, channel: int, notes: list[str]) -> np.ndarray:
    """Return a channel as a mask on FLAIR's grid, (slices, height, width) uint8 in {0, 1}: what is not 0 is lesion.

    Args:
        flair: whose grid it is.
        scan: with the mask.
        channel: of that scan.
        notes: gets what was done to it, in plain sentences.

    Raises:
        MaskError: it has no place on FLAIR's grid, lies outside of it, is no mask, or is too large to be resampled.
    """
    if not fits(flair, scan):
        raise MaskError(
            t(
                "{scan}: its grid of {size} voxels differs from that of FLAIR, {flair_size}, and the files hold no "
                "positions. Draw the expected mask on the grid of FLAIR.",
                scan=scan.name,
                size=size_of(scan),
                flair_size=size_of(flair),
            )
        )
    values = scan.voxels[..., channel]
    labels = np.unique(values)
    if labels[0] != 0 or len(labels) > MAX_LABELS:
        raise MaskError(
            t(
                "{scan}: {count:,} different values from {lowest:g} to {highest:g}, so it is not a mask. "
                "Expected 0 outside the lesion and one value inside, at most {max_labels} labels. Save "
                "it without smoothing, and not as JPEG.",
                scan=scan.name,
                count=len(labels),
                lowest=labels[0],
                highest=labels[-1],
                max_labels=MAX_LABELS - 1,
            )
        )
    if len(labels) > 2:
        notes.append(
            t(
                "The expected mask has the labels {labels}. All of them count as lesion.",
                labels=", ".join(f"{one:g}" for one in labels[1:]),
            )
        )
    mask = (values != 0).astype(np.uint8)
    return mask if same_grid(flair, scan) else _brought_onto(flair, scan, mask, notes)


def _brought_onto(flair: Scan, scan: Scan, mask: np.ndarray, notes: list[str]) -> np.ndarray:
    """Return a mask of another grid on FLAIR's: each voxel takes the nearest value."""
    assert flair.affine is not None  # else `fits` has said no
    assert scan.affine is not None
    if mask.size > MAX_RESAMPLED or flair.voxels[..., 0].size > MAX_RESAMPLED:
        raise MaskError(
            t(
                "{scan}: its {size} voxels need resampling onto the {flair_size} of FLAIR; at most {max_resampled:.0f} "
                "million are allowed. Draw the mask on the grid of FLAIR.",
                scan=scan.name,
                size=size_of(scan),
                flair_size=size_of(flair),
                max_resampled=MAX_RESAMPLED / 1e6,
            )
        )
    to_mask = np.linalg.solve(scan.affine, flair.affine)
    even_mask = on_even_grid(scan, mask)
    if mask.any() and (lost := _share_outside(even_mask, np.linalg.inv(to_mask), even_shape(flair))) > 0:
        if lost == 1:
            raise MaskError(t("{scan}: the whole mask lies outside the FLAIR volume.", scan=scan.name))
        notes.append(
            t("{share:.1%} of the expected mask lies outside the FLAIR volume and does not count.", share=lost)
        )
    even = ndimage.affine_transform(  # the grid's own edges lie half a voxel outside the middles
        even_mask, to_mask[:3, :3], to_mask[:3, 3], output_shape=even_shape(flair), order=0, mode="grid-constant"
    )
    found = off_even_grid(flair, even)
    if mask.any() and not found.any():
        raise MaskError(t("{scan}: no voxel of FLAIR lies inside the mask.", scan=scan.name))
    if np.abs(to_mask[:3, :3] - np.eye(3)).max() * max(mask.shape) > _SAME_LATTICE or (
        np.abs(to_mask[:3, 3] - to_mask[:3, 3].round()).max() > _SAME_LATTICE
    ):
        notes.append(
            t(
                "The expected mask has another grid, {size}. It was resampled onto the grid of FLAIR, {flair_size}: "
                "each voxel takes the nearest value.",
                size=size_of(scan),
                flair_size=size_of(flair),
            )
        )
    elif scan.voxels.shape[:3] != flair.voxels.shape[:3]:
        notes.append(t("The expected mask covers a part of the FLAIR volume. The rest counts as free of lesion."))
    return found


def _share_outside(mask: np.ndarray, to_flair: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the share of a mask's voxels, 0 to 1, whose middles lie outside a grid."""
    index = np.argwhere(mask).astype(np.float32)
    found = index @ to_flair[:3, :3].T.astype(np.float32) + to_flair[:3, 3].astype(np.float32)
    inside = ((found >= -0.5) & (found < np.array(shape) - 0.5)).all(axis=1)
    return float(1 - inside.mean())
