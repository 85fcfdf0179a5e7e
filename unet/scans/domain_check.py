"""How much a picture looks like those the network learned from: a few numbers, each against the training set's range.

A network gives a mask for anything, a photo of a cat too. These measures do not judge the mask; they say where the
picture is unlike every training patient, so that the mask is not trusted blindly.

    python -m unet.scans.domain_check --data FOLDER     measure the training patients again, write domain_check.json
"""

import argparse
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume
from unet.language import mark, t
from unet.preprocessing import MIN_HEAD_SHARE, head_mask
from unet.scans.scan import Scan

RANGES_FILE = Path(__file__).with_name("domain_check.json")
MAX_SLICES = 16  # looked at, evenly spaced over the middle two thirds
MAX_PIXELS = 2 << 20  # looked at; of larger slices fewer, as roughness depends on the size of a pixel
MARGIN = 0.25  # of the training range, on either side, before a value counts as unlike


@dataclass(frozen=True)
class Finding:
    """One measure of a picture beside the training set's.

    Attributes:
        name: for people.
        value: of the picture, nan where it cannot be measured.
        low, high: smallest and largest of the training patients.
        warning: a plain sentence where the value is unlike anything trained on, else None.
    """

    name: str
    value: float
    low: float
    high: float
    warning: str | None


_MEASURES = {  # name, what to say below and above the range
    "head_share": (
        mark("Share of the picture filled by the head"),
        mark("The head fills much less of the picture than in training. Crop the empty border."),
        mark("The bright region fills nearly the whole picture: perhaps cropped closely, or not an MRI slice."),
    ),
    "aspect": (
        mark("Height to width of the head"),
        mark("The head is wider than in any training slice: perhaps it lies on its side, or the slice is not axial."),
        mark("The head is longer than in any training slice: perhaps the picture was stretched."),
    ),
    "symmetry": (
        mark("Symmetry of left and right"),
        mark("The two halves differ more than in training: perhaps a sagittal slice, a head on its side, or no head."),
        None,
    ),
    "rim": (
        mark("Bright rim of the picture"),
        None,
        mark("The rim of the picture is bright, where training pictures show dark air: perhaps inverted, or not MRI."),
    ),
    "skew": (
        mark("Skewness of the brightness"),
        mark(
            "The dark values spread further than the bright ones, unlike FLAIR: perhaps inverted, or another sequence."
        ),
        mark(
            "A few values are far brighter than all tissue, unlike FLAIR: perhaps CT, angiography, or burned-in text."
        ),
    ),
    "texture": (
        mark("Roughness"),
        mark("Much smoother than the training pictures: perhaps scaled up or filtered."),
        mark("Much rougher than the training pictures: perhaps noise, text, or not MRI."),
    ),
    "pre_flair": (
        mark("Agreement of pre-contrast and FLAIR"),
        mark("Pre-contrast and FLAIR agree less than in training: perhaps they do not show the same slice."),
        None,
    ),
    "post_flair": (
        mark("Agreement of post-contrast and FLAIR"),
        mark("Post-contrast and FLAIR agree less than in training: perhaps they do not show the same slice."),
        None,
    ),
    "pre_post": (
        mark("Agreement of pre- and post-contrast"),
        mark("Pre- and post-contrast agree less than in training: perhaps they do not show the same slice."),
        None,
    ),
}


