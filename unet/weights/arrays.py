"""Arrays in one file: the shipped weights and the checkpoints of a run.

An uncompressed `.npz`, read with `allow_pickle=False`, cannot run code and needs no TensorFlow to look into.
Shipped kernels are stored as float16: half the download, and inference runs at lower precision anyway.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unet.files import replacing
from unet.language import t

if TYPE_CHECKING:
    import keras

_META = "meta"


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file and the remedy."""


class _Variable(Protocol):
    """What `assign_arrays` needs of a Keras variable."""

    @property
    def path(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def assign(self, value: np.ndarray) -> object: ...


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_arrays(path: Path, arrays: dict[str, np.ndarray], meta: dict, compress: bool = False) -> None:
    """Write arrays and a JSON-able dict so that `path` holds the old or the new content, never half of it.

    Written beside it, read back in full and only then moved over it: a full disk leaves the old file intact.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as part:
        with part.open("wb") as file:
            content: dict[str, Any] = {**arrays, _META: np.frombuffer(json.dumps(meta).encode(), np.uint8)}
            save(file, **content)
        load_arrays(part)


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
        raise WeightsError(t("{path} does not exist.", path=path)) from None
    # NumPy and zipfile name a damaged header in many ways; a bare array from `np.save` is a TypeError
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
        raise WeightsError(
            t("{path} is truncated, or does not hold weights of this project ({error}).", path=path, error=error)
        ) from None


def half_precision(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return kernels as float16; vectors stay float32, as batch-norm variances may leave float16's range."""
    return {key: value.astype(np.float16) if value.ndim > 1 else value for key, value in arrays.items()}


def variable_arrays(variables: "Iterable[keras.Variable]") -> dict[str, np.ndarray]:
    """Return Keras variables as arrays by their path, such as `encoder_1_conv_1/kernel`."""
    return {variable.path: np.asarray(variable.numpy()) for variable in variables}


def assign_arrays(variables: Iterable[_Variable], arrays: dict[str, np.ndarray]) -> None:
    """Put arrays into Keras variables by path.

    Raises:
        WeightsError: an array is missing or of another shape.
    """
    for variable in variables:
        array = arrays.get(variable.path)
        if array is None or array.shape != tuple(variable.shape):
            found = "nothing" if array is None else f"shape {array.shape}"
            raise WeightsError(
                t(
                    "weights for {path}: found {found}, expected shape {tuple}. "
                    "They belong to another architecture or width.",
                    path=variable.path,
                    found=found,
                    tuple=tuple(variable.shape),
                )
            )
        variable.assign(array.astype(np.float32))
