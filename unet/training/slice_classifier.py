"""Train the network of `unet.scans.slice_classifier` on the training patients and their changed copies.

Every draw takes a slice of one sequence of a patient, with its skull or without, moved and re-lit as for the large
network, then turned by quarters. One in four is made into something that is no axial slice of a brain in MRI.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers, ops

from unet.data.volume import FLAIR, SEQUENCE_NAMES, Volume
from unet.files import write_text
from unet.losses import Tensor
from unet.preprocessing import Z_LIMIT, IntensityStatistics, intensity_statistics
from unet.provenance import code_version, command_line
from unet.scans.slice_classifier import ANSWERS, OUTPUTS, SIZE, classify, is_stripped
from unet.training.augmentation import Augmentation, augment
from unet.training.skull_stripping import strip_skull
from unet.weights.arrays import file_sha256, save_arrays, variable_arrays

FILTERS = (16, 32, 48, 64)
STEPS, BATCH = 3000, 64
CHOICES = ("sequence", "turn")  # answers of which one is right
IMPORTANCE = {"sequence": 2, "turn": 1, "stripped": 2, "brain": 2}  # in the loss
AUGMENTATION = Augmentation(zoom=(0.7, 1.15), shift=0.1, missing=0)
OTHER_SHARE = 0.25  # of the draws are no axial slices of a brain
STRIPPED_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class _Head:
    """A patient with and without skull: pictures, and by sequence the statistics to normalise with."""

    images: np.ndarray
    sequences: list[int]
    statistics: list[IntensityStatistics]


def load_heads(volumes: list[Volume]) -> list[_Head]:
    """Return every patient twice, with the skull and without."""
    heads = []
    for volume in volumes:
        sequences = [c for c, name in enumerate(SEQUENCE_NAMES) if name not in volume.missing_sequences]
        brain = strip_skull(volume.images)
        for images in (volume.images, volume.images * brain[..., np.newaxis]):
            statistics = [intensity_statistics(images[..., list(order)]) for order in ORDERS]
            heads.append(_Head(images, sequences, statistics))
    return heads


def draws(heads: list[_Head], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield pictures (n, SIZE, SIZE, 1), answers (n, OUTPUTS) and which answers count (n, OUTPUTS), n up to 3.

    Args:
        heads: from `load_heads`; with and without skull in turn.
        seed: of every random choice.
    """
    rng = np.random.default_rng(seed)
    while True:
        which = rng.integers(len(heads))
        order = int(rng.integers(len(ORDERS)))
        other = rng.random() < OTHER_SHARE
        picture = _draw(heads[which], order, other, rng)
        channels = [c for c in range(3) if ORDERS[order][c] in heads[which].sequences]
        answers = np.zeros((len(channels), OUTPUTS), np.float32)
        counts = np.zeros_like(answers)
        answers[:, ANSWERS["brain"]], counts[:, ANSWERS["brain"]] = not other, 1
        pictures = []
        for row, channel in enumerate(channels):
            turn = int(rng.integers(4)) if rng.random() < 0.6 else 0
            pictures.append(np.rot90(picture[..., [channel]], turn))
            if not other:
                answers[row, ANSWERS["sequence"]] = np.eye(3)[ORDERS[order][channel]]
                answers[row, ANSWERS["turn"]] = np.eye(4)[turn]
                answers[row, ANSWERS["stripped"]] = which % 2
                counts[row] = 1
        yield np.stack(pictures), answers, counts