def measure(images: np.ndarray) -> dict[str, float]:
    """Measure a volume.

    Args:
        images: (slices, height, width, 3), any non-negative unit; not changed.

    Returns:
        By name of the measure, nan where no head stands out.
    """
    count = len(images)
    middle = np.arange(count // 6, count - count // 6)
    wanted = min(MAX_SLICES, len(middle), max(1, MAX_PIXELS // images[0, ..., 0].size))
    places = np.linspace(0, len(middle) - 1, wanted) if wanted > 1 else np.array([len(middle) // 2])
    chosen = middle[np.unique(places.round().astype(int))]
    images = images[chosen].astype(np.float32)
    head = head_mask(images)
    share = float(head.mean())
    if share < MIN_HEAD_SHARE:
        return dict.fromkeys(_MEASURES, float("nan")) | {"head_share": share}
    flair = images[..., FLAIR]
    inside = images[head]
    low, middle_grey, high = np.percentile(inside[:, FLAIR], [1, 50, 99.5])
    correlation = np.atleast_2d(np.corrcoef(inside.T + np.random.default_rng(0).normal(0, 1e-6, inside.T.shape)))
    largest = head[head.sum(axis=(1, 2)).argmax()]
    rows, columns = np.flatnonzero(largest.any(axis=1)), np.flatnonzero(largest.any(axis=0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    return {
        "head_share": share,
        "aspect": float(height / width),
        "symmetry": _symmetry(flair, (columns[0] + columns[-1]) / 2),
        "rim": _rim(head),
        "skew": float((high - middle_grey) / max(middle_grey - low, 1e-6 * max(high - low, 1e-6))),
        "texture": float(np.abs(np.diff(flair, axis=2))[head[..., 1:]].mean() / max(inside[:, FLAIR].std(), 1e-6)),
        "pre_flair": float(correlation[PRE_CONTRAST, FLAIR]),
        "post_flair": float(correlation[POST_CONTRAST, FLAIR]),
        "pre_post": float(correlation[PRE_CONTRAST, POST_CONTRAST]),
    }


def _symmetry(flair: np.ndarray, centre: float) -> float:
    """Correlation of the picture with its mirror image about the head's middle column."""
    reach = int(min(centre, flair.shape[2] - 1 - centre))
    middle = round(centre)
    half = flair[:, :, max(0, middle - reach) : middle + reach + 1]
    values, mirrored = half.ravel(), half[..., ::-1].ravel()
    return float(np.corrcoef(values, mirrored)[0, 1]) if values.std() > 0 else float("nan")


def _rim(head: np.ndarray) -> float:
    """Share of the picture's outermost pixels that count as head."""
    edges = head[:, 0], head[:, -1], head[:, :, 0], head[:, :, -1]
    return float(np.concatenate([edge.ravel() for edge in edges]).mean())


@cache
def training_ranges() -> dict[str, tuple[float, float]]:
    """Return smallest and largest value of each measure over the training patients."""
    return {name: tuple(limits) for name, limits in json.loads(RANGES_FILE.read_text())["ranges"].items()}


def compare(volume: Volume) -> list[Finding]:
    """Return every measure of a volume beside the range of the training patients."""
    values, ranges = measure(volume.images), training_ranges()
    found = []
    for name, (label, below, above) in _MEASURES.items():
        low, high = ranges[name]
        margin = MARGIN * (high - low)
        warning = below if values[name] < low - margin else above if values[name] > high + margin else None
        if name == "head_share" and values[name] < MIN_HEAD_SHARE:
            warning = t("No head is visible against the background: the picture is empty, or not an MRI slice.")
        found.append(Finding(label, values[name], low, high, warning))
    return found


def warnings_of(findings: list[Finding], scan: Scan) -> list[str]:
    """Return plain sentences for all that is unlike the training set: what the file says first, then the findings."""
    return [*_header_warnings(scan), *(finding.warning for finding in findings if finding.warning)]


def _header_warnings(scan: Scan) -> list[str]:
    warnings = []
    if scan.modality and scan.modality != "MR":
        warnings.append(
            t("The header says {modality}, not MR. The network was trained on MRI only.", modality=scan.modality)
        )
    if scan.plane in ("coronal", "sagittal"):
        warnings.append(
            t("These are {plane} slices. The network was trained on axial slices only.", plane=t(scan.plane))
        )
    return warnings


def main() -> None:
    """Measure the training patients, print the percentiles and write the ranges beside this module."""
    from unet.data.patients import find_data_root, list_patients, load_volume
    from unet.data.splits import published_splits

    parser = argparse.ArgumentParser(
        "python -m unet.scans.domain_check", description=t("Measure the training patients.")
    )
    parser.add_argument("--data", help=t("folder with the patients"))
    args = parser.parse_args()
    patients = [
        patient
        for patient in list_patients(find_data_root(args.data))[0]
        if patient.patient_id in published_splits()["train"]
    ]
    measured = [measure(load_volume(patient).images) for patient in patients]
    ranges = {}
    for name in _MEASURES:
        values = np.array([one[name] for one in measured])
        ranges[name] = [round(float(np.nanmin(values)), 4), round(float(np.nanmax(values)), 4)]
        low, middle, high = np.nanpercentile(values, [5, 50, 95])
        print(f"{name:11} {ranges[name][0]:8.3f} {low:8.3f} {middle:8.3f} {high:8.3f} {ranges[name][1]:8.3f}")
    RANGES_FILE.write_text(json.dumps({"training_patients": len(measured), "ranges": ranges}, indent=1) + "\n")


if __name__ == "__main__":
    main()
