"""From scans to what the network was trained on: pre-contrast, FLAIR and post-contrast on one grid.

A missing sequence is replaced by FLAIR, as the data set does. Sequences on different grids are brought onto FLAIR's,
if the headers say where both lie; the mask then belongs to FLAIR.
"""

import zlib

import numpy as np
from scipy import ndimage, sparse

from unet.data.volume import FLAIR, SEQUENCE_NAMES, Geometry, Volume
from unet.language import t
from unet.scans import budget
from unet.scans.expected_mask import MaskError, expected_mask
from unet.scans.grids import MIN_OVERLAP, covered, even_shape, fits, off_even_grid, on_even_grid, same_grid, size_of
from unet.scans.limits import MAX_RESAMPLED, MAX_SIDE, MAX_VOLUME, MIN_SIDE
from unet.scans.mapping import Channel, Mapping
from unet.scans.scan import IngestError, Scan, check_shape

MAX_TILT = 0.01  # of a voxel, over the whole grid: grids that are tilted less share their axes


def build_volume(scans: list[Scan], mapping: Mapping, expected: Channel | None = None) -> tuple[Volume, list[str]]:
    """Put three sequences on FLAIR's grid.

    Args:
        scans: of one upload.
        mapping: which channel is what; None is replaced by FLAIR.
        expected: the channel with the mask that the prediction is scored against, if there is one.

    Returns:
        A volume, with expected masks if one was given, and plain sentences about what was replaced, resampled or
        shifted.

    Raises:
        MaskError: the expected mask is none, or does not lie where FLAIR does; the picture can be used without it.
        IngestError: FLAIR's grid is too small or too big, or a sequence does not lie where FLAIR does.
    """
    flair = scans[mapping[FLAIR].scan]
    count, height, width = flair.voxels.shape[:3]
    _check_size(flair)
    mask, mask_notes = np.zeros((count, height, width), np.uint8), []
    if expected:
        mask = expected_mask(flair, scans[expected.scan], expected.channel, mask_notes)
    notes, images = [], budget.SERVER.hold(np.empty((count, height, width, 3), np.float32))
    missing = [SEQUENCE_NAMES[number] for number, channel in enumerate(mapping) if channel is None]
    if missing:
        notes.append(
            t(
                "Missing: {missing}. FLAIR is used instead, as in the data set.",
                missing=", ".join(t(name) for name in missing),
            )
        )
    _check_resampling(flair, [scans[channel.scan] for channel in mapping if channel])
    for number, channel in enumerate(mapping):
        channel = channel or mapping[FLAIR]
        _fill(images[..., number], flair, scans[channel.scan], channel, SEQUENCE_NAMES[number], notes)
    _make_positive(images, notes)
    images.flags.writeable = False
    volume = Volume(
        patient_id=f"upload_{zlib.crc32(images.data):08x}",
        images=images,
        expected_mask=mask,
        has_mask=np.full(count, expected is not None),
        slice_numbers=np.arange(1, count + 1),
        geometry=Geometry(flair.spacing, flair.edges, flair.plane),
    )
    return volume, [*notes, *mask_notes]


def build_volume_and_mask(
    scans: list[Scan], mapping: Mapping, expected: Channel | None
) -> tuple[Volume, list[str], str]:
    """Return what `build_volume` does, without the mask where that cannot be used, and why it cannot.

    Raises:
        IngestError: as `build_volume`, for the sequences.
    """
    try:
        return *build_volume(scans, mapping, expected), ""
    except MaskError as error:
        return *build_volume(scans, mapping), str(error)


def _check_size(scan: Scan) -> None:
    count, height, width = scan.voxels.shape[:3]
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise IngestError(
            t(
                "{scan}: slices of {width} × {height} pixels; expected {min_side} to {max_side} a side. "
                "A slice of MRI has a few hundred. Crop or scale it.",
                scan=scan.name,
                width=width,
                height=height,
                min_side=MIN_SIDE,
                max_side=MAX_SIDE,
            )
        )
    check_shape(scan.name, (count, height, width))
    if 12 * count * height * width > MAX_VOLUME:
        raise IngestError(
            t(
                "{scan}: {count} slices of {width} × {height} need {megabytes} MB for the three "
                "sequences; at most {max_volume} MB are allowed. Upload fewer or smaller slices.",
                scan=scan.name,
                count=count,
                width=width,
                height=height,
                megabytes=12 * count * height * width >> 20,
                max_volume=MAX_VOLUME >> 20,
            )
        )


