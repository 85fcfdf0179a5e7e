"""The curve of a training run as a picture in its folder, with Matplotlib."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from unet.language import t
from unet.overlay import EXPECTED_COLOUR, FALSE_NEGATIVE_COLOUR, PREDICTED_COLOUR


def training_curve(metrics_file: Path, picture: Path) -> None:
    """Draw a run's `metrics.csv`: loss, validation Dice with its moving average, seconds per epoch.

    Args:
        metrics_file: rows an epoch, as the training loop writes them.
        picture: PNG or any format Matplotlib knows.
    """
    with metrics_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    expected, predicted, other = (np.array(c) / 255 for c in (EXPECTED_COLOUR, PREDICTED_COLOUR, FALSE_NEGATIVE_COLOUR))
    minutes = columns["seconds"] / 60
    figure = Figure(figsize=(7, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot(
        minutes, columns["validation_dice"], "o-", ms=3, color=predicted, label=t("validation volume Dice, mean")
    )
    above.plot(minutes, columns["moving_average"], "--", color=predicted, alpha=0.6, label=t("its moving average"))
    above.plot(minutes, columns["loss"], color=expected, label=t("training loss"))
    for row in np.flatnonzero(np.diff(columns["size"])):
        above.axvline(minutes[row], color="grey", lw=0.8)
        above.text(minutes[row], 0.02, f" {columns['size'][row + 1]:.0f}²", color="grey", fontsize=8)
    above.set_ylim(0, 1.05)
    above.legend(loc="center right", frameon=False)
    below.plot(minutes, columns["epoch_seconds"], color=other)
    below.set_ylim(0)
    below.set_ylabel(t("s an epoch"))
    below.set_xlabel(t("minutes of training"))
    figure.savefig(picture, dpi=120)
