"""Move the T1 series of patients of the data set, and count what is noticed and what it costs the network.

    python -m tests.measure_movement                    training and validation patients: what is noticed
    python -m tests.measure_movement --network          validation patients: Dice of moved sequences, and of FLAIR alone

The data set comes registered, so a patient as it is has not moved. Movements have a random direction, from a seed.
"""

import argparse
from collections import defaultdict

import cv2
import numpy as np

from unet.data.patients import find_data_root, list_patients, load_volume
from unet.data.splits import published_splits
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, Volume
from unet.inference.segmenter import Segmenter, quick_precision
from unet.metrics import dice_score
from unet.scans.movement import Displacement, displacement, moved_back
from unet.weights.network import find_weights

MOVEMENTS = (  # pixels in the slice, degrees in the slice, slices
    (0, 0, 0), (2, 0, 0), (4, 0, 0), (6, 0, 0), (8, 0, 0), (12, 0, 0), (0, 3, 0), (0, 6, 0), (0, 10, 0), (0, 0, 1),
)  # fmt: skip
COSTLY = (0, 0, 0), (8, 0, 0), (0, 6, 0), (12, 0, 0), (4, 0, 0), (0, 0, 1)  # of them, in the order of the table
THRESHOLDS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
T1_SERIES = PRE_CONTRAST, POST_CONTRAST


def moved(planes: np.ndarray, movement: tuple[int, int, int], direction: float) -> np.ndarray:
    """Return (slices, height, width) float32, moved towards an angle in radians; nothing comes in at the rim."""
    pixels, degrees, slices = movement
    height, width = planes.shape[1:]
    sign = 1 if np.cos(direction) >= 0 else -1
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), sign * degrees, 1)
    matrix[:, 2] += pixels * np.array([np.cos(direction), np.sin(direction)])
    shown = np.stack([cv2.warpAffine(plane.astype(np.float32), matrix, (width, height)) for plane in planes])
    return np.roll(shown, sign * slices, axis=0)


def with_moved_t1(volume: Volume, movement: tuple[int, int, int], direction: float) -> np.ndarray:
    """Return the images of a volume whose T1 series lie elsewhere than FLAIR; copies of FLAIR stay."""
    images = volume.images.astype(np.float32)
    for which in T1_SERIES:
        if not np.array_equal(volume.images[..., which], volume.images[..., FLAIR]):
            images[..., which] = moved(images[..., which], movement, direction)
    return images


def volumes(split: str) -> list[Volume]:
    wanted = published_splits()[split]
    return [load_volume(one) for one in list_patients(find_data_root())[0] if one.patient_id in wanted]


def is_noticed(found: Displacement, threshold: float) -> bool:
    return found.distance >= threshold or found.slices != 0


def notice(split: str) -> None:
    """Print how many T1 series are called moved, for each movement and threshold."""
    rng = np.random.default_rng(0)
    found = defaultdict(list)
    for volume in volumes(split):
        for movement in MOVEMENTS:
            images = with_moved_t1(volume, movement, rng.uniform(0, 2 * np.pi))
            for which in T1_SERIES:
                if not np.array_equal(volume.images[..., which], volume.images[..., FLAIR]):
                    found[movement].append(displacement(images, which))
    print(f"{split}: share of the T1 series called moved, from a distance on")
    print("pixels degrees slices series " + " ".join(f"{one:6.1f}" for one in THRESHOLDS))
    for movement, series in found.items():
        shares = [np.mean([is_noticed(one, threshold) for one in series]) for threshold in THRESHOLDS]
        print("{:6} {:7} {:6}".format(*movement), f"{len(series):6}", " ".join(f"{one:6.1%}" for one in shares))


def cost() -> None:
    """Print the Dice of the validation patients with T1 series that were moved, moved back, and left out."""
    weights = find_weights()
    segmenter = Segmenter(weights, precision=quick_precision(weights))
    patients = [volume for volume in volumes("validation") if not volume.missing_sequences]
    alone = np.array([_dice(segmenter, np.repeat(one.images[..., FLAIR, None], 3, axis=-1), one) for one in patients])
    print(f"{len(patients)} validation patients with three sequences; FLAIR alone: mean Dice {alone.mean():.3f}")
    print("pixels degrees slices   Dice  moved back  FLAIR alone better in", flush=True)
    rng = np.random.default_rng(0)
    for movement in COSTLY:
        dice, back = [], []
        for volume in patients:
            images = with_moved_t1(volume, movement, rng.uniform(0, 2 * np.pi))
            dice.append(_dice(segmenter, images, volume))
            for which in T1_SERIES:
                images[..., which] = moved_back(images[..., which], displacement(images, which))
            back.append(_dice(segmenter, images, volume) if any(movement) else dice[-1])
        print(
            "{:6} {:7} {:6}".format(*movement),
            f"{np.mean(dice):6.3f} {np.mean(back):11.3f} {np.sum(alone > np.array(dice)):22}",
            flush=True,
        )


def _dice(segmenter: Segmenter, images: np.ndarray, volume: Volume) -> float:
    return dice_score(segmenter.segment(images).mask(segmenter.weights.threshold), volume.expected_mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", action="store_true", help="what the movements cost the network")
    if parser.parse_args().network:
        cost()
        return
    for split in ("train", "validation"):
        notice(split)


if __name__ == "__main__":
    main()
