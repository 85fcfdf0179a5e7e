"""Show validation patients as they should not be shown, and count which of them are warned of.

    python -m tests.measure_domain --data FOLDER

Each line: what was done, how many patients were warned of, and whose warning is missing or wrong. Then volume Dice with
the skull, without it, and without it but with a drawn one.
"""

import argparse
from collections.abc import Callable

import numpy as np

from unet.data.patients import find_data_root, list_patients, load_volume
from unet.data.splits import published_splits
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES, Volume
from unet.inference.segmenter import Segmenter, quick_precision
from unet.metrics import volume_dice
from unet.scans.drawn_skull import with_drawn_skull
from unet.scans.slice_classifier import classify, doubts, is_stripped
from unet.training.skull_stripping import strip_skull
from unet.weights.network import find_weights


def alone(volume: Volume, channel: int) -> np.ndarray | None:
    """One sequence as FLAIR, the others missing; None where it is missing itself."""
    if SEQUENCE_NAMES[channel] in volume.missing_sequences:
        return None
    return volume.images[..., [channel] * 3]


def swapped(volume: Volume, channel: int) -> np.ndarray | None:
    """FLAIR and another sequence in each other's place."""
    if SEQUENCE_NAMES[channel] in volume.missing_sequences:
        return None
    order = [0, 1, 2]
    order[FLAIR], order[channel] = channel, FLAIR
    return volume.images[..., order]


def stripped(volume: Volume) -> np.ndarray:
    """The brain alone, 0 around it."""
    return volume.images * strip_skull(volume.images)[..., np.newaxis]


CASES: dict[str, tuple[bool, Callable[[Volume], np.ndarray | None]]] = {
    "as they are": (False, lambda volume: volume.images),
    "FLAIR alone": (False, lambda volume: alone(volume, FLAIR)),
    "stripped": (False, stripped),
    "pre-contrast as FLAIR": (True, lambda volume: alone(volume, PRE_CONTRAST)),
    "post-contrast as FLAIR": (True, lambda volume: alone(volume, POST_CONTRAST)),
    "FLAIR and pre-contrast swapped": (True, lambda volume: swapped(volume, PRE_CONTRAST)),
    "FLAIR and post-contrast swapped": (True, lambda volume: swapped(volume, POST_CONTRAST)),
    "upside down": (True, lambda volume: volume.images[:, ::-1]),
    "turned by half": (True, lambda volume: volume.images[:, ::-1, ::-1]),
    "on its side": (True, lambda volume: np.rot90(volume.images, 1, (1, 2))),
    "inverted": (True, lambda volume: volume.images.max() - volume.images),
}


def main() -> None:
    """Print all counts."""
    parser = argparse.ArgumentParser("python -m tests.measure_domain", description=__doc__)
    parser.add_argument("--data", help="folder with the patients")
    parser.add_argument("--split", default="validation", choices=["train", "validation"])
    args = parser.parse_args()
    wanted = published_splits()[args.split]
    found = list_patients(find_data_root(args.data))[0]
    volumes = [load_volume(patient) for patient in found if patient.patient_id in wanted]
    print(f"{len(volumes)} patients of {args.split}")
    for name, (warn, change) in CASES.items():
        changed = [(volume.patient_id, change(volume)) for volume in volumes]
        changed = [(patient_id, images) for patient_id, images in changed if images is not None]
        warned = [(patient_id, doubts(classify(images))) for patient_id, images in changed]
        odd = [f"{patient_id} {sentences}" for patient_id, sentences in warned if bool(sentences) != warn]
        print(
            f"{name}: {sum(bool(s) for _, s in warned)} of {len(warned)} warned of", *odd[:4], sep="\n    ", flush=True
        )
    skulls(volumes)


def skulls(volumes: list[Volume]) -> None:
    """Print who is recognised as stripped, and what the drawn skull is worth."""
    weights = find_weights()
    segmenter = Segmenter(weights, precision=quick_precision(weights))
    rows, recognised, false = [], 0, 0
    for volume in volumes:
        without = stripped(volume)
        recognised += is_stripped(classify(without))
        false += is_stripped(classify(volume.images))
        dice = [
            volume_dice(segmenter.segment(images).mask(weights.threshold), volume.expected_mask, volume.has_mask)
            for images in (volume.images, without, with_drawn_skull(without))
        ]
        rows.append(dice)
        print(volume.patient_id, *(f"{value:.3f}" for value in dice), flush=True)
    print(f"stripped: {recognised} of {len(volumes)} recognised; with skull: {false} taken for stripped")
    print("mean Dice with skull, stripped, with a drawn skull:", *(f"{value:.3f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