def _check_resampling(flair: Scan, sequences: list[Scan]) -> None:
    moved = sum(fits(flair, other) and not same_grid(flair, other) for other in sequences)
    voxels = moved * flair.voxels[..., 0].size
    if voxels > MAX_RESAMPLED:
        raise IngestError(
            t(
                "{moved} of the sequences need resampling onto the {size} voxels of FLAIR, {voxels:.0f} "
                "million in all; at most {max_resampled:.0f} million are allowed. Upload FLAIR alone, or "
                "fewer slices.",
                moved=moved,
                size=size_of(flair),
                voxels=voxels / 1000000.0,
                max_resampled=MAX_RESAMPLED / 1000000.0,
            )
        )


def _fill(values: np.ndarray, flair: Scan, other: Scan, channel: Channel, name: str, notes: list[str]) -> None:
    """Write a channel, on FLAIR's grid, into an array of (slices, height, width)."""
    source = other.voxels[..., channel.channel]
    if same_grid(flair, other):
        values[:] = source
        return
    if not fits(flair, other):
        raise IngestError(
            t(
                "{name}: {size} voxels, but FLAIR has {flair_size}, and the files hold no positions. "
                "Upload sequences on one grid, or DICOM or NIfTI with positions.",
                name=name,
                size=size_of(other),
                flair_size=size_of(flair),
            )
        )
    assert flair.affine is not None  # else `fits` has said no
    assert other.affine is not None
    if (share := covered(flair, other)) < MIN_OVERLAP:
        raise IngestError(
            t(
                "{name} covers only {share:.0%} of the FLAIR volume. Check that both series are from "
                "the same examination.",
                name=name,
                share=share,
            )
        )
    notes.append(
        t(
            "The {name} series has another grid, {size}. It was resampled onto the grid of FLAIR, {flair_size}.",
            name=name,
            size=size_of(other),
            flair_size=size_of(flair),
        )
    )
    even = np.empty(even_shape(flair), np.float32) if flair.places else values
    _resample(on_even_grid(other, source, interpolated=True), np.linalg.solve(other.affine, flair.affine), even)
    if flair.places:
        values[:] = off_even_grid(flair, even)


def _resample(source: np.ndarray, to_source: np.ndarray, values: np.ndarray) -> None:
    """Interpolate linearly; what lies outside the source becomes its lowest value.

    Args:
        source: (slices, height, width).
        to_source: 4 × 4, indices of `values` to those of the source.
        values: (slices, height, width), written to.
    """
    matrix, shift, lowest = to_source[:3, :3], to_source[:3, 3], float(source.min())
    if np.abs(matrix - np.diag(np.diag(matrix))).max() * max(values.shape) > MAX_TILT:
        ndimage.affine_transform(source, matrix, shift, output=values, order=1, cval=lowest)
        return
    # series of one visit mostly share their axes: one axis after the other takes a third of the time
    along = [
        _linear_weights(size, scale, start, known)
        for size, scale, start, known in zip(values.shape, np.diag(matrix), shift, source.shape, strict=True)
    ]
    for index in range(len(values)):
        near = along[0][[index]]
        plane = np.zeros(source.shape[1:], np.float32)
        for number, weight in zip(near.indices, near.data, strict=True):
            plane += weight * (source[number] - lowest)
        values[index] = (along[2] @ (along[1] @ plane).T).T + lowest


def _linear_weights(size: int, scale: float, start: float, known: int) -> sparse.csr_array:
    """Return (size, known) weights that interpolate at `scale * index + start`; a row outside is empty."""
    place = scale * np.arange(size) + start
    inside = np.flatnonzero((place >= 0) & (place <= known - 1))
    below = np.minimum(np.floor(place[inside]).astype(int), max(known - 2, 0))
    share = place[inside] - below
    rows, columns = np.concatenate([inside, inside]), np.concatenate([below, np.minimum(below + 1, known - 1)])
    weights = np.concatenate([1 - share, share]).astype(np.float32)
    return sparse.csr_array((weights, (rows, columns)), shape=(size, known))


def _make_positive(images: np.ndarray, notes: list[str]) -> None:
    """Shift and scale channels so that 0 is black and the grey values fill a range, as pictures expect.

    The network does not notice: each channel is normalised by its own statistics.
    """
    shifted = False
    for number in range(3):
        low, high = float(images[..., number].min()), float(images[..., number].max())
        if low < 0:
            images[..., number] -= low
            shifted = True
        if 0 < high - min(low, 0) < 100:
            images[..., number] *= 1000 / (high - min(low, 0))
    if shifted:
        notes.append(t("Negative grey values were shifted to start at 0. This does not change the network's input."))
