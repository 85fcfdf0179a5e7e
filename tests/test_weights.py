"""Weights in a file: what is written comes back, and nothing else is taken for weights."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest

from unet.weights import network as weights
from unet.weights.arrays import (
    WeightsError,
    assign_arrays,
    file_sha256,
    half_precision,
    load_arrays,
    save_arrays,
    variable_arrays,
)
from unet.weights.network import find_weights

ARRAYS = {"a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "a/bias": np.array([1e-9, 7], np.float32)}
META = {"epoch": 3, "moving_average": float("inf"), "name": "größer"}
PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def saved(tmp_path) -> Path:
    save_arrays(tmp_path / "weights.npz", ARRAYS, META)
    return tmp_path / "weights.npz"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of weights as it is shipped."""
    path = tmp_path / "shipped" / "my-weights"
    path.mkdir(parents=True)
    save_arrays(path / "weights.npz", ARRAYS, {})
    sha256 = hashlib.sha256((path / "weights.npz").read_bytes()).hexdigest()
    config = {"filters": 16, "size": 192, "threshold": 0.45, "sha256": sha256, "epoch": 9}
    (path / "config.json").write_text(json.dumps(config))
    return path


# --- one file


def test_round_trip(saved):
    arrays, meta = load_arrays(saved)
    assert meta == META
    assert list(arrays) == ["a/kernel", "a/bias"]
    for key, value in ARRAYS.items():
        assert arrays[key].dtype == value.dtype
        np.testing.assert_array_equal(arrays[key], value)
    assert os.listdir(saved.parent) == ["weights.npz"]


def test_truncated_at_any_length_is_refused(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), 7):
        saved.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"weights\.npz is truncated, or does not hold weights of this project"):
            load_arrays(saved)


def test_damaged_byte_gives_the_same_arrays_or_is_refused(saved):
    whole = saved.read_bytes()
    refused = 0
    for position in range(0, len(whole), 3):
        for value in (0, 255):
            saved.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                arrays, meta = load_arrays(saved)
            except WeightsError:
                refused += 1
                continue
            assert meta == META
            for key in arrays:
                np.testing.assert_array_equal(arrays[key], ARRAYS[key])
    assert refused > 200


class Boom:
    def __reduce__(self):
        return os.mkdir, ("boom",)


def write_pickle(path):
    path.write_bytes(pickle.dumps(Boom()))


def write_object_array(path):
    with path.open("wb") as file:
        np.savez(file, a=np.array([Boom()], object), meta=np.frombuffer(b"{}", np.uint8))


