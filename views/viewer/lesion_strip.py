"""The lesion strip of the simple viewer: the area of the lesion on each slice."""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from unet import overlay
from unet.data.volume import Volume
from unet.language import t


def show_lesion_strip(volume: Volume, predicted: np.ndarray, index: int) -> None:
    """Lesion area per slice; a click goes to the slice."""
    numbers = np.arange(1, len(volume) + 1)
    areas = predicted.sum(axis=(1, 2))
    expected = np.where(volume.has_mask, volume.expected_mask.sum(axis=(1, 2)), np.nan)
    top = max(1.0, float(np.nanmax([areas.max(), np.nanmax(expected, initial=0)]))) * 1.08
    figure = go.Figure()
    figure.add_bar(
        x=numbers,
        y=np.full(len(volume), top),
        marker={"color": np.where(numbers == index + 1, "rgba(128,128,128,0.35)", "rgba(128,128,128,0.02)")},
        customdata=np.column_stack([areas, expected]),
        hovertemplate=f"{t('slice')} %{{x}}<br>{t('predicted')} %{{customdata[0]:,}} px"
        f"<br>{t('expected')} %{{customdata[1]:,}} px<extra></extra>",
        showlegend=False,
    )
    figure.add_bar(
        x=numbers, y=areas, name=t("predicted"), marker_color=f"rgb{overlay.PREDICTED_COLOUR}", hoverinfo="skip"
    )
    if volume.has_mask.any():
        figure.add_scatter(
            x=numbers,
            y=expected,
            name=t("expected"),
            mode="lines",
            line={"shape": "hvh", "width": 2, "color": f"rgb{overlay.EXPECTED_COLOUR}"},
            hoverinfo="skip",
        )
    figure.update_layout(
        height=120,
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        barmode="overlay",
        bargap=0.05,
        clickmode="event+select",
        dragmode=False,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        xaxis={"title": None, "range": [0.5, len(volume) + 0.5], "fixedrange": True},
        yaxis={"title": t("lesion, px"), "range": [0, top], "fixedrange": True, "nticks": 4},
    )
    figure.update_traces(unselected={"marker": {"opacity": 1}}, selector={"type": "bar"})
    st.plotly_chart(
        figure,
        key="strip",
        on_select=_jump_to_clicked,
        selection_mode="points",
        config={"displayModeBar": False},
        alt=t("Lesion area in pixels for each slice, predicted and expected. Click to open a slice."),
    )


def _jump_to_clicked() -> None:
    if points := st.session_state.strip.selection.points:
        st.session_state.slice = int(points[0]["x"])
