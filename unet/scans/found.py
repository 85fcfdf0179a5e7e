"""Pictures and series of an upload whose headers are read and whose pixels may still be.

A study holds more than one upload may decode to. What is likely needed is decoded first, in the order of
`unet.scans.mapping`; what no longer fits waits, with all that its header says, until it is asked for.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from unet.language import t
from unet.scans.limits import MAX_DECODED
from unet.scans.scan import Aside, Scan


@dataclass(frozen=True)
class Waiting:
    """What the header of a series says that is not decoded, and how to ask for it.

    Attributes:
        keys: of its files, for `unet.scans.sandbox.read_study`.
        name: for people, as `Scan.name`.
        file_format: as `Scan.file_format`; empty where only the file's name is known.
        shape: slices, height and width; None where only the file's name is known.
        decoded: bytes.
        guesses: as `Scan.guesses`.
        plane, spacing, modality: as in `Scan`.
    """

    keys: tuple[str, ...]
    name: str
    file_format: str
    shape: tuple[int, int, int] | None
    decoded: int
    guesses: tuple[str | None, ...] = ()
    plane: str | None = None
    spacing: tuple[float, float, float] | None = None
    modality: str | None = None

    @property
    def sentence(self) -> str:
        """Why it is not decoded, where it cannot be asked for."""
        return t(
            "{name}: {size:,.0f} MB once decoded; an upload may decode to {max_decoded} MB, and other series come "
            "first. Upload it alone.",
            name=self.name,
            size=self.decoded / 2**20,
            max_decoded=MAX_DECODED >> 20,
        )

    @classmethod
    def load(cls, values: dict) -> Self:
        """Return what `asdict` and JSON made of one."""
        listed: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | listed)


@dataclass(frozen=True)
class Study:
    """What came of an upload.

    Attributes:
        scans: decoded, in the order of the files.
        problems: a sentence for each file or series that was left out, an `Aside` where it holds no picture by its
            nature.
        waiting: what did not fit beside the scans, and can be asked for.
    """

    scans: list[Scan]
    problems: list[str]
    waiting: list[Waiting] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write it as files: nothing that could run when it is read."""
        for number, scan in enumerate(self.scans):
            scan.save(folder, number)
        asides = [one for one in self.problems if isinstance(one, Aside)]
        rest = {"scans": len(self.scans), "problems": self.problems, "asides": asides}
        rest |= {"waiting": [asdict(one) for one in self.waiting]}
        (folder / "result.part").write_text(json.dumps(rest), encoding="utf-8")
        (folder / "result.part").rename(folder / "result.json")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the values of the scans stay on the disk until they are looked at."""
        rest = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        scans = [Scan.load(folder, number) for number in range(rest["scans"])]
        asides = set(rest["asides"])
        problems: list[str] = [Aside(one) if one in asides else one for one in rest["problems"]]
        return cls(scans, problems, [Waiting.load(one) for one in rest["waiting"]])


@dataclass(frozen=True)
class Found:
    """A picture or series that can be decoded.

    Attributes:
        outline: what its name and its header say; its voxels are 0 and take no memory.
        keys: of its files.
        label: for sentences, where it is not the name of one file.
        read: decodes it; adds a sentence for each part that is left out to a list.
    """

    outline: Scan
    keys: tuple[str, ...]
    label: str
    read: Callable[[list[str]], Scan]

    def wait(self, decoded: int) -> Waiting:
        """Return what is known of it, for a picture that takes so many bytes once decoded."""
        one = self.outline
        slices, height, width = one.voxels.shape[:3]
        shape = (slices, height, width) if one.file_format else None
        return Waiting(
            self.keys, one.name, one.file_format, shape, decoded, one.guesses, one.plane, one.spacing, one.modality
        )


def nothing(shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros of a shape that take no memory; read-only."""
    return np.broadcast_to(np.float32(0), shape)
