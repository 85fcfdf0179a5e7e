"""Compare training runs: curves over each other, the settings that differ, the same slice side by side."""

import streamlit as st

from unet.jobs import index
from unet.jobs.index import Run
from unet.language import t
from views.training.live import show_curves
from views.training.preview import show_previews

MOST = 4


def show_comparison() -> None:
    """Let the visitor choose runs and show them together."""
    runs = {run.id: run for run in index.list_runs() if run.folder.metrics.exists()}
    if len(runs) < 2:
        st.info(
            t(
                "Needed: two runs with at least one epoch each. Presets called “with and without” on the "
                "view Train start two at once."
            )
        )
        return
    state = st.session_state
    if "compared" in state:
        state.compared = [run_id for run_id in state.compared if run_id in runs]
    chosen = st.multiselect(
        t("Runs"), list(runs), default=list(runs)[:2], key="compared", max_selections=MOST,
        format_func=lambda run_id: f"{runs[run_id].title} · {run_id}",
    )  # fmt: skip
    if not chosen:
        return
    picked = {_name(runs[run_id], chosen, runs): runs[run_id] for run_id in chosen}
    rows = {name: run.folder.read_metrics() for name, run in picked.items()}
    rows = {name: found for name, found in rows.items() if found}
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show_curves(rows, height=420)
    with right:
        _differences(picked, rows)
    st.markdown(t("**The same slices, side by side**"))
    st.fragment(show_previews)({name: picked[name] for name in rows})


def _name(run: Run, chosen: list[str], runs: dict[str, Run]) -> str:
    """The title, with the end of the id where two are called the same."""
    same = [other for other in chosen if runs[other].title == run.title]
    return run.title if len(same) == 1 else f"{run.title} {run.id[-4:]}"


def settings_of(run: Run) -> dict[str, str]:
    """Return every setting of a run as text, those of the augmentation one by one."""
    try:
        spec = run.folder.read_spec()
    except (OSError, ValueError):
        return {}
    config = dict(spec.get("config", {}))
    augmentation = config.pop("augmentation", {})
    settings = {**config, **{f"augmentation: {name}": value for name, value in augmentation.items()}}
    settings["training patients"] = ", ".join(spec.get("training_patients", []))
    settings["validation patients"] = ", ".join(spec.get("validation_patients", []))
    settings["parameters"] = spec.get("parameters", "")
    settings["commit"] = spec.get("commit", "")
    return {name.replace("_", " "): str(value) for name, value in settings.items()}


def differences(settings: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """Return a row for each setting in which the runs differ: its name, then a column a run.

    >>> differences({"a": {"seed": "1", "loss": "x"}, "b": {"seed": "2", "loss": "x"}})
    [{'Setting': 'seed', 'a': '1', 'b': '2'}]
    """
    names = list(dict.fromkeys(name for own in settings.values() for name in own))
    rows = [{"Setting": name, **{run: own.get(name, "–") for run, own in settings.items()}} for name in names]
    return [row for row in rows if len({row[run] for run in settings}) > 1]


def _differences(picked: dict[str, Run], rows: dict[str, list[dict]]) -> None:
    results = [
        {
            t("Run"): name,
            t("Best volume Dice"): max(row["validation_dice"] for row in found),
            t("Last"): found[-1]["validation_dice"],
            t("Epochs"): len(found),
            t("Minutes"): found[-1]["seconds"] / 60,
            t("State"): t(picked[name].state),
        }
        for name, found in rows.items()
    ]
    number = st.column_config.NumberColumn(format="%.3f")
    st.dataframe(
        results,
        hide_index=True,
        column_config={
            t("Best volume Dice"): number,
            t("Last"): number,
            t("Minutes"): st.column_config.NumberColumn(format="%.2f"),
            t("State"): st.column_config.TextColumn(width=110),
        },
        alt=t("Best and last validation volume Dice of each run"),
    )
    table = differences({name: settings_of(run) for name, run in picked.items()})
    st.markdown(t("**Settings that differ**"))
    if table:
        st.dataframe(table, hide_index=True, alt=t("Settings in which the runs differ"))
    else:
        early = [name for name, run in picked.items() if run.state != "finished"]
        why = (
            t("not every run finished ({early})", early=", ".join(early))
            if early
            else t("only the timing of the machine differs")
        )
        st.caption(t("None. The settings are the same; {why}.", why=why))
