"""Make the phantoms: synthetic patients in the layout of the Kaggle LGG data set.

    python demo/make_phantoms.py --output demo --seed 2026

A phantom is an ICBM 152 template brain, bent and scaled so that no two are alike, given a
skull and scalp, the contrasts of the three sequences, a lesion with its mask, and the bias
field and noise of a scanner. The recipe, in order: anatomy → head → lesion → contrast → scanner.

Axes are (slices, height, width), slices from inferior to superior, rows from anterior to
posterior, and the patient's left on the right of the picture. Positions are millimetres in
the template's space: x to the right, y to the front, z up, the origin at the anterior commissure.

The same seed gives the same bytes on the same machine and library versions. nilearn, which
carries the templates, is needed only here: reading the phantoms needs nothing of it.

Templates: Fonov et al. (2011), doi:10.1016/j.neuroimage.2010.07.033; notice in demo/README.md.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

SLICES, SIZE = 24, 256
SPACING = (6.0, 0.92, 0.92)  # millimetres between slices, rows, columns
FIRST_SLICE = -57.0  # z of the lowest slice, through the cerebellum; the highest is at the vertex

# The header of the data set's own table; a phantom has none of these values.
TABLE_HEADER = (
    "Patient;RNASeqCluster;MethylationCluster;miRNACluster;CNCluster;RPPACluster;OncosignCluster;"
    "COCCluster;histological_type;neoplasm_histologic_grade;tumor_tissue_site;laterality;"
    "tumor_location;gender;age_at_initial_pathologic;race;ethnicity;death01"
)


class Lesion(NamedTuple):
    """Place a bright ellipsoid with a wavy outline in the brain."""

    centre: tuple[float, float, float]  # x, y, z in mm; negative x is the patient's left
    radius: tuple[float, float, float]  # half axes in mm
    irregularity: float  # 0 is an ellipsoid; at 0.5 the outline wanders by half the radius


class Phantom(NamedTuple):
    """Describe a synthetic patient: the lesions, and how the head differs from the template's."""

    patient_id: str
    lesions: tuple[Lesion, ...]
    scale: float  # head size, 1 is the template's
    tilt: float  # degrees, nodding
    turn: float  # degrees, in the slice
    brightness: float  # lesion on FLAIR, in units of white matter
    missing_post_contrast: bool = False


PHANTOMS = (
    Phantom("PHANTOM_ICBM_0001_20260101", (Lesion((-27, 18, 28), (17, 21, 19), 0.35),), 0.98, 4, 2, 1.75),
    Phantom("PHANTOM_ICBM_0002_20260102", (Lesion((30, -38, 30), (23, 32, 27), 0.45),), 1.01, -3, -4, 1.70),
    Phantom("PHANTOM_ICBM_0003_20260103", (Lesion((28, 34, 14), (15, 19, 17), 0.30),
                                           Lesion((-30, -46, 24), (15, 19, 17), 0.30)), 0.96, 6, 1, 1.80),
    Phantom("PHANTOM_ICBM_0004_20260104", (Lesion((-40, -12, -12), (20, 32, 20), 0.35),), 0.99, 0, 5, 1.75, True),
    Phantom("PHANTOM_ICBM_0005_20260105", (Lesion((25, -14, 42), (12, 15, 13), 0.20),), 1.03, -6, -2, 1.85),
    Phantom("PHANTOM_ICBM_0006_20260106", (Lesion((-22, 40, 10), (21, 26, 24), 0.45),), 0.95, 3, -6, 1.75),
)  # fmt: skip


