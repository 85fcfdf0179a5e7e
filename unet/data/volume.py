"""The slices of one patient as arrays, and what a file's header says about where they lie."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unet.language import mark

PRE_CONTRAST, FLAIR, POST_CONTRAST = 0, 1, 2
SEQUENCE_NAMES = (mark("pre-contrast"), mark("FLAIR"), mark("post-contrast"))


@dataclass(frozen=True)
class Geometry:
    """What a file's header says about size and direction; the data set itself says nothing.

    Attributes:
        spacing: millimetres between slices, rows and columns, or None where the header does not say.
        edges: what lies beyond the left, right, top and bottom edge of a slice, letters of R, L, A, P, S, I,
            such as `("R", "L", "A", "P")`; None where the orientation is unknown.
        plane: `axial`, `coronal` or `sagittal`, slices in the order that `unet.scans.scan` gives them; None where
            unknown.
    """

    spacing: tuple[float, float, float] | None = None
    edges: tuple[str, str, str, str] | None = None
    plane: str | None = "axial"


@dataclass(frozen=True, eq=False)
class Volume:
    """The slices of one patient that could be read, bottom to top.

    Attributes:
        patient_id: the case folder's name.
        images: (slices, height, width, 3); pre-contrast, FLAIR, post-contrast. uint8 in the data set, float32 in
            the scanner's unit for an upload.
        expected_mask: (slices, height, width) uint8 in {0, 1}; all 0 where `has_mask` is False.
        has_mask: (slices,) bool, whether an expert's mask was there to read.
        slice_numbers: (slices,) int, as in the file names; gaps stay gaps.
        problems: one plain sentence for each file that is missing or unreadable.
        geometry: millimetres and directions, unknown in the data set.
    """

    patient_id: str
    images: np.ndarray
    expected_mask: np.ndarray
    has_mask: np.ndarray
    slice_numbers: np.ndarray
    problems: tuple[str, ...] = ()
    geometry: Geometry = Geometry()

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def missing_sequences(self) -> tuple[str, ...]:
        """Names of the sequences that are a copy of FLAIR, which is how the data set fills a missing one.

        Compares all slices when it is first asked.
        """
        return copies_of_flair(self.images)

    @property
    def content_hash(self) -> str:
        """BLAKE2b of all that is shown of the volume: the key under which results are cached, and sent to a browser."""
        shown = repr((self.patient_id, self.images.shape, self.images.dtype, self.geometry))
        digest = hashlib.blake2b(shown.encode(), digest_size=32)  # twice as fast as SHA-256 on 400 MB
        for array in (self.slice_numbers, self.has_mask, self.expected_mask, self.images):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def copies_of_flair(images: np.ndarray) -> tuple[str, ...]:
    """Return the names of the sequences of (…, 3) pictures that are a copy of FLAIR."""
    return tuple(
        SEQUENCE_NAMES[channel]
        for channel in (PRE_CONTRAST, POST_CONTRAST)
        if np.array_equal(images[..., channel], images[..., FLAIR])
    )
