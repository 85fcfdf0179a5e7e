"""What `pip install .` installs: the command line, which works from any folder with weights and phantoms found."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from unet.paths import DEMO_FOLDER

PROJECT = Path(__file__).resolve().parent.parent
SLICE = DEMO_FOLDER / "PHANTOM_ICBM_0001_20260101" / "PHANTOM_ICBM_0001_20260101_12.tif"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The unpacked wheel, as a folder of site-packages; TensorFlow, Keras and Streamlit cannot be imported there."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    hide = "import sys\nsys.modules |= dict.fromkeys(['keras', 'streamlit', 'tensorflow'])\n"
    (folder / "site" / "sitecustomize.py").write_text(hide)
    return folder / "site"


def run_unet(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UNET_")}
    environment |= {"PYTHONPATH": str(site), "UNET_CACHE": str(folder / "cache"), "KAGGLEHUB_CACHE": str(folder)}
    command = [sys.executable, "-m", "unet", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_the_package_one_network_and_the_phantoms(site):
    tops = {path.name for path in site.iterdir() if path.is_dir()}
    assert tops == {"unet", "brain_mri_attention_unet-0.1.0.dist-info"}
    names = sorted(path.name for path in (site / "unet/shipped/weights").iterdir())
    assert names == ["attention-unet-32", "slice-classifier"]
    assert len(list((site / "unet/shipped/demo/kaggle_3m").glob("PHANTOM_*"))) == 6
    scripts = (site / "brain_mri_attention_unet-0.1.0.dist-info/entry_points.txt").read_text()
    assert "unet = unet.__main__:main" in scripts


def test_predict_runs_from_another_folder_without_tensorflow(site, tmp_path):
    done = run_unet(site, tmp_path, "predict", str(SLICE), "--output", "results")
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "results").rglob("*.png"))


def test_phantoms_and_splits_are_found(site, tmp_path):
    program = (
        "from unet.data.patients import find_data_root, list_patients\n"
        "from unet.data.splits import published_splits\n"
        "print(len(list_patients(find_data_root())[0]), len(published_splits()['test']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "UNET_DATA": "", "KAGGLEHUB_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "10"]


def test_the_float_network_without_tensorflow_says_what_to_install(site, tmp_path):
    done = run_unet(site, tmp_path, "evaluate", "--patients", str(one_phantom(tmp_path)))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "pip install 'brain-mri-attention-unet[train]'" in done.stderr


def one_phantom(folder: Path) -> Path:
    path = folder / "one.json"
    path.write_text('["PHANTOM_ICBM_0001_20260101"]')
    return path
