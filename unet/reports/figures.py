"""Pictures of numbers for files, with Matplotlib; the pages draw theirs with Plotly in the same colours."""

import io

import numpy as np
from matplotlib.figure import Figure

from unet.reports.charts import Chart


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
