"""The converted network: kept, checked, made again where it is not what was written, and nobody is told of it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.listening_proxy import listening_proxy
from unet.inference import conversion
from unet.inference.conversion import openvino_model
from unet.inference.engines import OpenVinoEngine
from unet.model import attention_unet, built_in
from unet.weights.arrays import file_sha256, half_precision, save_arrays, variable_arrays
from unet.weights.network import Weights

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A network of 2 filters at 32 x 32, converted once."""
    folder = tmp_path_factory.mktemp("tiny")
    with built_in("float32"):
        model = attention_unet(2, (32, 32, 3))
    save_arrays(folder / "weights.npz", half_precision(variable_arrays(model.variables)), {})
    sha256 = file_sha256(folder / "weights.npz")
    config = {"filters": 2, "size": 32, "threshold": 0.5, "sha256": sha256}
    (folder / "config.json").write_text(json.dumps(config))
    weights = Weights(folder.name, 2, 32, 0.5, sha256, folder / "weights.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNET_CACHE", str(folder / "cache"))
        path = openvino_model(weights)
    return weights, path


def probability(path: Path) -> np.ndarray:
    slices = np.random.default_rng(3).normal(size=(1, 32, 32, 3)).astype(np.float32)
    return OpenVinoEngine(path, "f32").run(slices)[0]


def cut(folder: Path) -> None:
    data = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(data[: len(data) // 2])


def overwrite(folder: Path) -> None:
    data = bytearray((folder / "model.bin").read_bytes())
    data[1000:3000] = bytes(2000)
    (folder / "model.bin").write_bytes(data)


def replace_by_another(folder: Path) -> None:
    text = (folder / "model.xml").read_text()
    (folder / "model.xml").write_text(text.replace('pads_begin="1, 1"', 'pads_begin="0, 0"'))


def leave_out_the_digests(folder: Path) -> None:
    (folder / "sha256.json").unlink()


@pytest.mark.parametrize("damage", [cut, overwrite, replace_by_another, leave_out_the_digests])
def test_a_damaged_network_is_converted_again(tiny, tmp_path, monkeypatch, damage):
    weights, path = tiny
    monkeypatch.setenv("UNET_CACHE", str(tmp_path))
    folder = tmp_path / path.parent.name
    shutil.copytree(path.parent, folder)
    damage(folder)
    found = openvino_model(weights)
    assert found == folder / "model.xml"
    np.testing.assert_array_equal(probability(found), probability(path))


def test_a_whole_network_is_not_converted_again(tiny, monkeypatch):
    weights, path = tiny
    monkeypatch.setenv("UNET_CACHE", str(path.parent.parent))
    monkeypatch.setattr(conversion, "_convert", lambda *_: pytest.fail("converted"))
    assert openvino_model(weights) == path


def test_what_a_killed_conversion_left_is_removed(tiny, tmp_path, monkeypatch):
    weights, path = tiny
    monkeypatch.setenv("UNET_CACHE", str(tmp_path))
    (tmp_path / "converting-123").mkdir()
    (tmp_path / "converting-123" / "model.bin").write_bytes(b"half")
    monkeypatch.setattr(conversion, "_convert", lambda weights, folder: shutil.copytree(path.parent, folder))
    openvino_model(replace(weights, size=32))
    assert sorted(os.listdir(tmp_path)) == sorted([path.parent.name, "convert.lock"])


def test_conversion_tells_nobody(tiny, tmp_path):
    """OpenVINO's converter would ask an analytics service, through this proxy, and keep a client id at home."""
    weights, _ = tiny
    program = (
        "import sys; from pathlib import Path\n"
        "from unet.inference.conversion import openvino_model\n"
        "from unet.weights.network import find_weights\n"
        "openvino_model(find_weights(Path(sys.argv[1])))\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    with listening_proxy() as (environment, requests):
        environment = {**os.environ, **environment, "HOME": str(home), "UNET_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", program, str(weights.path.parent)]
        subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)
    assert requests == []
    assert not (home / "intel").exists()  # the client id
