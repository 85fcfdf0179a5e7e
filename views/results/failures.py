"""Where the network fails: the patients with the lowest scores, each with its worst slices."""

from urllib.parse import urlencode

import streamlit as st

from unet import overlay
from unet.data.patients import Patient
from unet.data.volume import FLAIR
from unet.language import mark, t
from unet.reports import slice_results
from unet.weights.network import DEFAULT_WEIGHTS, Weights
from views.shared import legend, loaders, page, segmentations
from views.shared.charts import to_csv
from views.viewer.slice_viewer import show_viewer

PER_ROW = 4
FEWER_SLICES = mark("This patient has fewer slices here than were scored.")


@st.fragment
def show_failures(report: dict, weights: Weights) -> None:
    """The slices with the most wrong pixels: a button opens each in the viewer, a link its place in Explore."""
    worst = slice_results.worst_slices(report)
    if not worst:
        return
    st.subheader(t("Largest errors"), anchor="failures")
    st.caption(
        t(
            "The slices with the most wrong pixels (missed or false positive), at most two for each "
            "patient, as published."
        )
    )
    try:
        _, found, _ = loaders.patients()
    except page.PAGE_ERRORS:
        found = []
    by_id = {patient.patient_id: patient for patient in found}
    here = any(row["patient"] in by_id for row in worst)
    pictures = here and st.toggle(
        t("Show the pictures"),
        help=t("Runs the network on these patients. The first time this takes some seconds for each."),
    )
    if not here:
        st.caption(t("The pictures, the viewer and the links to Explore need these patients in the app's data folder."))
    chosen = st.session_state.get("failure")
    for start in range(0, len(worst), PER_ROW):
        in_row = worst[start : start + PER_ROW]
        for column, row in zip(st.columns(PER_ROW, gap="small"), in_row, strict=False):
            with column.container(border=True):
                patient = by_id.get(row["patient"])
                if pictures and patient:
                    _picture(patient, row, weights)
                _failure(row, weights)
                if patient:
                    _choice(row, chosen)
        for row in in_row:
            if _place(row) == chosen and row["patient"] in by_id:
                _viewer(by_id[row["patient"]], row, weights)
    if pictures:
        legend.show_legend(legend.ERRORS)
        drawn, scored = loaders.quick_segmenter(weights).engine_name, report["protocol"]["engine"]
        if drawn != scored:
            st.caption(
                t(
                    "The pictures show {drawn}, the figures are those of {scored}: single pixels may differ.",
                    drawn=drawn,
                    scored=scored,
                )
            )
    st.download_button(
        t("All slices as CSV"),
        to_csv(slice_results.slice_rows(report)),
        "slices.csv",
        "text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def _failure(row: dict, weights: Weights) -> None:
    place = {"patient": row["patient"], "slice": row["slice"], "overlay": "Errors"}
    if weights.name != DEFAULT_WEIGHTS:
        place["weights"] = weights.name
    link = "./?" + urlencode(place)
    missed = row["expected"] - row["published_correct"]
    extra = row["published"] - row["published_correct"]
    dice = "–" if row["published_dice"] is None else f"{row['published_dice']:.2f}"
    st.markdown(t("[{patient}, slice {slice}]({link})", patient=row["patient"], slice=row["slice"], link=link))
    st.caption(
        t("{missed:,} px missed, {extra:,} px false positive, slice Dice {dice}", missed=missed, extra=extra, dice=dice)
    )


def _place(row: dict) -> tuple[str, int]:
    return row["patient"], row["slice"]


def _choice(row: dict, chosen: tuple[str, int] | None) -> None:
    """A button that opens the slice in the viewer beneath its row, or closes it."""
    is_open = _place(row) == chosen
    st.button(
        t("Close") if is_open else t("Show it here"),
        key=f"failure_{row['patient']}_{row['slice']}",
        icon=":material/close:" if is_open else ":material/neurology:",
        width="stretch",
        on_click=lambda: st.session_state.update(failure=None if is_open else _place(row)),
    )


def _viewer(patient: Patient, row: dict, weights: Weights) -> None:
    """The patient in the slice viewer, at that slice; the network's answers are those that Explore keeps."""
    try:
        volume, content_hash, brain = loaders.volume(patient)
        network = weights, segmentations.running_segmentation(volume, content_hash, weights)
    except page.PAGE_ERRORS as error:
        st.error(str(error), title=t("This patient cannot be shown"))
        return
    if row["slice"] > len(volume):
        st.caption(t(FEWER_SLICES))
        return
    start = {"slice": row["slice"], "overlay": "Errors", "threshold": weights.threshold}
    with st.container(border=True):
        st.markdown(f"**{row['patient']}** · {weights.name}")
        show_viewer(volume, content_hash, brain, network, start=start)


def _picture(patient: Patient, row: dict, weights: Weights) -> None:
    """The slice with its errors; drawn from what Explore keeps, so that opening it there is quick."""
    try:
        volume, content_hash, _ = loaders.volume(patient)
        mask = segmentations.segmentation(volume, content_hash, weights).mask(weights.threshold)
    except page.PAGE_ERRORS as error:
        st.caption(str(error))
        return
    index = row["slice"] - 1
    if index >= len(volume):
        st.caption(t(FEWER_SLICES))
        return
    image = volume.images[index, ..., FLAIR]
    picture = overlay.grey_to_rgb(overlay.to_display(image, overlay.display_window(volume.images[:, ::4, ::4, FLAIR])))
    st.image(
        overlay.draw_errors(picture, mask[index], volume.expected_mask[index]),
        width="stretch",
        output_format="PNG",
        alt=t(
            "{patient}, slice {slice}, FLAIR: found, false-positive and missed pixels",
            patient=row["patient"],
            slice=row["slice"],
        ),
    )
