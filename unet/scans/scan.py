"""A picture that a visitor handed over: its values, and everything its file says about where they lie.

A `Scan` is always the right side up. Its axes are (slices, height, width, channels), in the order in which
radiologists look at them:

    axial      slices from the feet to the head, the nose at the top, the patient's right on the left
    coronal    slices from the nose to the back of the head, the crown at the top, the right on the left
    sagittal   slices from right to left, the crown at the top, the nose on the left

Turning a file's own axes into these is a permutation and flips, never an interpolation, so `Placement` brings a
mask back to the very voxels it was drawn on.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from unet.data.sequences import EXPECTED_MASK
from unet.language import mark, t
from unet.scans.limits import MAX_DECODED, MAX_PIXELS_2D, MAX_SIDE, MAX_SLICES
from unet.scans.placement import Placement, nearest_axes, place

MASK_FORMATS = "DICOM-SEG", "RTSTRUCT"
OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
BURNED_IN = mark(
    "The header says that text is burned into the picture. It may name the patient. Check it before you share it."
)


class IngestError(ValueError):
    """An upload that cannot be used; the message says what was found, what was expected and what to do."""


class NoPictureError(IngestError):
    """A file that holds no picture by its nature, such as a report: said, and no failure."""


class Aside(str):
    """A sentence about a file that holds no picture by its nature."""


def plain_name(name: str) -> str:
    r"""Return a file's name fit for a sentence: printable and short, alike for the files of one folder.

    Of a long part the end matters most, where the number is.

    >>> plain_name("z/a/b/c/d/e/scan" + 80 * "0" + "7.dcm")[:12], plain_name("a\n.png")
    ('a/b/c/d/e/…0', 'a�.png')
    """
    parts = "".join(letter if letter.isprintable() else "�" for letter in name).split("/")[-6:]
    return "/".join(part if len(part) <= 80 else f"…{part[-79:]}" for part in parts)


class NoRoomError(IngestError):
    """A picture that could be decoded alone, and not beside what is decoded already.

    Attributes:
        size: bytes once decoded.
    """

    def __init__(self, words: str, size: int) -> None:
        super().__init__(words)
        self.size = size


class Room:
    """Memory that an upload may still decode to; asked before anything is decoded."""

    def __init__(self, size: int = MAX_DECODED) -> None:
        self.left = size

    def take(
        self, name: str, shape: tuple[int, int, int], channels: int, item_size: int, scaled_down: bool = False
    ) -> None:
        """Reserve room for a scan.

        Args:
            name: of the file, for the message.
            shape: slices, height and width that the header states.
            channels: values of one pixel.
            item_size: bytes of one value in the file.
            scaled_down: whether it is a single picture, which is scaled down where its sides are too long.

        Raises:
            NoRoomError: it does not fit beside the others.
            IngestError: it would not fit alone, or no picture is like this.
        """
        slices, height, width = shape
        voxels = slices * height * width * channels
        if voxels <= 0:
            raise IngestError(t("{name}: the header describes a picture without pixels. Export it again.", name=name))
        if not scaled_down:
            check_shape(name, shape)
        elif height * width > MAX_PIXELS_2D:
            raise IngestError(
                t(
                    "{name}: {megapixels:,.0f} megapixels; at most {max_pixels_2d:.0f} are allowed. Scale it down.",
                    name=name,
                    megapixels=height * width / 1000000.0,
                    max_pixels_2d=MAX_PIXELS_2D / 1000000.0,
                )
            )
        size = voxels * max(4, item_size)
        if size > self.left:
            used = (
                ""
                if size > MAX_DECODED or self.left == MAX_DECODED
                else t(", of which {left:,.0f} MB are left", left=self.left / 2**20)
            )
            words = t(
                "{name}: {size:,.0f} MB once decoded; an upload may decode to {max_decoded} MB{used}. "
                "Upload fewer or smaller series.",
                name=name,
                size=size / 2**20,
                max_decoded=MAX_DECODED >> 20,
                used=used,
            )
            raise NoRoomError(words, size) if size <= MAX_DECODED else IngestError(words)
        self.left -= size


def check_shape(name: str, shape: tuple[int, int, int]) -> None:
    """Raise IngestError where a scan of (slices, height, width) has more slices, or larger ones, than are segmented."""
    slices, height, width = shape
    if max(height, width) > MAX_SIDE:
        raise IngestError(
            t(
                "{name}: slices of {width:,} × {height:,} pixels; expected at most {max_side:,} a side. "
                "A slice of MRI has a few hundred. Crop or scale it.",
                name=name,
                width=width,
                height=height,
                max_side=MAX_SIDE,
            )
        )
    if slices > MAX_SLICES:
        raise IngestError(
            t(
                "{name}: {slices:,} slices; at most {max_slices} are allowed. A head in slices of 1 mm "
                "has about 200. Upload the slices of the head alone.",
                name=name,
                slices=slices,
                max_slices=MAX_SLICES,
            )
        )


@dataclass(frozen=True, eq=False)
class Scan:
    """One picture or series, decoded.

    Attributes:
        name: for the visitor's eyes: the file's or the series' own name. Never exported.
        file_format: for people, such as `DICOM`, `NIfTI`, `NRRD` or `PNG`.
        voxels: (slices, height, width, channels) float32, finite, in display order.
        channel_names: (channels,), what each channel is called; empty words where nothing is known.
        bit_depth: bits a value has in the file.
        placement: how the display order lies in the file's own array.
        plane: `axial`, `coronal`, `sagittal`, or None where the orientation is unknown.
        spacing: millimetres between slices, rows and columns, in display order, or None.
        affine: 4 × 4, indices (slice, row, column) to RAS+ millimetres, or None; where slices are missing, the indices
            of the even grid of `unet.scans.grids`.
        places: where slices are missing, on which place of an even grid each slice of the file's first axis lies.
        guesses: (channels,), `pre-contrast`, `FLAIR`, `post-contrast` or None, as far as names and tags tell.
        modality: DICOM's code, such as `MR` or `CT`, or None.
        window: grey values that the file asks to be shown as black and white. For the eye only.
        notes: plain sentences: what was dropped, guessed or repaired.
        files: names of the files it was read from, in the order of the file's slices.
        acquisition: of DICOM: `repetition`, `echo` and `inversion` in milliseconds, None where the header is silent;
            `agent`, whether it names a contrast agent; `minute` of the day, or None; `words` that name the sequence.
        source: what export needs to speak the file's own language, and no more; nothing about the patient.
        patient: who it is, as the header of a DICOM series says; only for a DICOM-SEG that the visitor wants to be
            filed under the patient.
    """

    name: str
    file_format: str
    voxels: np.ndarray
    channel_names: tuple[str, ...]
    bit_depth: int
    guesses: tuple[str | None, ...] = ()
    placement: Placement = field(default_factory=Placement)
    plane: str | None = None
    spacing: tuple[float, float, float] | None = None
    affine: np.ndarray | None = None
    places: tuple[int, ...] | None = None
    modality: str | None = None
    window: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    acquisition: dict | None = None
    source: dict | None = None
    patient: dict[str, str] | None = field(default=None, repr=False)

    @property
    def is_mask(self) -> bool:
        """Whether it holds what was drawn on a picture, and is none."""
        return EXPECTED_MASK in self.guesses or self.file_format in MASK_FORMATS

    @property
    def edges(self) -> tuple[str, str, str, str] | None:
        """Letters of what lies beyond the left, right, top and bottom edge, or None."""
        if self.affine is None:
            return None
        (_, (row_axis, row_sign), (column_axis, column_sign)) = nearest_axes(self.affine)
        bottom = "RAS"[row_axis] if row_sign > 0 else "LPI"[row_axis]
        right = "RAS"[column_axis] if column_sign > 0 else "LPI"[column_axis]
        return OPPOSITE[right], right, OPPOSITE[bottom], bottom

    def save(self, folder: Path, number: int) -> None:
        """Write the values as `.npy` and the rest as JSON: nothing that could run when it is read."""
        np.save(folder / f"scan_{number}.npy", self.voxels, allow_pickle=False)
        rest = {name: value for name, value in vars(self).items() if name not in ("voxels", "placement", "affine")}
        rest |= {"axes": self.placement.axes, "flipped": self.placement.flipped}
        rest["affine"] = None if self.affine is None else self.affine.tolist()
        (folder / f"scan_{number}.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, number: int) -> "Scan":
        """Read what `save` wrote; the values stay on disk until they are looked at."""
        rest = json.loads((folder / f"scan_{number}.json").read_text(encoding="utf-8"))
        voxels = np.load(folder / f"scan_{number}.npy", mmap_mode="r", allow_pickle=False)
        placement = Placement(tuple(rest.pop("axes")), tuple(rest.pop("flipped")))
        affine = rest.pop("affine")
        for name in ("channel_names", "guesses", "spacing", "places", "window", "notes", "files"):
            rest[name] = rest[name] and tuple(rest[name])
        return cls(voxels=voxels, placement=placement, affine=affine and np.array(affine), **rest)


def orient(
    file_array: np.ndarray,
    file_affine: np.ndarray,
    slice_axis: int,
    millimetres: bool = True,
    places: tuple[int, ...] | None = None,
) -> tuple[np.ndarray, dict]:
    """Turn a file's array the right side up.

    Args:
        file_array: three axes as in the file, then channels.
        file_affine: 4 × 4, file indices to RAS+ millimetres; `usable_affine`.
        slice_axis: file axis along which the slices were taken.
        millimetres: whether the header vouches for the unit.
        places: as in `Scan`.

    Returns:
        (slices, height, width, channels), and the geometry as keyword arguments of `Scan`.
    """
    placement, plane = place(file_affine, slice_axis)
    shape = (places[-1] + 1, *file_array.shape[1:]) if places else file_array.shape
    affine = placement.affine(file_affine, shape)
    spacing = tuple(float(size) for size in np.linalg.norm(affine[:3, :3], axis=0))
    geometry = {"placement": placement, "plane": plane, "affine": affine, "places": places}
    geometry["spacing"] = spacing if millimetres else None
    return placement.forward(file_array), geometry


def finished(scan: Scan) -> Scan:
    """Make the values of a scan finite, contiguous float32, and note what had to be changed."""
    voxels = np.ascontiguousarray(scan.voxels, np.float32)
    finite = np.isfinite(voxels)
    if finite.all():
        return replace(scan, voxels=voxels)
    if not finite.any():
        raise IngestError(t("{scan}: all values are NaN or infinite. Export it again.", scan=scan.name))
    count = int(voxels.size - finite.sum())
    low, high = float(voxels[finite].min()), float(voxels[finite].max())
    voxels = np.nan_to_num(voxels, nan=low, posinf=high, neginf=low)
    note = t("{count:,} values were NaN or infinite. They are shown as the nearest finite value.", count=count)
    return replace(scan, voxels=voxels, notes=(*scan.notes, note))
