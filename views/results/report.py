"""What the Results page shows of one or two reports: figures, worst slices, who was trained on."""

from urllib.parse import urlencode

import streamlit as st

from unet import overlay
from unet.data.patients import Patient
from unet.data.splits import published_splits, split_of
from unet.data.volume import FLAIR
from unet.evaluation.protocol import ROWS
from unet.postprocessing import read_post_processing
from unet.reports import charts, results, slice_results
from unet.weights.network import DEFAULT_WEIGHTS, Weights
from views.shared import legend, loaders, page, segmentations
from views.shared.charts import show_chart, to_csv
from views.viewer.slice_viewer import show_viewer

PER_ROW = 4
FEWER_SLICES = "This patient has fewer slices here than were scored."
AGREEMENT = f"Expert readers agree with each other at about {results.EXPERTS} on such lesions."


def show_headline(report: dict, row: str) -> None:
    """The numbers at the top, for one model and one way of scoring."""
    s = results.row_summary(report, row)
    low, high = s["ci95"]
    columns = st.columns(5)
    columns[0].metric("Mean volume Dice", _number(s["mean"]), help="Each patient counts once, whatever its size.")
    columns[1].metric("Median", _number(s["median"]))
    columns[2].metric(
        "95 % interval",
        f"{_number(low)} – {_number(high)}",
        help="Of the mean, by bootstrap over patients: how far it might lie off with other patients like these.",
    )
    worst = results.by_patient(report, row)[0]
    columns[3].metric("Worst patient", _number(worst["volume_dice"]), help=worst["patient"])
    if results.is_full(report):
        which = row if row == "raw" else "published"
        slices = slice_results.slice_scores(report, which)
        rate = slices["false_positive_rate"]
        columns[4].metric(
            "False alarms",
            "–" if rate is None else f"{rate:.1%}",
            help=f"Share of the {slices['empty_slices']} slices without a lesion on which the mask has a pixel, "
            f"{ROWS[which]}.",
        )


def show_protocol(report: dict, row: str) -> None:
    """Say in words what was scored and how."""
    count = len(report["patients"])
    words = f"{count} patient{'s' * (count > 1)}, **{ROWS[row]}**. "
    if results.is_full(report):
        protocol = report["protocol"]
        rule = read_post_processing(protocol["post_processing"])
        slices = slice_results.slice_scores(report, "published")
        words += (
            f"Published setting: threshold {protocol['threshold']:g}, post-processing: {rule}; chosen on the "
            f"validation patients. On slices, as published: sensitivity {_percent(slices['sensitivity'])} (slices with "
            f"a lesion that are marked), specificity {_percent(slices['specificity'])} (slices without one that stay "
            f"empty), Dice on slices with a lesion {_number(slices['dice_on_lesion_slices'])}. "
        )
    words += (
        "Expected masks outline FLAIR abnormality: what is abnormally bright on that sequence. "
        "Volume Dice is the overlap of predicted and expected mask over all slices of a patient, 0 for none and 1 for "
        "the same voxels, in the images' own pixels; empty slices never count as a perfect 1. The interval is a "
        "bootstrap over patients."
    )
    if set(report["patients"]) == set(published_splits()["test"]):
        peer, splits = results.PEER, published_splits()
        words += (
            f" These are the ten patients of another public network, {peer['name']}, called the peer here: it reports "
            f"{peer['mean']} mean and {peer['median']} median on them, {peer['caveat']}; to compare, choose "
            f"“{ROWS['peer']}”. Ours was trained on {len(splits['train'])} patients and chosen on "
            f"{len(splits['validation'])} others."
        )
    st.caption(words)


def show_charts(reports: list[dict], row: str) -> None:
    """Every figure that the reports have the numbers for."""
    test = set(reports[0]["patients"]) == set(published_splits()["test"])
    real = all(split_of(patient_id) != "phantom" for patient_id in reports[0]["patients"])
    shown = [
        (charts.patients(reports, row, peer=test), f"Sorted by Dice; {ROWS[row]}. " + (AGREEMENT if real else "")),
        (
            charts.volumes(reports),
            "Below the dotted line too little was marked, above it too much. The data set ships no millimetres. A "
            "patient in whom nothing was marked, or nothing is expected, is in the CSV only.",
        ),
        (
            charts.roc(reports),
            "A slice counts as marked where its highest probability reaches the threshold; the curve goes through all "
            "thresholds. Area under it: 1 is perfect, 0.5 is chance.",
        ),
        (charts.threshold(reports), "The network runs once; only the threshold moves. Mean and median over patients."),
        (charts.reliability(reports), _calibration_words(reports[0])),
        (
            charts.breakdown(reports, "size"),
            "In voxels, thirds of the training patients. Number of patients in brackets.",
        ),
        (charts.breakdown(reports, "institution"), "Number of patients in brackets: few patients, wide intervals."),
        (charts.breakdown(reports, "grade"), "Grades as read from the clinical table: 1 = G2, 2 = G3."),
    ]
    shown = [(chart, caption) for chart, caption in shown if chart.rows]
    for start in range(0, len(shown), 2):
        for column, (chart, caption) in zip(st.columns(2, gap="small"), shown[start : start + 2], strict=False):
            with column:
                show_chart(chart, caption)
    if not results.is_full(reports[0]):
        st.info(
            "This evaluation was released with Dice per patient only. The other figures appear with one made by "
            "`python -m unet evaluate --protocol full`.",
            icon=":material/info:",
        )