def load_templates() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return T1, grey matter, white matter in [0, 1], shape (x, y, z), and the 4x4 voxel → mm matrix."""
    try:
        from nilearn import datasets  # pyright: ignore[reportMissingImports] needed only here, so not installed
    except ImportError as error:
        raise SystemExit("The phantoms are made from templates in nilearn: pip install nilearn") from error
    images = (
        datasets.load_mni152_template(resolution=1),
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
    )
    t1, grey, white = (np.asarray(image.dataobj, np.float32) for image in images)
    return t1 / t1.max(), grey / grey.max(), white / white.max(), images[0].affine.astype(np.float32)


def smooth_noise(rng: np.random.Generator, millimetres: float) -> np.ndarray:
    """Noise of mean 0 and deviation 1 that varies over about this many millimetres."""
    coarse = [max(4, round(n * step / millimetres) + 3) for n, step in zip((SLICES, SIZE, SIZE), SPACING, strict=True)]
    lattice = rng.standard_normal(coarse).astype(np.float32)
    planes = ndimage.zoom(lattice, (SLICES / coarse[0], 1, 1), order=1)
    noise = np.stack([cv2.resize(plane, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for plane in planes])
    return (noise - noise.mean()) / noise.std()


def soft_step(x: np.ndarray, width: float) -> np.ndarray:
    """0 below zero, 1 above it, one half at zero, within about ±2 widths."""
    return 1 / (1 + np.exp(np.clip(-x / width, -30, 30)))


def ball(position: np.ndarray, centre: tuple, radius: tuple, edge: float = 0.08) -> np.ndarray:
    """A soft ellipsoid in millimetres, 1 inside."""
    offset = [(position[i] - centre[i]) / radius[i] for i in range(3)]
    return soft_step(1 - np.sqrt(sum(o * o for o in offset)), edge)


def head_position(rng: np.random.Generator, phantom: Phantom) -> np.ndarray:
    """Template position in mm under every output voxel, shape (3, slices, height, width)."""
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (SLICES, SIZE, SIZE)), indexing="ij")
    x = (SIZE / 2 - x) * SPACING[2]  # radiological: the patient's right is on the left
    y = (SIZE / 2 - y) * SPACING[1] - 16
    z = z * SPACING[0] + FIRST_SLICE
    turn, tilt = np.deg2rad([phantom.turn, phantom.tilt]).astype(np.float32)
    x, y = x * np.cos(turn) - (y + 16) * np.sin(turn), x * np.sin(turn) + (y + 16) * np.cos(turn) - 16
    y, z = y * np.cos(tilt) - z * np.sin(tilt), y * np.sin(tilt) + z * np.cos(tilt)
    position = np.stack([x, y, z]) / phantom.scale
    for axis in range(3):  # gentle over the head, livelier over a gyrus
        position[axis] += 3.0 * smooth_noise(rng, 60) + 1.5 * smooth_noise(rng, 20)
    for lesion in phantom.lesions:  # mass effect: tissue gives way, outwards from the centre
        offset = position - np.reshape(np.array(lesion.centre, np.float32), (3, 1, 1, 1))
        distance = np.sqrt((offset**2).sum(0)) / np.float32(np.mean(lesion.radius))
        position -= 0.12 * offset * np.exp(-((distance / 1.4) ** 2))
    return position


def rounded(outline: np.ndarray, harmonics: int = 3) -> np.ndarray:
    """A closed outline (points, 2) with its corners gone: radius over angle, few Fourier terms."""
    outline = np.concatenate([np.linspace(a, b, 20) for a, b in zip(outline, np.roll(outline, -1, 0), strict=True)])
    centre = (outline.max(0) + outline.min(0)) / 2
    across, down = (outline - centre).T
    angles = np.linspace(-np.pi, np.pi, 128, endpoint=False)
    seen = np.arctan2(down, across)
    order = seen.argsort()
    radius = np.interp(angles, seen[order], np.hypot(across, down)[order], period=2 * np.pi)
    terms = np.fft.rfft(radius)
    terms[harmonics + 1 :] = 0
    radius = np.fft.irfft(terms, 128)
    return (centre + np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)).round().astype(np.int32)


def head_depth(brain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Millimetres outside the brain's hull, and below the skin (negative outside the head)."""
    hull = np.zeros((SLICES, SIZE, SIZE), np.uint8)
    widest = int(brain.sum((1, 2)).argmax())
    for k in range(SLICES - 1, -1, -1):
        points = np.argwhere(brain[k])[:, ::-1]
        if k < widest:  # under the brain the head goes on: face in front, neck behind
            above = np.argwhere(hull[k + 1])[:, ::-1]
            shrunk = (above - above.mean(0)) * (0.985, 0.985) + above.mean(0)
            points = np.concatenate([points, shrunk.round().astype(int)])
        if len(points) > 50:
            cv2.fillPoly(hull[k], [rounded(cv2.convexHull(points.astype(np.int32))[:, 0])], 1)
    step = (SPACING[0], 2 * SPACING[1], 2 * SPACING[2])
    padded = np.pad(hull[:, ::2, ::2], ((4, 0), (0, 0), (0, 0)), mode="edge")
    outside = (ndimage.distance_transform_edt(1 - padded, step) - ndimage.distance_transform_edt(padded, step))[4:]
    outside = np.stack([cv2.resize(plane.astype(np.float32), (SIZE, SIZE)) for plane in outside])
    outside = ndimage.gaussian_filter(outside, (1, 4, 4))
    return outside, 12.5 - outside


