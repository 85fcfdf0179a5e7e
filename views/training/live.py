"""One training run: where it stands, its curves, its slices epoch by epoch, and what can be done with it."""

import re
from typing import Literal

import plotly.graph_objects as go
import streamlit as st

from unet import overlay
from unet.jobs import index
from unet.jobs.index import Run
from unet.jobs.request import JobError
from unet.language import t
from unet.provenance import without_folders
from views.shared import links, page
from views.training.actions import show_actions
from views.training.preview import show_previews

POLL_SECONDS = 1.0
PREVIEW_SECONDS = 3.0  # between two looks for a new epoch's slices: more to send than a line of numbers
STATE_COLOURS: dict[str, Literal["green", "gray", "red", "orange", "violet"]] = {
    "finished": "green", "stopped": "gray", "failed": "red", "out of memory": "red", "disk full": "red",
    "damaged": "red", "interrupted": "orange", "queued": "violet",
}  # fmt: skip
LOSS, DICE, OTHER = (f"rgb{colour}" for colour in (overlay.EXPECTED_COLOUR, overlay.PREDICTED_COLOUR, (0, 158, 115)))


def show_runs() -> None:
    """Let the visitor choose a run, and show it; polls only while something runs."""
    runs = index.list_runs()
    if not runs:
        links.keep_in_link("run", None)
        st.info(t("No run yet. Choose a preset above and start it. It continues if you close this tab."))
        return
    by_id = {run.id: run for run in runs}
    state = st.session_state
    if "run" not in state:
        linked = st.query_params.get("run")
        if linked and linked not in by_id:
            st.warning(
                t("The link names the run {linked}, which no longer exists.", linked=page.plain(repr(linked[:60])))
            )
        state.run = linked
    if state.run not in by_id:
        state.run = next((run.id for run in runs if run.active), runs[0].id)
    state.run = state.run  # assigned, so that the box shows the label of now and not the one it was chosen by
    run_id = st.selectbox(t("Run"), list(by_id), key="run", format_func=lambda id_: _label(by_id[id_]))
    links.keep_in_link("run", run_id)
    active = any(run.active for run in runs)
    st.fragment(_show_run, run_every=POLL_SECONDS if active else None)(run_id, _phases(runs))
    st.fragment(_show_slices, run_every=PREVIEW_SECONDS if by_id[run_id].active else None)(run_id)


def _label(run: Run) -> str:
    best = run.status.get("best_validation_dice")
    words = [run.title, run.id, run.phase + (t(", place {place}", place=run.place) if run.place else "")]
    return "  ·  ".join([*words, *([t("best volume Dice {best:.3f}", best=best)] if best and not run.active else [])])


def _phases(runs: list[Run]) -> list[tuple]:
    return [(run.id, run.phase, run.place) for run in runs]


def _show_run(run_id: str, phases: list[tuple]) -> None:
    try:
        run = index.find_run(run_id)
    except JobError as error:
        if run_id not in {run.id for run in index.list_runs()}:
            st.rerun()  # deleted, here or by somebody else: the list above goes on without it
        st.warning(str(error))
        return
    rows = run.folder.read_metrics()
    _state(run, rows)
    show_actions(run)
    if rows:
        _numbers(rows)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            show_curves({run.title: rows})
        with right:
            _pace(rows)
    log = st.expander(t("Log"), icon=":material/subject:", key="log", on_change="rerun")
    if log.open:  # code brings 1.5 MB of JavaScript with it
        log.code(_log(run), language=None, height=220)
    if _phases(index.list_runs()) != phases:
        st.rerun()  # the list above has changed, or there is nothing to wait for any more and the page stops polling


def _show_slices(run_id: str) -> None:
    try:
        run = index.find_run(run_id)
    except JobError:  # said above
        return
    st.subheader(t("Predicted masks, epoch by epoch"), anchor=False)
    show_previews({run.title: run}, _by_heart(run))


