"""A chart of `unet.reports.charts` on screen, with its two files."""

import csv
import io
import math

import plotly.graph_objects as go
import streamlit as st

from unet.language import t
from unet.reports.charts import Chart, Series
from unet.reports.results import Row


def show_chart(chart: Chart, caption: str = "") -> None:
    """Draw a chart with Plotly and offer it as CSV and PNG; a chart without rows shows nothing."""
    if not chart.rows or not chart.series:
        return
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{chart.title}**")
        st.plotly_chart(
            _figure(chart), key=chart.name, config={"displayModeBar": False}, alt=f"{chart.title}. {caption}"
        )
        if caption:
            st.caption(caption)
        _downloads(chart)


def to_csv(rows: list[Row]) -> str:
    """Return rows as CSV with a heading; a column that some rows lack stays empty there."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _downloads(chart: Chart) -> None:
    with st.container(horizontal=True):
        for label, data, ending, kind in (
            ("CSV", to_csv(chart.rows), "csv", "text/csv"),
            ("PNG", lambda: _png(chart), "png", "image/png"),  # drawn when it is asked for
        ):
            st.download_button(
                label,
                data,
                f"{chart.name}.{ending}",
                kind,
                key=f"{chart.name}_{ending}",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                help=t("{title} as {label}", title=chart.title, label=label),
            )


def _png(chart: Chart) -> bytes:
    from unet.reports.figures import chart_png  # Matplotlib takes half a second to import, which nobody should wait for

    return chart_png(chart)


def _figure(chart: Chart) -> go.Figure:
    figure = go.Figure()
    for series in chart.series:
        figure.add_trace(_trace(series))
    for value, label, colour, dashed in chart.verticals:
        # a line of its own and not a shape, so that the legend names it
        ends = chart.series[0].y[:1] + chart.series[0].y[-1:] if _names(chart) else list(chart.y_range or (0, 1))
        figure.add_scatter(
            x=[value, value],
            y=ends,
            mode="lines",
            name=f"{label} {value:.3f}",
            line={"color": f"rgb{colour}", "width": 2, "dash": "dash" if dashed else "solid"},
            hovertemplate=f"{label} {value:.3f}<extra></extra>",
        )
    names = _names(chart)
    figure.update_layout(
        height=150 + 24 * names if names else 330,
        margin={"l": 0, "r": 10, "t": 8, "b": 0},
        bargap=0.25,
        # only there: Plotly would move every line and point of the other charts aside too
        scattermode="group" if any(series.low for series in chart.series) else "overlay",
        scattergap=0.5,
        legend={"orientation": "h", "yanchor": "top", "y": -0.22 if not names else -70 / (70 + 24 * names)},
        xaxis={"title": chart.x_title, "range": chart.x_range if not chart.log else None, "zeroline": False},
        yaxis={"title": chart.y_title or None, "range": chart.y_range if not chart.log else None, "zeroline": False},
    )
    if names:
        figure.update_yaxes(type="category", automargin=True)
    if chart.log:
        values = [value for series in chart.series for value in (*series.x, *series.y)]
        low, high = math.log10(min(values)) - 0.1, math.log10(max(values)) + 0.1
        ticks = [digit * 10**power for power in range(int(low), int(high) + 1) for digit in (1, 2, 5)]
        for axis in (figure.update_xaxes, figure.update_yaxes):
            axis(type="log", range=(low, high), tickvals=ticks, tickformat="~s")
    return figure


def _names(chart: Chart) -> int:
    """How many places the vertical axis has, where it holds names; else 0."""
    return len({y for series in chart.series for y in series.y if isinstance(y, str)})


def _trace(series: Series) -> go.Bar | go.Scatter:
    colour = f"rgb{series.colour}"
    hover = "%{text}<extra></extra>" if series.texts else "%{x}, %{y}<extra></extra>"
    common = {"x": series.x, "y": series.y, "name": series.name, "text": series.texts or None, "hovertemplate": hover}
    if series.kind == "bars":
        common["hovertemplate"] = f"%{{y}}<br>{t('volume Dice')} %{{x:.3f}}<extra></extra>"
        return go.Bar(**common, orientation="h", marker_color=colour, textposition="none")
    if series.kind == "points":
        gaps = None
        if series.low:
            gaps = {
                "type": "data",
                "symmetric": False,
                "array": [high - x for high, x in zip(series.high, series.x, strict=True)],
                "arrayminus": [x - low for low, x in zip(series.low, series.x, strict=True)],
            }
        # models beside each other where the places are names, or one would lie on the other
        group = {"orientation": "h", "offsetgroup": series.name} if series.low else {}
        return go.Scatter(**common, **group, mode="markers", marker={"color": colour, "size": 10}, error_x=gaps)
    return go.Scatter(**common, mode="lines", line={"color": colour, "dash": "dot" if series.dashed else "solid"})
