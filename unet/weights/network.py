"""Arrays in one file: the shipped weights and the checkpoints of a run.

An uncompressed `.npz`, read with `allow_pickle=False`, cannot run code and needs no TensorFlow to look into.
Shipped kernels are stored as float16: half the download, and inference runs at lower precision anyway.
"""

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet.data.patients import PROJECT_FOLDER
from unet.postprocessing import PLAIN, PostProcessing, read_post_processing

WEIGHTS_FOLDER = PROJECT_FOLDER / "weights"
DEFAULT_WEIGHTS = "attention-unet-32"
INT8_NAME = "int8"
_META = "meta"


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file and the remedy."""


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
        raise WeightsError(f"No weights in {folder}: config.json is not there. Shipped weights: {shipped}.") from None
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{folder / 'config.json'} cannot be used: {error!r}. Check the project out again."
        ) from None
    for name, sha256 in files.items():
        if not (folder / name).exists():
            raise WeightsError(f"{folder / name} is not there. Check the project out again.")
        found = file_sha256(folder / name)
        if found != sha256:
            raise WeightsError(
                f"{folder / name} has SHA-256 {found[:12]}…, its config.json says {sha256[:12]}…: the file is "
                "truncated or was changed. Check the project out again."
            )
    return weights


def shipped_names() -> list[str]:
    """Return the names of the folders in `weights/` that hold weights, sorted."""
    return sorted(path.parent.name for path in WEIGHTS_FOLDER.glob("*/config.json"))


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_arrays(path: Path, arrays: dict[str, np.ndarray], meta: dict, compress: bool = False) -> None:
    """Write arrays and a JSON-able dict so that `path` holds the old or the new content, never half of it.

    Written beside it, read back in full and only then moved over it: a full disk leaves the old file intact.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            save = np.savez_compressed if compress else np.savez
            save(file, **arrays, **{_META: np.frombuffer(json.dumps(meta).encode(), np.uint8)})
            file.flush()
            os.fsync(file.fileno())
        load_arrays(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read what `save_arrays` wrote.

    Raises:
        WeightsError: the file is missing, truncated or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        return arrays, json.loads(arrays.pop(_META).tobytes())
    except FileNotFoundError:
        raise WeightsError(f"{path} is not there.") from None
    # NumPy and zipfile name a damaged header in many ways; a bare array from `np.save` is a TypeError
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} holds no weights of this project, or is truncated ({error}).") from None


def half_precision(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return kernels as float16; vectors stay float32, as batch-norm variances may leave float16's range."""
    return {key: value.astype(np.float16) if value.ndim > 1 else value for key, value in arrays.items()}


def variable_arrays(variables) -> dict[str, np.ndarray]:
    """Return Keras variables as arrays by their path, such as `encoder_1_conv_1/kernel`."""
    return {variable.path: np.asarray(variable.numpy()) for variable in variables}


def assign_arrays(variables, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays into Keras variables by path.

    Raises:
        WeightsError: an array is missing or of another shape.
    """
    for variable in variables:
        array = arrays.get(variable.path)
        if array is None or array.shape != tuple(variable.shape):
            found = "nothing" if array is None else f"shape {array.shape}"
            raise WeightsError(
                f"weights for {variable.path}: found {found}, expected shape {tuple(variable.shape)}. "
                "They belong to another architecture or width."
            )
        variable.assign(array.astype(np.float32))
