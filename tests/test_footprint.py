"""How large a run is, before any of it is built."""

import sys

import pytest

from unet.data.patients import DEMO_FOLDER, list_patients
from unet.training.config import TrainingConfig
from unet.training.footprint import peak_memory, volume_bytes

# MB: VmHWM of runs of three steps on the six phantoms, two cores, one of them computing
MEASURED = [
    # architecture, filters, size, batch, peak
    ("attention-unet", 8, 64, 8, 1103),
    ("attention-unet", 8, 128, 8, 1154),
    ("attention-unet", 16, 128, 8, 1355),
    ("attention-unet", 16, 192, 24, 2524),
    ("attention-unet", 32, 128, 8, 1865),
    ("attention-unet-context", 32, 128, 8, 1863),
    ("attention-unet", 32, 128, 32, 3021),
    ("unet", 32, 128, 32, 2860),
    ("attention-unet", 32, 256, 8, 3022),
    ("attention-unet", 64, 128, 8, 3551),
    ("attention-unet", 64, 256, 4, 4833),
]


@pytest.mark.parametrize(("architecture", "filters", "size", "batch", "peak"), MEASURED)
def test_the_estimate_is_above_what_was_measured_and_near_it(architecture, filters, size, batch, peak):
    config = TrainingConfig(filters, (size,), epochs=1, batch_size=batch, architecture=architecture)
    estimated = peak_memory(config, volume_bytes(list_patients(DEMO_FOLDER)[0])) / 1e6
    assert peak <= estimated <= 1.25 * peak


def test_the_largest_size_counts():
    first, second = (TrainingConfig(sizes=sizes, epochs=1) for sizes in ((128, 160, 192), (192,)))
    assert peak_memory(first) == peak_memory(second)


def test_volumes_are_measured_by_their_headers(tmp_path, write_tiny_patient):
    write_tiny_patient(tmp_path, "A", (1, 2, 3))
    write_tiny_patient(tmp_path, "B", (1,))
    assert volume_bytes(list_patients(tmp_path)[0]) == [3 * 16 * 16 * 4, 16 * 16 * 4]
    # all volumes, and the normalised slices of the largest
    config = TrainingConfig(epochs=1)
    assert peak_memory(config, [3072, 1024]) - peak_memory(config) == 3072 + 1024 + 6 * 3072


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to this limit")
def test_a_run_is_refused_more_memory_than_its_limit():
    import subprocess

    program = (
        "from unet.jobs.runners import limit_memory\nimport numpy as np\nlimit_memory(900)\n"
        "np.ones(50_000_000)\nprint('400 MB')\n"
        "try:\n    np.ones(250_000_000)\nexcept MemoryError:\n    print('not 2 GB')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split("\n") == ["400 MB", "not 2 GB", ""], done.stderr
