"""Trained networks on disk: a folder of weights with its settings, found by name and verified."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from unet.language import t
from unet.paths import WEIGHTS_FOLDER
from unet.postprocessing import PLAIN, PostProcessing, read_post_processing
from unet.weights.arrays import WeightsError, file_sha256

DEFAULT_WEIGHTS = "attention-unet-32"
INT8_NAME = "int8"


@dataclass(frozen=True)
class Weights:
    """A folder of trained weights: `config.json` and `weights.npz`, checked against its SHA-256.

    Attributes:
        name: the folder's name.
        filters: width of the network.
        size: side in pixels at which the network was trained, and so is run.
        threshold: probability from which a pixel counts as lesion.
        sha256: of `weights.npz`; part of every cache key.
        path: of `weights.npz`.
        int8: the same network in 8-bit integers, OpenVINO's `.xml`, or None where none is shipped.
        post_processing: what happens to the mask after the threshold, chosen on validation.
        architecture: a key of `unet.model.ARCHITECTURES`.
    """

    name: str
    filters: int
    size: int
    threshold: float
    sha256: str
    path: Path
    int8: Path | None = None
    post_processing: PostProcessing = PLAIN
    architecture: str = "attention-unet"

    @property
    def key(self) -> str:
        """What a mask depends on: the network, the size it runs at, and the rule that makes its masks."""
        return "-".join(map(str, (self.sha256[:16], self.size, *self.post_processing.as_config().values())))


def weights_folder(name: str | os.PathLike) -> Path:
    """Return the folder that a path gives, or that a name gives in `weights/`; Windows separates by `/` too."""
    return Path(name) if Path(name).name != str(name) else WEIGHTS_FOLDER / name


def find_weights(name: str | os.PathLike = DEFAULT_WEIGHTS) -> Weights:
    """Return the weights of that name in `weights/`, or in a folder given by its path, verified.

    Raises:
        WeightsError: no such folder, a config that is not one, a file that is missing or was changed.
    """
    folder = weights_folder(name)
    try:
        config = json.loads((folder / "config.json").read_text())
        weights = Weights(
            folder.name,
            int(config["filters"]),
            int(config["size"]),
            float(config["threshold"]),
            str(config["sha256"]),
            folder / "weights.npz",
            folder / f"{INT8_NAME}.xml" if "int8" in config else None,
            read_post_processing(config.get("post_processing")),
            str(config.get("architecture", "attention-unet")),
        )
        files = {"weights.npz": weights.sha256}
        for suffix, sha256 in config.get("int8", {}).get("sha256", {}).items():
            files[f"{INT8_NAME}.{suffix}"] = sha256
    except FileNotFoundError:
        shipped = ", ".join(shipped_names()) or "none"
        raise WeightsError(
            t(
                "No weights in {folder}: config.json is missing. Shipped weights: {shipped}.",
                folder=folder,
                shipped=shipped,
            )
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            t(
                "{folder} cannot be used: {error!r}. Check the project out again.",
                folder=folder / "config.json",
                error=error,
            )
        ) from None
    for name, sha256 in files.items():
        if not (folder / name).exists():
            raise WeightsError(t("{folder} does not exist. Check the project out again.", folder=folder / name))
        found = file_sha256(folder / name)
        if found != sha256:
            raise WeightsError(
                t(
                    "{folder} has SHA-256 {found}…, its config.json says {sha256}…: the file is "
                    "truncated or was changed. Check the project out again.",
                    folder=folder / name,
                    found=found[:12],
                    sha256=sha256[:12],
                )
            )
    return weights


def shipped_names() -> list[str]:
    """Return the names of the folders in `weights/` that hold weights, sorted."""
    return sorted(path.parent.name for path in WEIGHTS_FOLDER.glob("*/config.json"))
