"""Find a patient: a table to sort and search, and a box that names the one that is shown."""

from pathlib import Path

import pandas as pd
import streamlit as st

from unet.data.clinical import clinical_record, institution
from unet.data.patients import Patient
from unet.data.splits import split_of
from unet.language import mark, t
from views.shared import links, loaders, page
from views.shared.browser_state import MAX_TEXT


def pick_patient(root: Path, found: list[Patient], heading: str) -> Patient:
    """Show the page's heading and the finder; return the patient to look at. The URL keeps the choice."""
    by_id = {patient.patient_id: patient for patient in found}
    rows = _table(root, found)
    if page.arrived("patient") or "patient" not in st.session_state:
        linked = st.query_params.get("patient")
        if linked and linked not in by_id:
            st.warning(
                t(
                    "The link names the patient {linked}, which is not in this data set.",
                    linked=page.plain(repr(linked[:60])),
                )
            )
        if linked or "slice" in st.query_params:
            links.remember(patient=linked or links.remembered("patient"), slice=st.query_params.get("slice"))
        elif links.remembered("slice"):  # by the menu from another page
            links.keep_in_link("slice", links.remembered("slice"))
        st.session_state.patient = linked or links.remembered("patient")
        if st.session_state.patient not in by_id:
            links.remember(patient=_first(rows))
    if st.session_state.patient not in by_id:
        st.session_state.patient = _first(rows)
    title, box = st.columns([2, 3], vertical_alignment="bottom")
    title.subheader(heading, anchor=False)
    patient_id = box.selectbox(
        t("Patient"),
        list(by_id),
        # the session holds the choice; where a run that set it is interrupted, the browser begins here
        index=list(by_id).index(st.session_state.patient),
        key="patient",
        format_func=lambda id_: _label(rows, id_),
        on_change=_untick,
    )
    # written here and not bound to the box, so that the link names the patient from the first moment
    links.keep_in_link("patient", patient_id)
    if links.remembered("patient") != patient_id:
        links.remember(patient=patient_id, slice=None)
    _search(rows)
    return by_id[patient_id]


def _search(rows: pd.DataFrame) -> None:
    """Show the patients as a table that can be searched; a tick opens one."""
    with st.expander(t("Find among {count} patients", count=len(rows)), icon=":material/table_view:"):
        search = st.text_input(
            t("Search"),
            placeholder=t("part of an id, institution, histology, split …"),
            key="patient_search",
            type="search",
        )[:MAX_TEXT]
        st.caption(t("Tick the box at the left of a row to open the patient."))
        shown = rows.loc[rows.apply(lambda row: _matches(row, search), axis=1)]
        st.dataframe(
            shown.rename(columns=t),
            hide_index=True,
            height=min(320, 40 + 35 * max(1, len(shown))),
            placeholder=t("unknown"),
            key=_table_key(),
            on_select=lambda: _take_selected(shown),
            selection_mode="single-row",
            alt=t("Patients of the data set; select a row to open the patient"),
            column_config={
                t("Lesion share"): st.column_config.ProgressColumn(
                    format="percent", min_value=0, max_value=1, help=t("Slices whose expected mask shows a lesion")
                ),
                t("Grade"): st.column_config.TextColumn(help=t("The code is read as 1 = G2, 2 = G3")),
                t("Histology"): st.column_config.TextColumn(
                    help=t("The code is read in the alphabetical order of TCGA's terms")
                ),
                t("Sex"): st.column_config.TextColumn(help=t("The code is read as 1 = female, 2 = male")),
            },
        )
        if shown.empty:
            st.caption(t("No patient matches; shorten the search."))


def _table(root: Path, found: list[Patient]) -> pd.DataFrame:
    records, _ = loaders.clinical_table(root)
    summaries = loaders.summaries(found)
    rows = []
    for patient in found:
        record, summary = clinical_record(records, patient.patient_id), summaries[patient.patient_id]
        rows.append(
            {
                mark("Patient"): patient.patient_id,
                mark("Split"): t(split_of(patient.patient_id)),
                mark("Institution"): t(institution(patient.patient_id)),
                mark("Grade"): record.grade,
                mark("Histology"): record.histology,
                mark("Age"): record.age,
                mark("Sex"): record.sex,
                mark("Slices"): summary.slices,
                mark("Lesion share"): round(summary.lesion_slices / summary.slices, 2),
                mark("Missing sequences"): ", ".join(map(t, summary.missing_sequences)),
            }
        )
    return pd.DataFrame(rows).astype({"Age": "Int64"})


def _matches(row: pd.Series, search: str) -> bool:
    """Whether every word of a search is part of what the row shows; what is not known reads `unknown` there."""
    text = " ".join("unknown" if pd.isna(value) else str(value) for value in row).lower()
    # a word may stand anywhere, as in "oligoastrocytoma", but nobody who asks for male means female
    return all((" male" if word == "male" else word) in text for word in search.lower().split())


def _first(rows: pd.DataFrame) -> str:
    """The patient to open with: one the network has not learned from, or the first."""
    fresh = rows.loc[rows["Split"] != "training"]
    return (fresh if len(fresh) else rows)["Patient"].iloc[0]


def _label(rows: pd.DataFrame, patient_id: str) -> str:
    row = rows.set_index("Patient").loc[patient_id]
    words = [row["Split"], *(row[column] for column in ("Histology", "Grade") if isinstance(row[column], str))]
    return t(
        "{patient_id}  ·  {about}  ·  {count} slices",
        patient_id=patient_id,
        about=" · ".join(words),
        count=row["Slices"],
    )


def _table_key() -> str:
    return f"patient_table_{st.session_state.get('patient_tables', 0)}"


def _untick() -> None:
    """Begin a new table: a tick stays where it is, and so would name another patient than the one on the page."""
    st.session_state.patient_tables = st.session_state.get("patient_tables", 0) + 1


def _take_selected(shown: pd.DataFrame) -> None:
    rows = st.session_state.get(_table_key(), {}).get("selection", {}).get("rows", [])
    if rows and rows[0] in range(len(shown)):  # the browser names a row, and may name any
        st.session_state.patient = shown["Patient"].iloc[rows[0]]
