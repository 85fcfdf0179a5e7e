"""Where the project's code and its shipped files lie, in a checkout and after `pip install`."""

from pathlib import Path

CODE_FOLDER = Path(__file__).resolve().parent.parent  # holds the package `unet`
_INSTALLED = Path(__file__).with_name("shipped")  # made by the wheel, see pyproject.toml; a checkout has none
SHIPPED_FOLDER = _INSTALLED if _INSTALLED.is_dir() else CODE_FOLDER
WEIGHTS_FOLDER = SHIPPED_FOLDER / "weights"
DEMO_FOLDER = SHIPPED_FOLDER / "demo" / "kaggle_3m"
# `data/` and `runs/` are looked for here: in the checkout, or in the current folder where the package is installed
PROJECT_FOLDER = Path.cwd() if _INSTALLED.is_dir() else CODE_FOLDER