def _state(run: Run, rows: list[dict]) -> None:
    status, share = run.status, run.status.get("progress", 0.0)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(run.state, color=STATE_COLOURS.get(run.state, "blue"))
        if _by_heart(run):
            st.badge(
                t("overfit"), color="orange", help=t("Validated on its own training slices: a check, not a score.")
            )
        if run.place:
            st.markdown(t("Place {place} in the queue: one run computes at a time.", place=run.place))
        if run.reason:
            st.markdown(page.plain(run.reason))
    if run.active and not run.place:
        left = status.get("seconds_left")
        words = f"{share:.0%}" + (t(", {clock} left", clock=_clock(left)) if left is not None else "")
        if run.state in ("starting", "preparing") or not status.get("step"):
            words = t("Loading TensorFlow and building the network: this takes some seconds …")
        st.progress(
            min(1.0, share),
            text=t("{progress} · epoch {count}", progress=words, count=len(rows) + 1) if status.get("step") else words,
        )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _numbers(rows: list[dict]) -> None:
    last = rows[-1]
    columns = st.columns(5, gap="small")
    for column, label, value, meaning in (
        (columns[0], "Loss", f"{last['loss']:.3f}", t("Mean of the last epoch, on augmented training slices.")),
        (columns[1], t("Mean volume Dice"), f"{last['validation_dice']:.3f}", t("Over the validation patients.")),
        (columns[2], t("Moving average"), f"{last['moving_average']:.3f}", t("Of the Dice: 0.8 old + 0.2 new.")),
        (columns[3], t("Learning rate"), f"{last['learning_rate']:.6f}", t("Of the last step.")),
        (columns[4], t("Seconds per epoch"), f"{last['epoch_seconds']:.1f}", t("Training time, without validation.")),
    ):
        column.metric(label, value, help=meaning)


def show_curves(runs: dict[str, list[dict]], height: int = 320) -> None:
    """Draw loss and validation Dice over minutes; several runs in one chart, told apart by dashes and names."""
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    for number, (title, rows) in enumerate(runs.items()):
        minutes = [row["seconds"] / 60 for row in rows]
        prefix = f"{title}: " if len(runs) > 1 else ""
        for name, column, colour in (
            (t("validation volume Dice"), "validation_dice", DICE),
            (t("its moving average"), "moving_average", OTHER),
            (t("training loss"), "loss", LOSS),
        ):
            figure.add_scatter(
                x=minutes,
                y=[row[column] for row in rows],
                name=prefix + name,
                mode="lines+markers" if len(rows) < 60 and column != "moving_average" else "lines",
                marker={"size": 4},
                line={"color": colour, "dash": dashes[number % len(dashes)], "width": 2},
                hovertemplate=f"{prefix}{name} %{{y:.3f}} after %{{x:.2f}} min<extra></extra>",
            )
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"title": t("minutes of training"), "rangemode": "tozero"},
        yaxis={"title": None, "rangemode": "tozero"},
        uirevision="keep",  # a zoom survives the next epoch
    )
    st.plotly_chart(
        figure,
        key=f"curves_{'_'.join(runs)}",
        config={"displayModeBar": False},  # it would lie over the legend
        alt=t("Training loss and validation volume Dice over the minutes of training"),
    )


def _pace(rows: list[dict]) -> None:
    """Draw learning rate and seconds per epoch, each on an axis of its own."""
    figure = go.Figure()
    for name, column, colour, axis in (
        (t("learning rate"), "learning_rate", LOSS, "y"),
        (t("seconds per epoch"), "epoch_seconds", OTHER, "y2"),
    ):
        figure.add_scatter(
            x=[row["epoch"] for row in rows], y=[row[column] for row in rows], name=name, yaxis=axis,
            line={"color": colour, "width": 2}, hovertemplate=f"{name} %{{y:.3g}}, {t('epoch')} %{{x}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        height=170,
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"title": "epoch"},
        yaxis={"rangemode": "tozero", "exponentformat": "power", "nticks": 4},
        yaxis2={
            "rangemode": "tozero",
            "overlaying": "y",
            "side": "right",
            "tickmode": "auto",
            "showgrid": False,
            "nticks": 4,
        },
        uirevision="keep",
    )
    alt = t("Learning rate and seconds per epoch")
    st.plotly_chart(figure, key="pace", config={"displayModeBar": False}, alt=alt)


def _by_heart(run: Run) -> bool:
    try:
        spec = run.folder.read_spec()
        return bool(set(spec.get("training_patients", [])) & set(spec["validation_patients"]))
    except (OSError, ValueError, KeyError):
        return False


def _log(run: Run) -> str:
    try:
        lines = (run.folder.path / "log.txt").read_text(encoding="utf-8", errors="replace")[-6000:]
    except OSError:
        lines = ""
    printed = index.tail(run.folder.path) if run.state in ("failed", "interrupted", "out of memory") else ""
    # what TensorFlow prints at its start helps nobody here
    noise = re.compile(r"^(WARNING: All log|[IWE]0000 ).*\n?", re.MULTILINE)
    printed = without_folders(noise.sub("", printed))
    return (lines + ("\n" + printed if printed else "")) or t("The log is empty.")
