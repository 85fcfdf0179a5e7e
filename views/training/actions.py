"""What can be done with a training run: stop, resume, open in Explore, evaluate, export, delete."""

from collections.abc import Callable

import streamlit as st

from unet.data.slice_files import DataError
from unet.evaluation.evaluate import evaluate, report
from unet.jobs import queue
from unet.jobs.archive import export_zip, has_uploads
from unet.jobs.index import DAMAGED, Run
from unet.jobs.limits import check_training_allowed
from unet.jobs.request import JobError
from unet.language import t
from unet.training.endings import FINISHED
from views.shared import loaders, page
from views.training.upload import is_own


def show_actions(run: Run) -> None:
    """Show the buttons that make sense in the state of the run."""
    allowed = _training_allowed()
    with st.container(horizontal=True):
        if run.active:
            stopping = queue.is_stopping(run)
            label, off = t("Stopping …") if stopping else "Stop", stopping or not allowed
            if st.button(label, key="stop", icon=":material/stop:", disabled=off):
                _act(queue.stop, run)
                st.rerun(scope="app")
            return
        resumable = allowed and run.state not in (FINISHED, DAMAGED) and "config" in run.request
        resume = {"on_click": _act, "args": (queue.resume, run), "key": "resume", "icon": ":material/resume:"}
        if resumable and st.button(t("Resume"), **resume):
            st.rerun()  # the whole page, which polls again from now on
        if run.has_weights:
            if st.button(t("Use in Explore"), key="explore", icon=":material/neurology:"):
                st.switch_page("pages/explore.py", query_params={"weights": run.id, **_validation_patient(run)})
            if allowed and st.button(
                t("Evaluate"), key="evaluate", icon=":material/grading:", help=t("Volume Dice of each patient")
            ):
                _act(_evaluate, run)
        if allowed and (is_own(run.id) or not has_uploads(run)):
            st.download_button(
                t("Export"), data=lambda: export_zip(run), file_name=f"run-{run.id}.zip", mime="application/zip",
                icon=":material/folder_zip:", on_click="ignore", key="export", help=t("The run folder as zip: "
                "settings, "
                "curves, predictions, weights; without uploaded slices. TensorBoard reads its events folder."),
            )  # fmt: skip
        if allowed:
            with st.popover(t("Delete"), icon=":material/delete:"):
                st.write(t("Deletes the run, its weights and pictures, for everyone."))
                if st.button(t("Delete it"), key="delete", type="primary", on_click=_act, args=(queue.delete, run)):
                    st.rerun()
    evaluated, result = st.session_state.get("evaluated", (None, None))
    if evaluated == run.id:
        _show_evaluation(result)


def _validation_patient(run: Run) -> dict[str, str]:
    """Return the link's part for a validation patient of the run, if Explore has one."""
    try:
        validated, (_, here, _) = run.folder.read_spec()["validation_patients"], loaders.patients()
    except (OSError, ValueError, KeyError, DataError):
        return {}
    known = {patient.patient_id for patient in here}
    return next(({"patient": id_} for id_ in validated if id_ in known), {})


def _training_allowed() -> bool:
    try:
        check_training_allowed()
    except JobError:
        return False
    return True


def _act(action: Callable[[Run], object], run: Run) -> None:
    """Do it; what went wrong is said beside the page, whose run is drawn anew every second."""
    try:
        action(run)
    except (*page.PAGE_ERRORS, JobError) as error:
        st.toast(str(error), icon=":material/error:", duration="long")


def _evaluate(run: Run) -> None:
    """Score the best weights on the run's own validation patients, every slice."""
    check_training_allowed()
    patients = queue.validation_patients(run)
    segmenter = loaders.segmenter(queue.weights_of(run))
    bar, scores = st.progress(0.0, text=t("Segmenting every slice with the best weights …")), []
    for score in evaluate(segmenter, patients):
        scores.append(score)
        bar.progress(
            len(scores) / len(patients),
            text=t("{done} of {count} patients", done=len(scores), count=len(patients)),
        )
    bar.empty()
    st.session_state.evaluated = run.id, report(scores, run.id)


def _show_evaluation(result: dict) -> None:
    low, high = result["raw"]["ci95"]
    st.markdown(
        t(
            "**Volume Dice {mean:.3f}** on average, {median:.3f} median, at threshold "
            "{threshold}, every slice, native grid; {count} validation patients, 95 % "
            "interval of the mean {low:.3f} to {high:.3f} (bootstrap over patients).",
            mean=result["raw"]["mean"],
            median=result["raw"]["median"],
            threshold=result["threshold"],
            count=len(result["patients"]),
            low=low,
            high=high,
        )
    )
    st.dataframe(
        [
            {
                t("Patient"): id_,
                t("Volume Dice"): score["raw"],
                t("Largest component only"): score["largest_component"],
            }
            for id_, score in result["patients"].items()
        ],
        hide_index=True,
        alt=t("Volume Dice of each validation patient"),
    )
