"""From a probability to the mask that is shown and scored, by a rule that is data: it stands in a weights' config.json.

The rule is chosen on validation patients by `python -m unet tune`; the app, `evaluate` and exports all apply this one.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from unet.language import t
from unet.metrics import TOUCHING


@dataclass(frozen=True)
class PostProcessing:
    """What happens between the network and the mask, besides the threshold.

    Attributes:
        min_share: in [0, 1]; connected lesions smaller than this share of the largest are dropped. A network that looks
            at single slices finds false pieces in other places, mostly smaller than the lesion.
        min_voxels: connected lesions smaller than this are dropped.
        flip_averaging: the probability is the mean of the slice's and of its mirror image's; costs a second pass.
    """

    min_share: float = 0.0
    min_voxels: int = 0
    flip_averaging: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= 1:
            raise ValueError(t("min_share {min_share}; expected a number from 0 to 1", min_share=self.min_share))
        if self.min_voxels < 0:
            raise ValueError(t("min_voxels {min_voxels}; expected 0 or more", min_voxels=self.min_voxels))

    def mask(self, probability: np.ndarray, threshold: float) -> np.ndarray:
        """Return the mask of a volume: threshold, then small lesions dropped.

        Voxels that share a face, an edge or a corner belong together. An empty mask stays empty. A single slice keeps
        everything: it cannot tell how large a lesion is, nor what belongs to it.

        Args:
            probability: (slices, height, width) in [0, 1]; not changed.
            threshold: a voxel is lesion where the probability is at least this, compared as float16.

        Returns:
            Same shape, uint8 in {0, 1}.

        >>> p = np.array([[[0.9, 0.0, 0.6]], [[0.0, 0.0, 0.6]]], np.float16)
        >>> PLAIN.mask(p, 0.5).tolist(), PostProcessing(min_voxels=2).mask(p, 0.5).tolist()
        ([[[1, 0, 1]], [[0, 0, 1]]], [[[0, 0, 1]], [[0, 0, 1]]])
        >>> PostProcessing(0.5).mask(p, 0.5).tolist(), PostProcessing(0.6).mask(p, 0.5).tolist()
        ([[[1, 0, 1]], [[0, 0, 1]]], [[[0, 0, 1]], [[0, 0, 1]]])
        """
        mask = (probability >= np.float16(threshold)).astype(np.uint8)
        if (not self.min_share and self.min_voxels <= 1) or len(mask) == 1 or not mask.any():
            return mask
        box = _bounding_box(mask)  # a lesion fills a few percent of the volume: labelling it is twenty times quicker
        labels, _ = ndimage.label(mask[box], structure=TOUCHING)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0  # the background
        mask[box] &= (sizes >= max(self.min_voxels, self.min_share * sizes.max()))[labels]
        return mask

    def as_config(self) -> dict:
        """Return what stands in config.json under `post_processing`."""
        return asdict(self)

    def __str__(self) -> str:
        parts = (
            [t("lesions below {min_share:.0%} of the largest dropped", min_share=self.min_share)]
            if self.min_share
            else []
        )
        parts += [t("lesions below {min_voxels} voxels dropped", min_voxels=self.min_voxels)] if self.min_voxels else []
        parts += [t("flip averaging")] if self.flip_averaging else []
        return ", ".join(parts) or "none"


PLAIN = PostProcessing()


def read_post_processing(value: Any) -> PostProcessing:
    """Return the rule of a config's `post_processing`; none stands for `PLAIN`, as in weights before there was a rule.

    Raises:
        ValueError, TypeError: it is no such rule.
    """
    return PLAIN if value in (None, "none") else PostProcessing(**value)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around the lesion, as slices."""
    box = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(inside[0], inside[-1] + 1))
    return tuple(box)
