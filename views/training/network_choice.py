"""The network that a run trains: its architecture, its width and what it starts from."""

from typing import Any

import streamlit as st

from unet.jobs import index, queue
from unet.jobs.limits import Limits
from unet.jobs.request import JobError
from unet.language import t
from unet.training.config import ARCHITECTURES
from unet.weights.arrays import WeightsError
from unet.weights.network import find_weights
from views.shared import loaders
from views.training.presets import ARCHITECTURE_NAMES, SCRATCH, SIZES


def pick_network(limits: Limits) -> dict[str, Any]:
    """Choose weights to start from, architecture, width and picture size; return them as settings."""
    state, starts = st.session_state, _starts()
    start = st.selectbox(t("Start from"), list(starts), key="train_start", format_func=starts.__getitem__)
    given = _network_of(start)
    architecture = st.selectbox(
        t("Architecture"), ARCHITECTURES, key="train_architecture",
        format_func=lambda name: t(ARCHITECTURE_NAMES[name]), disabled=given is not None,
    )  # fmt: skip
    widths = [width for width in (4, 8, 16, 32, 64) if width <= limits.filters] or [max(1, limits.filters)]
    state.train_filters = min(state.train_filters, widths[-1])
    filters = st.select_slider(
        t("Filters of the first level"), widths, key="train_filters", disabled=given is not None,
        help=t("The published network has 64. Half the filters take a quarter of the time."),
    ) if len(widths) > 1 else widths[0]  # fmt: skip
    if given:
        architecture, filters = given
        st.caption(
            t(
                "Set by the weights: {architecture}, {filters} filters.",
                architecture=t(ARCHITECTURE_NAMES[architecture]),
                filters=filters,
            )
        )
    size = st.selectbox(
        t("Picture side, pixels"), SIZES, key="train_size", format_func=lambda text: text.replace(",", " → ")
    )
    return {
        "from_weights": None if start == SCRATCH else start,
        "architecture": architecture,
        "filters": filters,
        "sizes": tuple(int(side) for side in size.split(",")),
    }


def _starts() -> dict[str, str]:
    """Return what a run can start from, with its name on screen."""
    shipped = {name: t("{name} (shipped)", name=name) for name in loaders.shipped_weights()}
    finished = {run.id: f"{run.title} · {run.id}" for run in index.list_runs() if run.state == "finished"}
    return {SCRATCH: t("random numbers, from scratch"), **shipped, **finished}


def _network_of(start: str) -> tuple[str, int] | None:
    if start == SCRATCH:
        return None
    try:
        weights = find_weights(start) if start in loaders.shipped_weights() else queue.weights_of(index.find_run(start))
    except (WeightsError, JobError) as error:
        st.error(str(error), title=t("These weights cannot be used"))
        return None
    return weights.architecture, weights.filters