def _calibration_words(report: dict) -> str:
    if not results.is_full(report):
        return ""
    c = report["protocol"]["calibration"]
    return (
        f"Pixels of the head, ten bins; on the dotted line it does. Mean distance from it (expected calibration error) "
        f"{_number(c['expected_calibration_error'])}; of the pixels with a probability of 0.1 or more "
        f"{_number(c['expected_calibration_error_above_0.1'])}."
    )


def show_comparison(reports: list[dict], row: str) -> None:
    """Two models in one sentence, paired by patient."""
    if len(reports) < 2 or row not in results.rows_of(reports[1]):
        return
    c = results.compare(reports[0], reports[1], row)
    low, high = c["ci95"]
    st.markdown(
        f"**{reports[1]['weights']}** against **{reports[0]['weights']}** on the same {c['patients']} patients: mean "
        f"volume Dice {c['second_mean']:.3f} against {c['first_mean']:.3f}, difference {_signed(c['difference'])}, "
        f"95 % interval {_signed(low)} to {_signed(high)}, better in {c['better']} and worse in {c['worse']} patients."
    )


@st.fragment
def show_failures(report: dict, weights: Weights) -> None:
    """The slices with the most wrong pixels: a button opens each in the viewer, a link its place in Explore."""
    worst = slice_results.worst_slices(report)
    if not worst:
        return
    st.subheader("Where it fails", anchor="failures")
    st.caption(
        "The slices with the most wrong pixels, missed or marked by mistake, at most two of each patient, as published."
    )
    try:
        _, found, _ = loaders.patients()
    except page.PAGE_ERRORS:
        found = []
    by_id = {patient.patient_id: patient for patient in found}
    here = any(row["patient"] in by_id for row in worst)
    pictures = here and st.toggle(
        "Show the pictures", help="Runs the network on these patients: some seconds for each, the first time."
    )
    if not here:
        st.caption("The pictures, the viewer and the links to Explore need these patients in the app's data folder.")
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
            st.caption(f"The pictures show {drawn}, the figures are those of {scored}: single pixels may differ.")
    st.download_button(
        "All slices as CSV",
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
    alarm = row["published"] - row["published_correct"]
    dice = "–" if row["published_dice"] is None else f"{row['published_dice']:.2f}"
    st.markdown(f"[{row['patient']}, slice {row['slice']}]({link})")
    st.caption(f"{missed:,} px missed, {alarm:,} px false alarm, slice Dice {dice}")


def _place(row: dict) -> tuple[str, int]:
    return row["patient"], row["slice"]


def _choice(row: dict, chosen: tuple[str, int] | None) -> None:
    """A button that opens the slice in the viewer beneath its row, or closes it."""
    is_open = _place(row) == chosen
    st.button(
        "Close" if is_open else "Look at it here",
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
        st.error(str(error), title="This patient cannot be shown")
        return
    if row["slice"] > len(volume):
        st.caption(FEWER_SLICES)
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
        st.caption(FEWER_SLICES)
        return
    image = volume.images[index, ..., FLAIR]
    picture = overlay.grey_to_rgb(overlay.to_display(image, overlay.display_window(volume.images[:, ::4, ::4, FLAIR])))
    st.image(
        overlay.draw_errors(picture, mask[index], volume.expected_mask[index]),
        width="stretch",
        output_format="PNG",
        alt=f"{row['patient']}, slice {row['slice']}, FLAIR: found, false alarm and missed pixels",
    )


def show_trained_on() -> None:
    """Which patients the shipped weights have learned from, and which they have not."""
    splits = published_splits()
    with st.expander("Which patients were trained on?", icon=":material/school:"):
        st.markdown(
            f"The data set has 110 patients. The weights were trained on **{len(splits['train'])}**; the epoch and the "
            f"post-processing were chosen on **{len(splits['validation'])}** others; **{len(splits['test'])}** were "
            f"held back as a test. The remaining {110 - sum(map(len, splits.values()))} were never "
            "seen here. Split by patient, never by slice: slices of one patient look alike, so a network that has seen "
            "one of them is no longer being tested by the others."
        )
        st.dataframe(
            [{"patient": patient_id, "split": split_of(patient_id)} for ids in splits.values() for patient_id in ids],
            hide_index=True,
            height=260,
            alt="Every patient of the published splits",
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
