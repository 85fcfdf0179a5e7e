"""Evaluate the shipped weights on patients of one's own, a little at each rerun, with progress and cancel.

The work is a generator in the visitor's session: nothing runs once the visitor has left, and two visitors share
nothing but the network, which takes turns.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from unet.data.clinical import ClinicalRecord, read_clinical_table
from unet.data.patients import Patient, list_patients
from unet.data.slice_files import DataError
from unet.data.splits import split_of
from unet.evaluation import protocol
from unet.inference.engines import InferenceError
from unet.inference.segmenter import Segmenter
from unet.language import mark, t
from unet.reports import results
from unet.scans.patient_folders import store_patients
from unet.scans.private_folders import PrivateFolder
from unet.weights.network import Weights
from views.server.stored_files import bytes_of
from views.shared import loaders, page
from views.shared.browser_state import one_of
from views.shared.uploader import say_refusals

SECONDS_A_RERUN = 0.8  # long enough to get on, short enough for the cancel button to answer
HERE = mark("Patients on this machine")
UPLOAD = mark("Upload a folder")


@dataclass
class _Evaluation:
    """One visitor's evaluation on its way."""

    segmenter: Segmenter
    patients: list[Patient]
    steps: Generator
    folder: PrivateFolder | None = None  # uploaded files; gone with the session
    slices: int = 0
    measurements: list = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def progress(self) -> float:
        return min(1.0, self.slices / max(1, sum(len(patient.images) for patient in self.patients)))

    @property
    def words(self) -> str:
        return t(
            "{done} of {count} patients, {progress:.0%} of the slices",
            done=len(self.measurements),
            count=len(self.patients),
            progress=self.progress,
        )

    def advance(self, seconds: float) -> None:
        """Go on for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                step = next(self.steps)
            except StopIteration:
                self.finished = True
                return
            if step is None:
                self.slices += 1
            elif isinstance(step, str):
                self.problems.append(step)
            else:
                self.measurements.append(step)
                self.problems += step.problems

    def report(self) -> dict:
        """The report of the patients that are done."""
        made_by = {"split": "your patients"}
        return protocol.full_report(self.measurements, self.segmenter.weights, self.segmenter.engine_name, made_by)


def own_report() -> dict | None:
    """Return the report that this visitor has made, if there is one."""
    return st.session_state.get("own_report")


def show_own_evaluation(weights: Weights) -> None:
    """Choose patients, start, watch, cancel; the report then joins the shipped ones at the top of the page."""
    st.subheader(t("Evaluate your own patients"), anchor="own")
    st.caption(
        t(
            "Use the layout of the data set: a folder for each patient with `<patient>_<n>.tif` "
            "(pre-contrast, FLAIR, post-contrast) and `<patient>_<n>_mask.tif`. Uploaded files are "
            "deleted at the end of your visit."
        )
    )
    running: _Evaluation | None = st.session_state.get("evaluation")
    source = one_of(
        st.segmented_control(
            t("Patients to evaluate"),
            [HERE, UPLOAD],
            default=HERE,
            format_func=t,
            required=True,
            key="own_source",
            disabled=bool(running),
        ),
        [HERE, UPLOAD],
    )
    if running is None:
        _choose(weights, source)
    else:
        # run_every only while there is something to wait for
        st.fragment(_watch, run_every=0.1)()


def _choose(weights: Weights, source: str) -> None:
    if source == UPLOAD:
        files = st.file_uploader(
            t("Folder of patients"), type=["tif", "tiff"], accept_multiple_files="directory", key="own_files"
        )
        say_refusals()
        if st.button(t("Evaluate"), icon=":material/play_arrow:", disabled=not files, key="own_start"):
            folder = PrivateFolder("patients")
            try:
                with st.spinner(t("Reading the files …")):
                    problems = store_patients(((file.name, bytes_of(file)) for file in files), folder.path)
                patients, more = list_patients(folder.path)
            except DataError as error:
                folder.cleanup()
                st.error(str(error))
                return
            _start(weights, patients, [*problems, *more], folder)
        return
    try:
        root, found, _ = loaders.patients()
    except page.PAGE_ERRORS as error:
        st.error(str(error))
        return
    by_split = {
        split: chosen
        for split in ("validation", "test", "unseen", "phantom", "training")
        if (chosen := [patient for patient in found if split_of(patient.patient_id) == split])
    }
    split = st.selectbox(
        t("Split"),
        list(by_split),
        format_func=lambda name: t("{name} ({count} patients)", name=name, count=len(by_split[name])),
        key="own_split",
    )
    if st.button(t("Evaluate"), icon=":material/play_arrow:", key="own_start"):
        _start(weights, by_split[split], [], None, root)


def _start(
    weights: Weights,
    patients: list[Patient],
    problems: list[str],
    folder: PrivateFolder | None,
    root: Path | None = None,
) -> None:
    try:
        segmenter = loaders.segmenter(weights)
    except page.PAGE_ERRORS as error:
        st.error(str(error))
        return
    records, _ = read_clinical_table(root / "data.csv") if root else ({}, None)
    st.session_state.evaluation = _Evaluation(
        segmenter, patients, _steps(segmenter, patients, records), folder, problems=problems
    )
    st.rerun()


def _steps(segmenter: Segmenter, patients: list[Patient], records: dict[str, ClinicalRecord]) -> Generator:
    """As `protocol.evaluate_full`, but a patient that cannot be scored is a sentence and not the end."""
    for patient in patients:
        try:
            yield from protocol.evaluate_full(segmenter, [patient], records)
        except (DataError, InferenceError, ValueError) as error:
            yield str(error)


def _watch() -> None:
    running: _Evaluation | None = st.session_state.get("evaluation")
    if running is None:
        return
    bar = st.progress(running.progress, text=running.words)
    if st.button(t("Cancel"), icon=":material/stop:", key="own_cancel", help=t("Keeps the patients that are finished")):
        running.steps.close()
        running.finished = True
    else:
        running.advance(SECONDS_A_RERUN)
    bar.progress(running.progress, text=running.words)
    if running.measurements:
        st.dataframe(
            [{t("Patient"): m.patient_id, t("Volume Dice"): m.dice["published"]} for m in running.measurements],
            hide_index=True,
            alt=t("Volume Dice of the finished patients"),
        )
    if running.finished:
        del st.session_state.evaluation
        st.session_state.own_problems = running.problems
        if running.measurements:
            st.session_state.own_report = running.report()
            st.session_state.show_own = True
        if running.folder:
            running.folder.cleanup()
        st.rerun()


def show_own_problems() -> None:
    """What was left out of the last evaluation, and the report to keep."""
    if problems := st.session_state.get("own_problems"):
        with st.expander(t("Left out: {count}", count=len(problems)), icon=":material/warning:"):
            for line in problems[:50]:
                st.text(line)
    if report := own_report():
        st.download_button(
            t("Your report as JSON"),
            results.to_json(report),
            "evaluation.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            help=t("For `python -m unet compare`"),
        )
