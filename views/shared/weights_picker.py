"""Which network the page shows, and which one beside it."""

from dataclasses import replace

import streamlit as st

from unet.jobs import index, queue
from unet.language import t
from unet.weights.network import DEFAULT_WEIGHTS, Weights, shipped_names
from views.shared.links import keep_in_link, remember, remembered
from views.shared.loaders import default_weights, shipped_weights
from views.shared.page import arrived, plain


def choose_weights(pair: bool = True) -> tuple[Weights, Weights | None]:
    """Let the visitor choose shipped weights or an ended training run's, and others to put beside them.

    The links keep them as `weights=` and `beside=`. Only names from the list are taken, never a path. With nothing to
    choose from nothing is shown.

    Args:
        pair: whether there is room for a second network.

    Raises:
        WeightsError: they are missing, truncated or changed.
    """
    ended = {run.id: run for run in index.list_runs() if not run.active and run.has_weights}
    names = [*sorted(shipped_names(), key=lambda name: name != DEFAULT_WEIGHTS), *ended]

    def label(name: str | None) -> str:
        if name is None:
            return t("none")
        return f"{ended[name].title} · {name}" if name in ended else t("{name} (shipped)", name=name)

    def load(name: str) -> Weights:
        if name == DEFAULT_WEIGHTS:
            return default_weights()
        if name in ended:
            return replace(queue.weights_of(ended[name]), name=ended[name].title)
        return shipped_weights()[name]

    _take_linked("weights", names, DEFAULT_WEIGHTS)
    if len(names) < 2:
        return default_weights(), None
    columns = st.columns(2) if pair else [st]
    name = columns[0].selectbox(t("Weights of the network"), names, key="weights", format_func=label)
    keep_in_link("weights", None if name == DEFAULT_WEIGHTS else name)
    remember(weights=name)
    if not pair:
        return load(name), None
    _take_linked("beside", names, None)
    beside = columns[1].selectbox(
        t("Compare with"),
        [None, *names],
        key="beside",
        format_func=label,
        placeholder=t("none"),
        help=t('A second network for the viewer: choose "Two" panes there, then "This network | The other".'),
    )
    keep_in_link("beside", beside)
    first, second = load(name), load(beside) if beside else None
    if second and second.key == first.key:  # maybe under another name, such as a run that became the shipped weights
        columns[1].caption(t("Both choices are the same network, so only one is shown."))
        second = None
    return first, second


def _take_linked(parameter: str, names: list[str], usual: str | None) -> None:
    """Put what the link names into the session, once; a name that is not known here is said and left."""
    state = st.session_state
    if arrived(parameter) or parameter not in state:
        state[parameter] = st.query_params.get(parameter) or remembered(parameter) or usual
    if state[parameter] not in (*names, usual):
        st.warning(
            t(
                "The link names the weights {name}, which no longer exist.",
                name=plain(repr(state[parameter][:60])),
            )
        )
        state[parameter] = usual
