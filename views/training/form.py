"""Start a training run: presets first, every setting below, and what it would cost before it starts."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import streamlit as st

from unet.data.slice_files import DataError
from unet.jobs import index, queue
from unet.jobs.folders import new_folder
from unet.jobs.limits import Limits, check_training_allowed
from unet.jobs.request import JobError, Request, estimate
from unet.language import t
from unet.paths import DEMO_FOLDER, PROJECT_FOLDER
from unet.training.augmentation import NO_AUGMENTATION
from views.shared.browser_state import one_of
from views.training.presets import PRESETS
from views.training.settings import recall_settings, show_settings, take_preset
from views.training.upload import UPLOAD, keep_in_mind, kept_bytes, store_slices


def show_form() -> None:
    """Show presets and settings; start what was chosen."""
    try:
        check_training_allowed()
    except JobError as error:
        st.info(str(error))
        return
    try:
        limits = Limits.from_environment()
    except JobError as error:
        st.error(str(error), title=t("Training is not set up"))
        return
    recall_settings()
    if "preset" not in st.session_state:
        st.session_state.preset = next(iter(PRESETS))
        take_preset()
    preset = st.pills(
        t("Start with"), list(PRESETS), key="preset", required=True, wrap=True, format_func=t, on_change=take_preset
    )
    preset = one_of(preset, PRESETS)
    st.caption(t(PRESETS[preset]["explanation"]))
    settings = st.expander(t("Settings"), icon=":material/tune:", key="settings", on_change="rerun")
    buttons = st.container(horizontal=True, vertical_alignment="center")
    with settings:
        request = show_settings(limits)
    ready = request is not None
    # a key that changes with every start: one click is one run, however often a slow server runs this script for it
    key = f"start_{st.session_state.setdefault('starts', 0)}"
    if (
        buttons.button(t("Start"), type="primary", icon=":material/play_arrow:", key=key, disabled=not ready)
        and request
    ):
        st.session_state.starts += 1
        _start(request, preset, limits)
    if (
        buttons.button(
            t("Measure time and memory"),
            icon=":material/timer:",
            key="measure",
            disabled=not ready,
            help=t("Computes two steps of this run in a separate process before you start it."),
        )
        and request
    ):
        _measure(request, limits)
    _show_estimate(request)
    if request and request.data and settings.open:  # code brings 1.5 MB of JavaScript with it
        with settings:
            st.caption(t("The same on the command line:"))
            words = replace(request, data=_shown(request.data)).arguments()
            st.code(f"python train.py {shlex.join([*words, '--run-dir=runs/mine'])}", language="bash", wrap_lines=True)


def _shown(folder: Path) -> Path:
    """Return a folder as a visitor may see it: without where the project lies on the server."""
    return folder.relative_to(PROJECT_FOLDER) if folder.is_relative_to(PROJECT_FOLDER) else Path(folder.name)


def _requests(request: Request, preset: str) -> list[Request]:
    """Return the run, and its twin where the preset compares two."""
    twin = PRESETS[preset].get("twin")
    if not twin:
        return [request]
    if "augmentation" in twin:
        other = replace(request.config, augmentation=NO_AUGMENTATION)
        names = t("with augmentation"), t("without augmentation")
    else:
        other = replace(request.config, architecture="unet")
        names = t("with attention"), t("without attention")
    return [
        replace(request, title=title, config=config)
        for title, config in zip(names, (request.config, other), strict=True)
    ]


def _start(request: Request, preset: str, limits: Limits) -> None:
    """Start, show the new run and say where it stands."""
    started = 0
    try:
        for one in _requests(request, preset):
            uploaded = st.session_state.train_data == UPLOAD
            st.session_state.run = _start_on_uploads(one, limits) if uploaded else queue.start(one)
            started += 1
    except (JobError, DataError) as error:
        which = t("Only the first of the two runs started") if started else t("The run did not start")
        st.error(str(error), title=which)
        return
    st.rerun()


def _start_on_uploads(request: Request, limits: Limits) -> str:
    """Store the uploaded slices with a new run, start it and return its id; where that fails nothing is left.

    Raises:
        JobError: the slices take more than the host allows or the disk has, or as `queue.start`.
        DataError: a file is no slice.
    """
    limits.check(request)
    folder, size = new_folder(), 0
    held = kept_bytes(folder.parent)

    def reserve(more: int) -> None:
        nonlocal size
        size += more
        if held + size > limits.upload * 1e6:
            raise JobError(
                t(
                    "These slices and those of your other runs decode to {held:,.0f} MB; this server keeps "
                    "{upload:,.0f} MB for a visit. Upload fewer, or delete one of your runs.",
                    held=(held + size) / 1000000.0,
                    upload=limits.upload,
                )
            )
        queue.check_disk(folder, request.config, more)

    try:
        store_slices(folder / "data", reserve)
        run_id = queue.start(replace(request, data=folder / "data"), folder)
    except BaseException:  # also an error of this program: no visitor's slices may stay without a run
        shutil.rmtree(folder, ignore_errors=True)
        raise
    keep_in_mind(run_id, size)
    return run_id


def _measure(request: Request, limits: Limits) -> None:
    """Time two steps and keep what was found with the very settings it was found for."""
    measured = request
    if st.session_state.train_data == UPLOAD:
        people = {"training_patients": 1, "validation_patients": 1, "overfit_patient": None}
        measured = replace(request, data=DEMO_FOLDER, **people)
    with st.spinner(t("Two steps of this run are being timed …")):
        try:
            limits.check(request)
            st.session_state.estimate = request, estimate(measured, index.runs_folder(), limits.memory)
        except JobError as error:
            st.error(str(error), title=t("The measurement failed"))


def _show_estimate(request: Request | None) -> None:
    measured, found = st.session_state.get("estimate", (None, None))
    if not found or measured != request:
        return
    if st.session_state.train_data == UPLOAD:
        st.caption(t("Measured on two phantoms, because uploaded slices are read when the run starts."))
    seconds = " → ".join(f"{value:.1f}" for value in found["epoch_seconds"])
    st.info(
        t(
            "About **{minutes:.1f} minutes** for {epochs} epochs of {seconds} s, and at most "
            "**{memory_mb:.1f} GB** of memory. The time was measured with two steps on this server "
            "at its present load.",
            minutes=found["minutes"],
            epochs=found["epochs"],
            seconds=seconds,
            memory_mb=found["memory_mb"] / 1000,
        ),
        icon=":material/timer:",
    )