def write_bare_array(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def write_foreign_archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


@pytest.mark.parametrize(
    "write",
    [
        write_pickle,
        write_object_array,
        write_bare_array,
        write_foreign_archive,
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        lambda path: path.write_bytes(b""),
        Path.mkdir,
    ],
    ids=["pickle", "pickled array", "bare array", "archive without meta", "LFS pointer", "empty", "folder"],
)
def test_something_else_is_refused_and_not_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.npz")
    with pytest.raises(WeightsError, match=r"x\.npz is truncated, or does not hold weights of this project"):
        load_arrays(tmp_path / "x.npz")
    assert not (tmp_path / "boom").exists()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.npz does not exist"):
        load_arrays(tmp_path / "gone.npz")


def test_failed_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full_disk(file, **arrays):
        file.write(b"PK half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_arrays(saved, {"a/kernel": np.zeros(5)}, {})
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["weights.npz"]


def test_silently_damaged_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr(np, "savez", lambda file, **arrays: file.write(before[: len(before) // 2]))
    with pytest.raises(WeightsError, match="truncated"):
        save_arrays(saved, ARRAYS, {})
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["weights.npz"]


@pytest.mark.skipif(os.name != "posix", reason="file size limits are a POSIX matter")
def test_real_limit_on_the_file_size_leaves_the_old_file(saved):
    before = saved.read_bytes()
    program = (
        "import resource, sys, numpy as np, pathlib\n"
        "from unet.weights.arrays import save_arrays\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n"
        "    save_arrays(pathlib.Path(sys.argv[1]), {'a': np.zeros(100_000)}, {})\n"
        "except OSError as error:\n"
        "    sys.exit(f'refused: {error.strerror}')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, saved], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (1, "refused: File too large")
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["weights.npz"]


# --- a folder of weights


def test_find_weights_by_path_and_by_name(folder, monkeypatch):
    found = find_weights(folder)
    assert (found.name, found.filters, found.size, found.threshold) == ("my-weights", 16, 192, 0.45)
    assert found.path == folder / "weights.npz"
    assert found.sha256 == file_sha256(found.path) == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert find_weights(str(folder)) == found
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", folder.parent)
    assert find_weights("my-weights") == found


def test_a_separator_of_either_kind_makes_a_path(monkeypatch):
    in_weights = {name: weights.weights_folder(name) for name in ("x", "./x", "y/x", "/y/x")}
    assert in_weights == {"x": weights.WEIGHTS_FOLDER / "x", "./x": Path("x"), "y/x": Path("y/x"), "/y/x": Path("/y/x")}
    monkeypatch.setattr(weights, "Path", PureWindowsPath)
    for name in ("weights/x", "weights\\x", "c:/weights/x"):
        assert weights.weights_folder(name) == PureWindowsPath(name)
    assert weights.weights_folder("x") == weights.WEIGHTS_FOLDER / "x"


def test_truncated_weights_are_refused_by_name(folder):
    whole = (folder / "weights.npz").read_bytes()
    (folder / "weights.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"my-weights/weights\.npz has SHA-256 .*truncated or was changed.*again"):
        find_weights(folder)


def test_wrong_hash_is_refused_by_name(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sha256": "0" * 64}))
    with pytest.raises(WeightsError, match=r"my-weights/weights\.npz has SHA-256 .*says 000000000000"):
        find_weights(folder)


def test_missing_weights_are_named(folder):
    (folder / "weights.npz").unlink()
    with pytest.raises(WeightsError, match=r"my-weights/weights\.npz does not exist. Check the project out again"):
        find_weights(folder)


def test_missing_config_lists_what_is_shipped(folder, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", folder.parent)
    with pytest.raises(WeightsError, match=r"No weights in .*other: config.json is missing.*Shipped.*: my-weights\."):
        find_weights("other")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"filters": "wide", "size": 1}'])
def test_config_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"my-weights/config\.json cannot be used"):
        find_weights(folder)


# --- into and out of a network


class Variable:
    """What `assign_arrays` needs of a Keras variable."""

    def __init__(self, path: str, shape: tuple[int, ...]):
        self.path, self.shape, self.value = path, shape, np.zeros(shape, np.float32)

    def assign(self, value):
        self.value = value


def test_half_precision_keeps_vectors():
    halved = half_precision({"kernel": np.ones((2, 2), np.float32), "variance": np.array([1e6], np.float32)})
    assert (halved["kernel"].dtype, halved["variance"].dtype) == (np.float16, np.float32)
    assert halved["variance"].tolist() == [1e6]  # more than float16 holds


def test_assign_arrays_widens_and_ignores_the_rest():
    variable = Variable("a/kernel", (2, 2))
    assign_arrays([variable], {"a/kernel": np.full((2, 2), 0.5, np.float16), "b/kernel": np.zeros(1)})
    assert variable.value.dtype == np.float32 and variable.value.tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    "arrays, found",
    [({}, "found nothing"), ({"a/kernel": np.zeros((2, 3))}, r"found shape \(2, 3\)")],
)
def test_assign_arrays_says_what_does_not_fit(arrays, found):
    with pytest.raises(WeightsError, match=rf"a/kernel: {found}, expected shape \(2, 2\)\. They belong to another"):
        assign_arrays([Variable("a/kernel", (2, 2))], arrays)


def test_network_comes_back_from_its_file(tmp_path):
    from unet.model import attention_unet

    first, second = attention_unet(2, (32, 32, 3)), attention_unet(2, (32, 32, 3))
    slices = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(first(slices)["probability"])
    assert np.abs(np.asarray(second(slices)["probability"]) - expected).max() > 1e-3
    save_arrays(tmp_path / "w.npz", variable_arrays(first.variables), {})
    assign_arrays(second.variables, load_arrays(tmp_path / "w.npz")[0])
    np.testing.assert_array_equal(np.asarray(second(slices)["probability"]), expected)
    with pytest.raises(WeightsError, match="another architecture or width"):
        assign_arrays(attention_unet(3, (32, 32, 3)).variables, variable_arrays(first.variables))


def test_names_in_the_file_tell_the_layers(tmp_path):
    from unet.model import attention_unet

    names = list(variable_arrays(attention_unet(1, (16, 16, 3)).variables))
    assert len(names) == len(set(names))
    assert {"encoder_1_conv_1/kernel", "bottleneck_norm/moving_variance", "attention_4/bias"} <= set(names)
