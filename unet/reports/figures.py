"""Pictures of numbers for files, with Matplotlib; the pages draw theirs with Plotly in the same colours."""

import csv
import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from unet.overlay import EXPECTED_COLOUR, FALSE_NEGATIVE_COLOUR, PREDICTED_COLOUR
from unet.reports.charts import Chart

matplotlib.use("Agg")  # files only: a server has no screen
import matplotlib.pyplot as plt  # noqa: E402  after the choice of backend


def training_curve(metrics_file: Path, picture: Path) -> None:
    """Draw a run's `metrics.csv`: loss, validation Dice with its moving average, seconds per epoch.

    Args:
        metrics_file: rows an epoch, as `unet.training.loop` writes them.
        picture: PNG or any format Matplotlib knows.
    """
    with metrics_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    expected, predicted, other = (np.array(c) / 255 for c in (EXPECTED_COLOUR, PREDICTED_COLOUR, FALSE_NEGATIVE_COLOUR))
    minutes = columns["seconds"] / 60
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(3, 1), layout="constrained")
    above.plot(minutes, columns["validation_dice"], "o-", ms=3, color=predicted, label="validation volume Dice, mean")
    above.plot(minutes, columns["moving_average"], "--", color=predicted, alpha=0.6, label="its moving average")
    above.plot(minutes, columns["loss"], color=expected, label="training loss")
    for row in np.flatnonzero(np.diff(columns["size"])):
        above.axvline(minutes[row], color="grey", lw=0.8)
        above.text(minutes[row], 0.02, f" {columns['size'][row + 1]:.0f}²", color="grey", fontsize=8)
    above.set_ylim(0, 1.05)
    above.legend(loc="center right", frameon=False)
    below.plot(minutes, columns["epoch_seconds"], color=other)
    below.set_ylim(0)
    below.set_ylabel("s an epoch")
    below.set_xlabel("minutes of training")
    figure.savefig(picture, dpi=120)
    plt.close(figure)


def chart_png(chart: Chart) -> bytes:
    """Draw a chart of `unet.reports.charts` and return it as PNG; safe in a server's threads, which pyplot is not."""
    marks = [place for series in chart.series if series.kind == "bars" or series.low for place in series.y]
    names = list(dict.fromkeys(marks))  # as they come, from below
    figure = Figure(figsize=(7, max(4.2, 1.6 + 0.28 * len(names))), layout="constrained")
    axes = figure.add_subplot()
    several = sum(series.kind == "bars" or bool(series.low) for series in chart.series)
    for number, series in enumerate(chart.series):
        colour, style = _fraction(series.colour), "--" if series.dashed else "-"
        if series.kind == "bars" or series.low:
            height = (0.5 if series.low else 0.8) / several
            places = np.array([names.index(name) for name in series.y]) + (number - (several - 1) / 2) * height
            axes.set_yticks(range(len(names)), names, fontsize=8)
            if series.kind == "bars":
                axes.barh(places, series.x, height, color=colour, label=series.name)
            else:
                gaps = np.abs(np.array([series.low, series.high]) - np.array(series.x))
                axes.errorbar(series.x, places, xerr=gaps, fmt="o", capsize=3, color=colour, label=series.name)
        elif series.kind == "points":
            axes.plot(series.x, series.y, "o", color=colour, label=series.name)
        else:
            axes.plot(series.x, series.y, style, color=colour, label=series.name)
    for value, label, colour, dashed in chart.verticals:
        axes.axvline(value, color=_fraction(colour), ls="--" if dashed else "-", lw=1.2, label=f"{label} {value:.3f}")
    if chart.log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    if chart.x_range:
        axes.set_xlim(chart.x_range)
    if chart.y_range:
        axes.set_ylim(chart.y_range)
    axes.set(title=chart.title, xlabel=chart.x_title, ylabel=chart.y_title)
    if len(chart.series) + len(chart.verticals) > 1:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _fraction(colour: tuple[int, int, int]) -> tuple[float, ...]:
    """RGB in 0 to 255 as Matplotlib takes it."""
    return tuple(channel / 255 for channel in colour)
