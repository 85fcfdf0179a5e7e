"""An upload left for right, for those who look at heads from behind."""

from collections.abc import Callable
from dataclasses import replace

from unet.data.volume import Volume
from unet.inference.running import RunningSegmentation
from unet.language import t
from unet.letterbox import Letterbox


class Mirrored(RunningSegmentation):
    """A finished segmentation left for right, as one that ran to its end; it neither runs nor keeps a network."""

    def __init__(self, running: RunningSegmentation) -> None:
        seen = running.result()
        maps = tuple(level[..., ::-1] for level in seen.attention)
        self._slices, self._result = {}, replace(seen, probability=seen.probability[..., ::-1], attention=maps)
        self._place = running.slices, running.letterbox, running.engine_name

    @property
    def slices(self) -> int:
        """Number of slices, as in the original."""
        return self._place[0]

    @property
    def letterbox(self) -> Letterbox:
        """The letterbox of the original."""
        return self._place[1]

    @property
    def engine_name(self) -> str:
        """Name of the engine that made the original."""
        return self._place[2]

    def advance(self, near: int = 0, on_wait: Callable[[int], object] | None = None) -> bool:
        """Return True at once: every slice is done."""
        return True


def mirrored(volume: Volume) -> Volume:
    """Return a volume left for right, for those who look at heads from behind (neurological convention)."""
    if volume.geometry.edges is None:
        raise ValueError(
            t(
                "{patient_id}: the left edge is unknown; expected `geometry.edges` to be set",
                patient_id=volume.patient_id,
            )
        )
    left, right, top, bottom = volume.geometry.edges
    geometry = replace(volume.geometry, edges=(right, left, top, bottom))
    images, expected = volume.images[:, :, ::-1], volume.expected_mask[:, :, ::-1]
    name = f"{volume.patient_id}_mirrored"  # pictures saved from the viewer are left for right, and say so
    return replace(volume, patient_id=name, images=images, expected_mask=expected, geometry=geometry)
