"""What the slice viewer in the browser is sent: a volume, and what the network says of it, as bytes.

A parcel is the length of its header in four bytes, the header as JSON, and the arrays one after the other, deflated:
scans are half air. `js/store.js` reads them.
"""

import json
import zlib

import numpy as np

from unet.data.volume import Volume
from unet.inference.engines import ATTENTION_LEVELS
from unet.inference.running import RunningSegmentation
from unet.inference.segmentation import Segmentation

VOLUME_PARCEL_BYTES = 4 << 20  # before they are deflated: far below what Streamlit sends in one message
PARCEL_SLICES = 4  # predicted slices in a parcel: the first picture comes soon, and a patient is some ten messages
_ALIGNMENT = 4
_FAST = 1  # zlib level: a third slower to send at most, five times faster to make


def pack(header: dict, arrays: dict[str, np.ndarray]) -> bytes:
    """Return a header and arrays, uint8 or uint16, as one parcel."""
    entries, parts, offset = [], [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        entries.append({"name": name, "type": array.dtype.name, "offset": offset, "length": array.size})
        parts.append(data + b"\0" * (-len(data) % _ALIGNMENT))
        offset += len(parts[-1])
    words = json.dumps({**header, "arrays": entries}, separators=(",", ":")).encode()
    return len(words).to_bytes(4, "little") + words + zlib.compress(b"".join(parts), _FAST)


def volume_parts(volume: Volume) -> list[tuple[int, int]]:
    """Return the slices, from first to before end, that go into each parcel of a volume."""
    stored_bytes = 1 if volume.images.dtype == np.uint8 else 2
    step = max(1, VOLUME_PARCEL_BYTES // (stored_bytes * volume.images[0].size))
    return [(first, min(first + step, len(volume))) for first in range(0, len(volume), step)]


def volume_parcel(volume: Volume, volume_id: str, brain: np.ndarray, part: tuple[int, int]) -> bytes:
    """Return pictures and expected masks of some slices, and brain sizes.

    Args:
        volume: uint8 images travel as they are, others as 65,536 steps between their extremes.
        volume_id: under which the browser keeps them.
        brain: (slices, height, width) bool, estimated.
        part: of `volume_parts`.
    """
    slices = slice(*part)
    images, unit = _stored(volume.images, slices)
    header = {
        "kind": "volume",
        "volume": volume_id,
        "shape": volume.images.shape[:3],
        "first": part[0],
        "end": part[1],
        "unit": unit,
        "has_mask": volume.has_mask.astype(int).tolist(),
        "brain": brain.sum(axis=(1, 2)).tolist(),
    }
    return pack(header, {"images": images, "expected": np.packbits(volume.expected_mask[slices])})


def _stored(images: np.ndarray, slices: slice) -> tuple[np.ndarray, list[dict]]:
    """Return slices as integers and, for each channel, the scale and offset that make them intensities again."""
    if images.dtype == np.uint8:
        return images[slices], [{"scale": 1, "offset": 0}] * 3
    low = images.min(axis=(0, 1, 2)).astype(float)
    scale = np.maximum((images.max(axis=(0, 1, 2)) - low) / 65535, 1e-12)
    stored = np.round((images[slices] - low) / scale).astype(np.uint16)
    return stored, [{"scale": float(s), "offset": float(o)} for s, o in zip(scale, low, strict=True)]


def parcel_order(slices: int, near: int) -> list[int]:
    """Return the first slice of each prediction parcel of a volume, outward from `near`.

    >>> parcel_order(slices=10, near=5)
    [4, 0, 8]
    """
    return sorted(range(0, slices, PARCEL_SLICES), key=lambda first: abs(first + (PARCEL_SLICES - 1) / 2 - near))


def prediction_parcel(running: RunningSegmentation, first: int, volume_id: str, model_id: str) -> bytes:
    """Return what the network says of the slices from `first`, running it on those that it has not seen yet."""
    end = min(first + PARCEL_SLICES, running.slices)
    return segmentation_parcel(running.part_when_done(first, end), first, running.slices, volume_id, model_id)


def segmentation_parcel(part: Segmentation, first: int, slices: int, volume_id: str, model_id: str) -> bytes:
    """Return what a network says of the slices from `first`, of a volume of so many."""
    levels = {f"attention_{level}": to_bytes(part.attention[level - 1]) for level in ATTENTION_LEVELS}
    header = {
        "kind": "prediction",
        "volume": volume_id,
        "model": model_id,
        "shape": (slices, *part.probability.shape[1:]),
        "first": first,
        "end": first + len(part.probability),
        "sides": [level.shape[-1] for level in levels.values()],
        "rule": part.post_processing.as_config(),
    }
    # the bits of a half: they sort like the numbers, so the browser compares them as integers
    return pack(header, {"probability": part.probability.view(np.uint16), **levels})


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Return [0, 1] as the 256 steps of the colour scale, as `overlay.colour_map` rounds them."""
    return (values.astype(np.float32) * 255 + 0.5).astype(np.uint8)
