"""Slices with their neighbours as further channels: a lesion that ends on one slice may go on above."""

import numpy as np


def context_slices(architecture: str) -> int:
    """Return how many slices on each side of its own a network sees."""
    return 1 if architecture.endswith("-context") else 0


def with_neighbours(slices: np.ndarray, context: int) -> np.ndarray:
    """Give each slice the channels of its neighbours: below, itself, above; the ends repeat themselves.

    Args:
        slices: (slices, height, width, 3), bottom to top.
        context: slices on each side; 0 returns `slices` as they are.

    Returns:
        (slices, height, width, 3 × (2 × context + 1)).

    >>> with_neighbours(np.arange(3).reshape(3, 1, 1, 1), 1)[:, 0, 0].tolist()
    [[0, 0, 1], [0, 1, 2], [1, 2, 2]]
    """
    if not context:
        return slices
    places = np.arange(len(slices))
    shifted = (np.clip(places + offset, 0, len(slices) - 1) for offset in range(-context, context + 1))
    return np.concatenate([slices[index] for index in shifted], axis=-1)
