"""Whether the sequences of a volume show the head in the same place: a patient may move between them.

Edges of the head and the brain are at the same places on every sequence, however bright the tissue is. Those of a
sequence are turned, moved and shifted by a slice until they fit those of FLAIR best; the correlation for all moves in
the slice comes from one Fourier transform. `python -m tests.measure_movement` prints how well this works, and what a
movement costs the network.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import fft

from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES, Volume
from unet.language import t, tn
from unet.scans import budget

SIDE = 128  # pixels of the longer side of a slice while it is measured; 2 mm each in the data set
MAX_SLICES = 24  # measured, evenly spaced
ANGLES = range(-14, 15, 2)  # degrees that are tried
MOVED = 2.0  # pixels of SIDE, mean over the edges: none of 140 T1 series of the training patients is as far
MIN_GAIN = 0.03  # in correlation, that a move must bring


@dataclass(frozen=True)
class Displacement:
    """Where the head of a sequence lies, seen from FLAIR's.

    Attributes:
        rows, columns: of the slice, in its own pixels.
        degrees: turned in the slice.
        slices: shifted across the slices, in slices of the volume.
        distance: by which edges are displaced in the slice, mean, in pixels of `SIDE`.
    """

    rows: float = 0.0
    columns: float = 0.0
    degrees: int = 0
    slices: int = 0
    distance: float = 0.0

    @property
    def moved(self) -> bool:
        """Whether this is too far to be used together with FLAIR."""
        return self.distance >= MOVED or self.slices != 0


def displacement(images: np.ndarray, which: int) -> Displacement:
    """Measure where the head of a sequence lies, seen from FLAIR's.

    Args:
        images: (slices, height, width, 3), any unit; not changed.
        which: channel of the sequence.

    Returns:
        No displacement where the sequence is a copy of FLAIR, or nothing fits better than where it lies.
    """
    every = -(-len(images) // MAX_SLICES)
    slices = images[::every]
    if np.array_equal(slices[..., which], slices[..., FLAIR]):
        return Displacement()
    fixed, moving = _edges(slices[..., FLAIR]), _edges(slices[..., which])
    there, best, found = 0.0, -1.0, Displacement()
    scale = max(images.shape[1:3]) / SIDE
    spectrum = fft.rfft2(fixed)
    for degrees in ANGLES:
        turned = _turn(moving, degrees)
        other = np.conj(fft.rfft2(turned))
        for shift in (0, -1, 1) if len(slices) > 3 else (0,):
            one = slice(max(0, shift), len(slices) + min(0, shift))
            two = slice(max(0, -shift), len(slices) + min(0, -shift))
            size = np.sqrt(float((fixed[one] ** 2).sum()) * float((turned[two] ** 2).sum()))
            correlation = fft.irfft2((spectrum[one] * other[two]).sum(axis=0), s=fixed.shape[1:]) / max(size, 1e-6)
            if (degrees, shift) == (0, 0):
                there = float(correlation[0, 0])
            if (highest := float(correlation.max())) > best:
                best = highest
                place = np.unravel_index(correlation.argmax(), correlation.shape)
                row, column = (
                    (int(at) + size // 2) % size - size // 2 for at, size in zip(place, correlation.shape, strict=True)
                )
                distance = _distance(fixed, row, column, degrees)
                # `row` moves the sequence onto FLAIR, so it lies the other way
                found = Displacement(-row * scale, -column * scale, -degrees, -shift * every, distance)
    return found if best - there >= MIN_GAIN else Displacement()


def apart(volume: Volume) -> dict[int, Displacement]:
    """Return the sequences of a volume that do not lie where FLAIR does, by channel."""
    found = {which: displacement(volume.images, which) for which in (PRE_CONTRAST, POST_CONTRAST)}
    return {which: one for which, one in found.items() if one.moved}


def moved_onto_flair(volume: Volume) -> tuple[Volume, list[str]]:
    """Return a volume whose sequences lie where FLAIR does, as far as that was measured, and a sentence about it.

    Args:
        volume: not changed; itself if no sequence lies elsewhere.
    """
    found = apart(volume)
    if not found:
        return volume, []
    images = budget.SERVER.hold(volume.images.astype(np.float32))
    for which, one in found.items():
        images[..., which] = moved_back(volume.images[..., which], one)
    images.flags.writeable = False
    said = [
        t("Moved onto FLAIR: {names}, {by}. Their values are interpolated.", names=names, by=by)
        for by, names in _by_amount(found, volume).items()
    ]
    return replace(volume, images=images, patient_id=f"{volume.patient_id}_aligned"), said


def moved_back(planes: np.ndarray, by: Displacement) -> np.ndarray:
    """Return a sequence, (slices, height, width) float32, without its displacement; what comes in is as dark as air."""
    height, width = planes.shape[1:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -by.degrees, 1)
    matrix[:, 2] -= by.columns, by.rows
    places = np.clip(np.arange(len(planes)) + by.slices, 0, len(planes) - 1)
    lowest = float(planes.min())
    return np.stack(
        [
            cv2.warpAffine(planes[place].astype(np.float32), matrix, (width, height), borderValue=lowest)
            for place in places
        ]
    )


def say_apart(found: dict[int, Displacement], volume: Volume) -> list[str]:
    """Return sentences about the sequences that do not lie where FLAIR does.

    Args:
        found: from `apart`.
        volume: whose spacing is used where it is known.
    """
    return [
        t("The head lies elsewhere on {names} than on FLAIR, {by}: the patient may have moved.", names=names, by=by)
        for by, names in _by_amount(found, volume).items()
    ]


def _by_amount(found: dict[int, Displacement], volume: Volume) -> dict[str, str]:
    """Return the names of the sequences that lie elsewhere, by how far: both mostly by the same."""
    names: dict[str, str] = {}
    for which, one in found.items():
        by, name = ", ".join(_amounts(one, volume)), t(SEQUENCE_NAMES[which])
        names[by] = t("{first} and {second}", first=names[by], second=name) if by in names else name
    return names


def _amounts(one: Displacement, volume: Volume) -> list[str]:
    depth, row, column = volume.geometry.spacing or (1.0, 1.0, 1.0)
    known = volume.geometry.spacing is not None
    far = float(np.hypot(one.rows * row, one.columns * column))
    amounts = []
    if far > 0:
        amounts.append(t("about {far:.0f} mm", far=far) if known else t("about {far:.0f} pixels", far=far))
    if one.degrees:
        amounts.append(t("turned by about {degrees}°", degrees=abs(one.degrees)))
    if one.slices:
        shift = abs(one.slices) * depth
        amounts.append(
            t("about {shift:.0f} mm up or down", shift=shift)
            if known
            else tn("about {n} slice up or down", "about {n} slices up or down", abs(one.slices))
        )
    return amounts


def _edges(planes: np.ndarray) -> np.ndarray:
    """Return the strength of edges, (slices, height, width) float32 of mean 0, at most `SIDE` a side."""
    scale = SIDE / max(planes.shape[1:])
    found = []
    for plane in planes:
        small = cv2.resize(plane.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), 1)
        found.append(np.hypot(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)))
    edges = np.stack(found)
    # the root lets the brain count beside the scalp, whose fat is far brighter on T1
    edges = np.sqrt(np.minimum(edges / max(float(np.percentile(edges, 98)), 1e-6), 1))
    return edges - edges.mean(axis=(1, 2), keepdims=True)


def _turn(planes: np.ndarray, degrees: float) -> np.ndarray:
    height, width = planes.shape[1:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.stack([cv2.warpAffine(plane, matrix, (width, height)) for plane in planes]) if degrees else planes


def _distance(edges: np.ndarray, row: int, column: int, degrees: int) -> float:
    """Return how far a turn about the middle and a move displace the edges, mean, in pixels."""
    weight = np.maximum(edges, 0).sum(axis=0)
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in weight.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    angle = np.deg2rad(degrees)
    moved_x = np.cos(angle) * x + np.sin(angle) * y + column
    moved_y = np.cos(angle) * y - np.sin(angle) * x + row
    far = np.hypot(moved_x - x, moved_y - y)
    return float((far * weight).sum() / max(float(weight.sum()), 1e-6))
