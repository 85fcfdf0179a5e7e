"""Slices with their neighbours as further channels: a lesion that ends on one slice may go on above."""

from collections.abc import Sequence

import numpy as np


def context_slices(architecture: str) -> int:
    """Return how many slices on each side of its own a network sees."""
    return 1 if architecture.endswith("-context") else 0


def input_channels(context: int) -> int:
    """Return the channels of a network's input: three sequences of each slice that it sees.

    >>> input_channels(0), input_channels(1)
    (3, 9)
    """
    return 3 * (1 + 2 * context)


def neighbour_places(indices: Sequence[int], slices: int, context: int) -> np.ndarray:
    """Return where each slice and its neighbours lie in a volume, bottom to top; the ends repeat themselves.

    Args:
        indices: of the slices in the middle.
        slices: in the volume.
        context: neighbours on each side.

    Returns:
        (indices, 2 × context + 1) int.

    >>> neighbour_places([0, 2], slices=3, context=1).tolist()
    [[0, 0, 1], [1, 2, 2]]
    """
    return np.clip(np.add.outer(indices, range(-context, context + 1)), 0, slices - 1)


def gather(slices: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Join the channels of the slices at `places`, (slices, height, width, 3), row by row.

    Returns:
        (rows, height, width, 3 × places in a row).
    """
    return np.concatenate([slices[column] for column in places.T], axis=-1)


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
    return gather(slices, neighbour_places(range(len(slices)), len(slices), context))
