"""The JAX back-end trains the same network by the same steps as TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unet.weights.arrays import load_arrays, save_arrays

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX: pip install jax")
PROJECT = Path(__file__).resolve().parent.parent
QUICK = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}  # to compile

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from unet.model import built_in
from unet.training.config import TrainingConfig
from unet.training.devices import make_learner
from unet.weights.arrays import load_arrays, save_arrays
start_file, end_file, architecture, channels = sys.argv[1:]
start = load_arrays(Path(start_file))[0] if Path(start_file).exists() else None
rng = np.random.default_rng(1)
slices = rng.normal(size=(4, 32, 32, int(channels))).astype(np.float32)
masks = (slices[..., 1:2] > 1).astype(np.float32)
with built_in("float32"):
    learner = make_learner(TrainingConfig(4, epochs=1, batch_size=4, architecture=architecture), start)
    if not start:
        save_arrays(Path(start_file), learner.average_arrays(), {})
    losses = []
    for number in range(5):
        batch = learner.share(lambda rows: (slices, masks))
        losses.append(learner.step(*batch, 1e-3))
        learner.update_average(number + 1)
    learner.reestimate_norms([slices] * 3)
    probability = np.asarray(learner.predict(slices)["probability"])
    save_arrays(Path(end_file), {**learner.arrays(), "probability": probability}, {})
print(json.dumps(losses))
"""


def five_steps(backend: str, *arguments: object) -> list[float]:
    environment = {
        **os.environ,
        **QUICK,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(PROJECT),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("architecture, channels", [("attention-unet", 3), ("attention-unet-context", 9)])
def test_both_back_ends_take_the_same_steps(tmp_path, architecture, channels):
    start = tmp_path / "start.npz"
    tensorflow = five_steps("tensorflow", start, tmp_path / "tensorflow.npz", architecture, channels)
    jax = five_steps("jax", start, tmp_path / "jax.npz", architecture, channels)
    assert tensorflow[0] > tensorflow[-1]  # they are steps, not five times the same loss
    np.testing.assert_allclose(jax, tensorflow, rtol=1e-4)
    ours, _ = load_arrays(tmp_path / "jax.npz")
    theirs, _ = load_arrays(tmp_path / "tensorflow.npz")
    assert ours.keys() == theirs.keys()
    for name in ("network/logits/kernel", "average/encoder_1_conv_1/kernel", "average/encoder_2_norm/moving_mean"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-4, err_msg=name)
    np.testing.assert_allclose(ours["probability"], theirs["probability"], atol=2e-3)


def test_a_run_without_tensorflow_ends_with_weights_that_any_back_end_loads(tmp_path):
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'openvino', 'streamlit'):\n"
        "    sys.modules[name] = None  # importing it fails\n"
        "import train\n"
        "sys.exit(train.main(sys.argv[1:]))\n"
    )
    arguments = [
        "--backend",
        "jax",
        "--data",
        "demo",
        "--filters",
        "4",
        "--sizes",
        "32",
        "--slices",
        "32",
        "--epoch-slices",
        "16",
        "--run-dir",
    ]
    command = [sys.executable, "-c", program, *arguments, str(tmp_path / "run")]
    environment = {**os.environ, **QUICK, "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)
    arrays, _ = load_arrays(tmp_path / "run" / "best" / "weights.npz")
    spec = json.loads((tmp_path / "run" / "spec.json").read_text())
    assert set(spec["versions"]) == {"jax", "keras", "numpy"}
    save_arrays(tmp_path / "start.npz", {key: value.astype(np.float32) for key, value in arrays.items()}, {})
    assert len(five_steps("tensorflow", tmp_path / "start.npz", tmp_path / "end.npz", "attention-unet", 3)) == 5