def grow_lesions(rng: np.random.Generator, phantom: Phantom, position: np.ndarray, white: np.ndarray,
                 fluid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the lesion's share of each voxel in [0, 1], and its mask at one half."""
    white = ndimage.gaussian_filter(white, (0.4, 3, 3))
    fluid = ndimage.gaussian_filter(fluid, (0.3, 1.5, 1.5))
    share = np.zeros_like(white)
    for lesion in phantom.lesions:
        offset = [(position[i] - lesion.centre[i]) / lesion.radius[i] for i in range(3)]
        field = 1 - np.sqrt(sum(o * o for o in offset))
        field += lesion.irregularity * (0.45 * smooth_noise(rng, 22) + 0.15 * smooth_noise(rng, 8))
        field += 0.5 * (white - 0.6) - 1.5 * np.clip(fluid - 0.25, 0, None)  # follows white matter, stops at fluid
        field = ndimage.gaussian_filter(field, (0, 1.5, 1.5))
        parts, count = ndimage.label(field > 0)
        if count == 0:
            raise RuntimeError(f"{phantom.patient_id}: no lesion grew at {lesion.centre}; expected white matter there")
        largest = 1 + ndimage.sum_labels(field > 0, parts, range(1, count + 1)).argmax()
        near = ndimage.binary_dilation(parts == largest, np.ones((1, 9, 9), bool))  # its soft edge, no satellites
        share = np.maximum(share, np.where(near, soft_step(field * np.float32(np.mean(lesion.radius)), 0.7), 0))
    return share, share > 0.5


def make_phantom(phantom: Phantom, seed: int, templates: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Make one patient.

    Args:
        phantom: what to make.
        seed: of the whole set; each patient draws from its own stream.
        templates: from load_templates().

    Returns:
        Volume uint8 (slices, height, width, 3) of pre-contrast, FLAIR, post-contrast, and the
        mask uint8 {0, 255} (slices, height, width).
    """
    rng = np.random.default_rng([seed, int(phantom.patient_id.split("_")[2])])
    *tissue, affine = templates

    # Anatomy. Squaring the shares undoes some of the blur of an average over 152 people.
    position = head_position(rng, phantom)
    voxel = (position - affine[:3, 3].reshape(3, 1, 1, 1)) / np.diag(affine)[:3].reshape(3, 1, 1, 1)
    t1, grey, white = (ndimage.map_coordinates(image, voxel, order=1) for image in tissue)
    inside = ndimage.gaussian_filter(((t1 > 0.05) | (grey + white > 0.3)).astype(np.float32), (0, 0.7, 0.7))
    fluid = np.clip(inside - grey - white, 0, 1)
    total = grey**2 + white**2 + fluid**2 + 1e-6
    grey, white, fluid = (inside * share**2 / total for share in (grey, white, fluid))
    outside, depth = head_depth(inside > 0.5)

    # Head: fluid, skull with marrow, scalp; below the brain muscle, fat, eyes and air.
    scalp = soft_step(depth, 0.6) * soft_step(5.8 + 0.7 * smooth_noise(rng, 45) - depth, 0.7)
    skin = soft_step(depth, 0.5) * soft_step(1.8 - depth, 0.5)
    deep = soft_step(outside + 3, 0.5) * soft_step(depth, 0.5) * (1 - inside) * (1 - scalp)
    marrow = np.exp(-(((outside - 4.5) / 1.3) ** 2)) * (1 - inside) * (0.6 + 0.4 * smooth_noise(rng, 15))
    below = soft_step(-outside - 4, 1.5) * (1 - inside) * soft_step(-position[2] - 22, 4)
    patches = smooth_noise(rng, 16) + 0.5 * smooth_noise(rng, 7)
    patches += patches[..., ::-1]  # muscles come in pairs
    flesh = np.clip(0.5 + 0.12 * patches, 0.1, 1) * below
    ears = sum(ball(position, (x, -28, -44), (16, 20, 12), 0.15) for x in (-52, 52)) * below  # mastoid air cells
    eyes = sum(ball(position, (x, 54, -38), (12, 12, 12)) for x in (-33, 33)) * below
    orbit = sum(ball(position, (x, 44, -38), (15, 24, 15)) for x in (-31, 31)) * below
    air = ball(position, (0, 58, -46), (13, 32, 22), 0.15) * below

    # Lesion.
    lesion, mask = grow_lesions(rng, phantom, position, white, fluid)
    lumpy = np.clip(1 + 0.07 * smooth_noise(rng, 14) + 0.04 * smooth_noise(rng, 6), 0.8, 1.25)

    # Contrast, in units of white matter.
    flair = (0.50 * grey + 0.40 * white + 0.06 * fluid) / 0.40
    flair += lesion * (phantom.brightness * lumpy - flair) * inside
    pre = white + 0.74 * grey + 0.30 * fluid
    pre += lesion * (0.68 * lumpy - pre) * inside
    vessels = soft_step(smooth_noise(rng, 7) - 2.0, 0.1) * np.maximum(fluid, deep * soft_step(2 - outside, 1))
    sinus = np.exp(-((position[0] / 3.5) ** 2) - ((outside - 0.5) / 3) ** 2) * (position[1] < 40) * (position[2] > -15)
    choroid = sum(ball(position, (x, -40, 6), (7, 9, 8)) for x in (-24, 24)) * fluid
    enhancement = 1.1 * vessels + 1.4 * sinus + 1.0 * choroid

    def dress(brain: np.ndarray, fat: float, muscle: float, eye: float) -> np.ndarray:
        around = fat * scalp * (0.9 + 0.1 * smooth_noise(rng, 30)) - 0.4 * fat * skin + 0.08 * deep
        around += 0.35 * fat * np.clip(marrow, 0, 1)
        face = muscle * flesh * 2
        face += orbit * (0.8 * fat - face)
        face += np.maximum(air, ears) * (0.08 - face)
        face += eyes * (eye - face)
        return np.clip(brain + (1 - inside) * np.maximum(around, face), 0, None)

    pre, flair = dress(pre, 2.4, 0.55, 0.35), dress(flair, 3.0, 0.5, 0.15)
    post = pre * (1 + 0.25 * deep * soft_step(3 - outside, 1)) + enhancement

    # Scanner: coil shading, tissue texture, Rician noise, nothing beyond the field of view.
    grid = np.linspace(-1, 1, SIZE, dtype=np.float32)
    view = (np.abs(grid)[None, :] < 0.97 - 0.03 * grid[:, None] ** 2) & (np.abs(grid)[:, None] < 0.98)

    def fine_noise() -> np.ndarray:  # reconstructed to a finer matrix than measured, so neighbours agree a little
        return ndimage.gaussian_filter(rng.standard_normal(mask.shape, np.float32), (0, 0.6, 0.6))

    channels = []
    for signal, level, noise in ((pre, 62, 1.8), (flair, 46, 2.7), (post, 60, 1.7)):
        bias = np.exp(0.06 * smooth_noise(rng, 120))
        texture = 1 + 0.02 * smooth_noise(rng, 5) + 0.02 * smooth_noise(rng, 2)
        real = level * signal * bias * texture
        real, imaginary = (part + noise * fine_noise() for part in (real, 0))
        channels.append(np.hypot(real, imaginary) * view)
    if phantom.missing_post_contrast:
        channels[2] = channels[1]  # as the data set fills in a missing sequence
    volume = np.stack(channels, axis=-1)  # (slices, height, width, 3)
    volume = (2 * np.round(np.clip(volume, 0, 254) / 2)).astype(np.uint8)  # even greys: files a quarter smaller
    return volume, mask.astype(np.uint8) * 255


def write_phantom(folder: Path, volume: np.ndarray, mask: np.ndarray) -> None:
    """Write one patient's slices, numbered from 1, as deflated TIFF."""
    folder.mkdir(parents=True, exist_ok=True)
    compression = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE]
    for number, (plane, plane_mask) in enumerate(zip(volume, mask, strict=True), start=1):
        cv2.imwrite(str(folder / f"{folder.name}_{number}.tif"), plane[..., ::-1], compression)  # OpenCV takes BGR
        cv2.imwrite(str(folder / f"{folder.name}_{number}_mask.tif"), plane_mask, compression)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the phantoms, synthetic patients in the Kaggle layout.")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder that gets kaggle_3m/")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", metavar="ID", choices=[p.patient_id for p in PHANTOMS], help="make this one alone")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    root = arguments.output / "kaggle_3m"
    templates = load_templates()
    for phantom in PHANTOMS:
        if arguments.only in (None, phantom.patient_id):
            volume, mask = make_phantom(phantom, arguments.seed, templates)
            write_phantom(root / phantom.patient_id, volume, mask)
            print(f"{phantom.patient_id}: {(mask > 0).sum()} lesion voxels on {mask.any((1, 2)).sum()} slices")
    blank = ";" * TABLE_HEADER.count(";")
    rows = [phantom.patient_id.rsplit("_", 1)[0] + blank for phantom in PHANTOMS]
    (root / "data.csv").write_text("\n".join([TABLE_HEADER, *rows, ""]), newline="\n")