def _draw(head: _Head, order: int, other: bool, rng: np.random.Generator) -> np.ndarray:
    """Return one slice, moved and re-lit, (SIZE, SIZE, 3) z-scores; if `other`, something that is no such slice."""
    count = len(head.images)
    image = head.images[rng.integers(count // 10, count - count // 10)]
    kind = rng.integers(len(OTHERS)) if other else -1
    if kind >= 0 and OTHERS[kind] is _plane:
        image = _plane(head.images, rng)
    image = np.ascontiguousarray(image[..., list(ORDERS[order])])
    picture, _ = augment(image, np.zeros(image.shape[:2], np.uint8), head.statistics[order], SIZE, AUGMENTATION, rng)
    return picture if kind < 0 or OTHERS[kind] is _plane else OTHERS[kind](picture, rng)


def _plane(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A coronal or sagittal slice of a volume, with slices 2.5 to 8 pixels apart."""
    side = images.shape[2]
    place = rng.integers(side // 4, side - side // 4)
    plane = images[::-1, place] if rng.random() < 0.5 else images[::-1, :, place]
    height = round(len(images) * rng.uniform(2.5, 8))
    return cv2.resize(plane, (plane.shape[1], height))


def _inverted(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return picture.mean() + rng.uniform(0.5, 1.5) * (picture.mean() - picture)


def _shuffled(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture cut into squares in another order."""
    cuts = int(rng.choice([2, 4, 8]))
    side = SIZE // cuts
    tiles = picture.reshape(cuts, side, cuts, side, 3).swapaxes(1, 2).reshape(cuts * cuts, side, side, 3)
    tiles = tiles[rng.permutation(len(tiles))]
    return tiles.reshape(cuts, cuts, side, side, 3).swapaxes(1, 2).reshape(SIZE, SIZE, 3)


def _shapes(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ellipses, boxes, lines and letters in random grey, blurred, with noise."""
    drawn = np.full((SIZE, SIZE), rng.integers(256), np.uint8)
    for _ in range(rng.integers(1, 12)):
        grey, (x, y, a, b) = int(rng.integers(256)), (int(v) for v in rng.integers(2, SIZE, 4))
        thick = int(rng.choice([-1, 1, 3]))
        match rng.integers(4):
            case 0:
                cv2.ellipse(drawn, (x, y), (a // 2, b // 2), float(rng.uniform(0, 180)), 0, 360, grey, thick)
            case 1:
                cv2.rectangle(drawn, (x, y), (a, b), grey, thick)
            case 2:
                cv2.line(drawn, (x, y), (a, b), grey, max(1, thick))
            case _:
                letters = "".join(rng.choice(list("ABCDEFGHIKLMNORSTUVWXYZ0123456789"), 6))
                cv2.putText(drawn, letters, (x // 2, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, grey, 1)
    values = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), float(rng.uniform(0.3, 3)))
    values = (values - values.mean()) / max(float(values.std()), 1.0)
    return np.clip(values[..., np.newaxis] + rng.normal(0, rng.uniform(0, 0.7), (SIZE, SIZE, 3)), -Z_LIMIT, Z_LIMIT)


def _noise(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, from grains to clouds."""
    noise = cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE)), (0, 0), float(rng.uniform(0.5, 12)))
    return np.repeat(((noise - noise.mean()) / noise.std())[..., np.newaxis], 3, axis=-1)


ORDERS = ((0, 1, 2), (1, 0, 2), (0, 2, 1))  # FLAIR, then each T1 in its place: the head is found on that channel
OTHERS = (_plane, _inverted, _shuffled, _shapes, _noise)


def build() -> keras.Model:
    """Return the untrained network: (n, SIZE, SIZE, 1) z-scores to (n, OUTPUTS) logits."""
    x = inputs = keras.Input((SIZE, SIZE, 1))
    for level, filters in enumerate(FILTERS, start=1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv_{level}")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(OUTPUTS, name="answers")(x))


def train(training: list[Volume], validation: list[Volume], folder: Path, seed: int, steps: int = STEPS) -> None:
    """Train the network; write `classifier.npz`, `classifier.json` and its card into a folder.

    Args:
        training: volumes to train on.
        validation: volumes to report on; they decide nothing.
        folder: made if it is not there.
        seed: of every random choice.
        steps: batches of `BATCH` pictures.
    """
    keras.utils.set_random_seed(seed)
    network = build()
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps, warmup_target=2e-3, warmup_steps=max(1, steps // 20))
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3)  # pyright: ignore[reportArgumentType] a schedule too
    network.compile(optimizer, loss)
    batches = _batches(load_heads(training), seed)
    network.fit(batches, steps_per_epoch=max(1, steps // 10), epochs=10, verbose=2)  # pyright: ignore[reportArgumentType] a number too
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "classifier.npz"
    save_arrays(file, variable_arrays(network.variables), {})
    facts = {
        "sha256": file_sha256(file),
        "training_patients": len(training),
        "validation_patients": len(validation),
        "pictures": steps * BATCH,
        "command": command_line("python train.py"),
        "commit": code_version(),
    }
    write_text(folder / "classifier.json", json.dumps(facts, indent=1) + "\n")  # `classify` asks it for the digest
    facts["validation"] = report(validation, folder)
    write_text(folder / "classifier.json", json.dumps(facts, indent=1) + "\n")
    write_text(folder / "README.md", _card(facts))


def loss(target: Tensor, outputs: Tensor) -> Tensor:
    """Return the cross-entropy of the four answers; `target` holds the answers and then which of them count."""
    answers, counts = target[:, :OUTPUTS], target[:, OUTPUTS:]
    total: Tensor = 0.0
    for name, where in ANSWERS.items():
        entropy: Callable[..., Tensor] = ops.categorical_crossentropy if name in CHOICES else ops.binary_crossentropy
        wrong: Tensor = ops.reshape(entropy(answers[:, where], outputs[:, where], from_logits=True), (-1,))
        mean: Tensor = ops.mean(counts[:, where.start] * wrong)
        total += IMPORTANCE[name] * mean
    return total


def _batches(heads: list[_Head], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of pictures and targets for `loss`; the pictures of a draw may lie in two of them."""
    pictures: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    for drawn, answers, counts in draws(heads, seed):
        pictures += list(drawn)
        targets += list(np.concatenate([answers, counts], axis=1))
        if len(pictures) >= BATCH:
            yield np.stack(pictures[:BATCH]).astype(np.float32), np.stack(targets[:BATCH])
            pictures, targets = pictures[BATCH:], targets[BATCH:]


def report(volumes: list[Volume], folder: Path) -> dict[str, list[int]]:
    """Return for each answer how many volumes got the right one, and of how many.

    Every volume is shown with and without skull, upright and turned; each of its sequences counts.
    """
    names = ("FLAIR or T1", "T1 with or without contrast", "turn", "with skull", "without skull", "brain")
    counted = {name: [0, 0] for name in names}

    def count(name: str, right: bool) -> None:
        counted[name] = [counted[name][0] + int(right), counted[name][1] + 1]

    for volume in volumes:
        brain = strip_skull(volume.images)[..., np.newaxis]
        for stripped, images in ((False, volume.images), (True, volume.images * brain)):
            for turn in range(4):
                kinds = classify(np.rot90(images, turn, (1, 2)), folder)
                for channel, kind in kinds.items():
                    seen = int(kind.sequence.argmax())
                    count("FLAIR or T1", (seen == FLAIR) == (channel == FLAIR))
                    if channel != FLAIR != seen:
                        count("T1 with or without contrast", seen == channel)
                count("turn", kinds[FLAIR].turn.argmax() == turn)
                count("brain", kinds[FLAIR].brain > 0.5)
                count("without skull" if stripped else "with skull", is_stripped(kinds) == stripped)
    return counted


def _card(facts: dict) -> str:
    rows = [f"| {name} | {right} of {total} |" for name, (right, total) in facts["validation"].items()]
    return "\n".join(
        [
            "# slice-classifier",
            "",
            "Tells what slices show: pre-contrast T1, FLAIR or post-contrast T1; which way up; with or without a "
            "skull; axial slices of a brain in MRI or not. The app warns with it on Your own MRI. It says nothing "
            "about a mask. For teaching and research; not for diagnosis.",
            "",
            f"Four convolutions and one layer, {facts['pictures']:,} pictures drawn from {facts['training_patients']} "
            f"training patients, their turned copies, their copies without skull and what is no such slice. Made by "
            f"`{facts['command']}`, code {facts['commit']}.",
            "",
            f"## {facts['validation_patients']} validation patients, which decided nothing",
            "",
            "Each with its skull and with the skull removed by `unet.training.skull_stripping`, upright and turned by "
            "one, two and three quarters; mean over at most 16 slices.",
            "",
            "| answer | right |",
            "| --- | --- |",
            *rows,
            "",
            f"SHA-256 of `classifier.npz`: `{facts['sha256']}`. Licence: CC BY-NC-SA 4.0, as the data set.",
            "",
        ]
    )
