"""What training does to a slice before the network sees it, image and mask moved together.

Seventy-seven patients are few; a network that sees each slice turned, scaled, mirrored and re-lit learns the
lesion and not the patient.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST
from unet.language import t
from unet.preprocessing import Z_LIMIT, IntensityStatistics, intensity_statistics
from unet.training.records import is_number

_PROBABILITIES = ("flip", "missing", "own_statistics")
_FACTORS = ("zoom", "gamma", "contrast")


@dataclass(frozen=True)
class Augmentation:
    """How far each change may go; a range is drawn from uniformly, a probability per slice.

    Attributes:
        flip: probability of mirroring left and right.
        rotation: largest angle, degrees, either way.
        zoom: smallest and largest magnification.
        shift: largest move, as a share of the side.
        elastic: largest standard deviation of a smooth displacement, as a share of the side.
        gamma: smallest and largest exponent on intensities scaled to [0, 1], drawn for each channel.
        contrast: smallest and largest factor on z-scores, drawn for each channel.
        bias: largest standard deviation of a smooth gain in log units, as a coil near one side of the head makes.
        blur: largest standard deviation of a Gaussian blur, as a share of the side.
        noise: largest standard deviation of Gaussian noise, in z-scores.
        missing: probability that pre- or post-contrast becomes a copy of FLAIR, as in the data set.
        own_statistics: probability of normalising by the slice alone, so that single uploads work too.
    """

    flip: float = 0.5
    rotation: float = 20.0
    zoom: tuple[float, float] = (0.8, 1.2)
    shift: float = 0.06
    elastic: float = 0.02
    gamma: tuple[float, float] = (0.6, 1.6)
    contrast: tuple[float, float] = (0.75, 1.25)
    bias: float = 0.4
    blur: float = 0.006
    noise: float = 0.2
    missing: float = 0.1
    own_statistics: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in _FACTORS:
                fits = isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))
                if not (fits and 0 < value[0] <= value[1]):
                    raise ValueError(
                        t(
                            "augmentation {name} {value!r}; expected two numbers above 0, the smaller first",
                            name=name,
                            value=value,
                        )
                    )
            elif not is_number(value) or value < 0 or (name in _PROBABILITIES and value > 1):
                expected = t("a number in [0, 1]") if name in _PROBABILITIES else t("a number from 0")
                raise ValueError(
                    t("augmentation {name} {value!r}; expected {expected}", name=name, value=value, expected=expected)
                )

    def switched_off(self) -> list[str]:
        """Return the names of the changes that never happen.

        >>> Augmentation(flip=0, noise=0).switched_off()
        ['flip', 'noise']
        """
        return [name for name, value in vars(NO_AUGMENTATION).items() if getattr(self, name) == value]


NO_AUGMENTATION = Augmentation(0, 0, (1, 1), 0, 0, (1, 1), (1, 1), 0, 0, 0, 0, 0)


def augment(
    image: np.ndarray,
    mask: np.ndarray,
    statistics: IntensityStatistics,
    size: int,
    settings: Augmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a stored slice and its mask into one training example.

    Args:
        image: (height, width, 3) uint8 as stored, or (slices, height, width, 3), the slice in the middle of its
            neighbours; not changed.
        mask: (height, width) in {0, 1}, of the slice in the middle; not changed.
        statistics: of the volume the slice is from.
        size: side of the result in pixels.
        settings: how much of each change.
        rng: source of every random choice.

    Returns:
        The normalised slice, (size, size, 3 × slices) float32, and its mask, (size, size) float32 in {0, 1}.
    """
    stack = image if image.ndim == 4 else image[np.newaxis]
    if rng.random() < settings.own_statistics:
        stack = np.broadcast_to(stack[len(stack) // 2], stack.shape)  # a picture sent alone has no neighbours either
        statistics = intensity_statistics(stack[:1])
    gamma, contrast = rng.uniform(*settings.gamma, 3), rng.uniform(*settings.contrast, 3)
    copies = []
    if rng.random() < settings.missing:
        # 6 of the 10 patients without post-contrast lack pre-contrast too
        copies = [POST_CONTRAST, PRE_CONTRAST] if rng.random() < 0.6 else [POST_CONTRAST]
    matrix = _random_affine(stack.shape[1:3], size, settings, rng)
    where = _sources(matrix, size, settings.elastic, rng)
    moved_mask = _remap(mask.astype(np.float32), where, (0,))
    # intensities are z-scores by now; a gain acts on what the scanner measured, counted from its zero
    zero = contrast.astype(np.float32) * -statistics.mean / statistics.std
    gain = _random_gain(size, settings.bias, rng) if settings.bias else None
    blur = size * rng.uniform(0, settings.blur) if settings.blur else 0
    noise = rng.uniform(0, settings.noise) if settings.noise else 0
    pictures = []
    for slice_ in stack:
        picture = _moved(_relight(slice_, statistics, gamma, contrast), where)
        if gain is not None:
            picture *= gain
            picture += zero * (1 - gain)
        if blur > 0.3:  # below, nothing would change
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        if noise:
            picture += _noise(picture.shape, noise, rng)
        picture[..., copies] = picture[..., [FLAIR]]  # at the end: the data set's copies are the same to the last bit
        pictures.append(picture)
    slices = np.concatenate(pictures, axis=-1) if len(pictures) > 1 else pictures[0]
    return np.clip(slices, -Z_LIMIT, Z_LIMIT, out=slices), (moved_mask >= 0.5).astype(np.float32)


def _noise(shape: tuple[int, ...], deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise with OpenCV, five times as fast as NumPy; its generator is one a thread."""
    noise = np.empty((shape[0], shape[1] * shape[2]), np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, np.zeros(1), np.full(1, deviation))
    return noise.reshape(shape)


def _moved(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Take every pixel from its place; beyond the edge lie the picture's darkest values."""
    border = tuple(float(value) for value in picture.min(axis=0).min(axis=0))  # many times as fast as both at once
    return _remap(picture, where, border)


def _remap(picture: np.ndarray, where: np.ndarray, border: tuple[float, ...]) -> np.ndarray:
    """Take every pixel from its place, (size, size, 2), linearly between its neighbours."""
    return cv2.remap(  # pyright: ignore[reportCallIssue] one map of two channels does without a second
        picture,
        where,
        None,  # pyright: ignore[reportArgumentType] as above
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )


def _relight(image: np.ndarray, s: IntensityStatistics, gamma: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Normalise with a gamma between the clipping bounds and a contrast, both per channel.

    All by a table of the 256 stored grey values, which is why it is cheap.
    """
    span = np.maximum(s.high - s.low, np.finfo(np.float32).tiny)
    unit = (np.clip(np.arange(256, dtype=np.float32)[:, np.newaxis], s.low, s.high) - s.low) / span
    table = (s.low + span * unit ** gamma.astype(np.float32) - s.mean) / s.std * contrast.astype(np.float32)
    return cv2.LUT(image, table.astype(np.float32).reshape(1, 256, 3))


def _random_gain(size: int, bias: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth gain per channel, (size, size, 3): the same pattern in each, in its own strength."""
    pattern = cv2.resize(rng.standard_normal((3, 3), np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.exp(pattern[..., np.newaxis] * rng.uniform(0, bias, 3).astype(np.float32))


def _sources(matrix: np.ndarray, size: int, elastic: float, rng: np.random.Generator) -> np.ndarray:
    """Return for each pixel of the example the place (x, y) in the stored slice it comes from, (size, size, 2)."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    if elastic:  # a 4 × 4 grid of pushes: smooth enough that anatomy bends and never folds
        push = rng.standard_normal((4, 4, 2), np.float32) * np.float32(size * rng.uniform(0, elastic))
        push = cv2.resize(push, (size, size), interpolation=cv2.INTER_CUBIC)
        x, y = x + push[..., 0], y + push[..., 1]
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    return np.dstack([x, y]) @ inverse[:, :2].T + inverse[:, 2]


def _random_affine(shape: tuple[int, int], size: int, settings: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Draw the 2×3 matrix that takes stored pixels to the example; without randomness it is plain resizing."""
    scale = size / max(shape) * rng.uniform(*settings.zoom)
    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    mirror = -1 if rng.random() < settings.flip else 1
    turn = scale * np.array([[np.cos(angle) * mirror, -np.sin(angle)], [np.sin(angle) * mirror, np.cos(angle)]])
    centre = (np.array(shape[::-1]) - 1) / 2  # pixel centres, so that shrinking averages neighbours
    target = (size - 1) / 2 + size * rng.uniform(-settings.shift, settings.shift, 2)
    return np.column_stack([turn, target - turn @ centre])
