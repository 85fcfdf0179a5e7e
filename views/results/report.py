"""What the Results page shows of one or two reports: figures, worst slices, who was trained on."""

import streamlit as st

from unet.data.splits import published_splits, split_of
from unet.evaluation.protocol import ROWS
from unet.language import mark, t, tn
from unet.postprocessing import read_post_processing
from unet.reports import charts, results, slice_results
from views.shared.charts import show_chart

AGREEMENT = mark("Expert readers agree with each other at about {dice} on such lesions.")


def show_headline(report: dict, row: str) -> None:
    """The numbers at the top, for one model and one way of scoring."""
    s = results.row_summary(report, row)
    low, high = s["ci95"]
    columns = st.columns(5)
    columns[0].metric(
        t("Mean volume Dice"), _number(s["mean"]), help=t("Each patient counts once, regardless of lesion size.")
    )
    columns[1].metric(t("Median"), _number(s["median"]))
    columns[2].metric(
        t("95 % interval"),
        f"{_number(low)} – {_number(high)}",
        help=t(
            "Interval of the mean, by bootstrap over patients: how far the mean might differ with "
            "other patients like these."
        ),
    )
    worst = results.by_patient(report, row)[0]
    columns[3].metric(t("Worst patient"), _number(worst["volume_dice"]), help=worst["patient"])
    if results.is_full(report):
        which = row if row == "raw" else "published"
        slices = slice_results.slice_scores(report, which)
        rate = slices["false_positive_rate"]
        columns[4].metric(
            t("False positives"),
            "–" if rate is None else f"{rate:.1%}",
            help=t(
                "Share of the {empty_slices} slices without a lesion on which at least one pixel is predicted, {rows}.",
                empty_slices=slices["empty_slices"],
                rows=t(ROWS[which]),
            ),
        )


def show_protocol(report: dict, row: str) -> None:
    """Say in words what was scored and how."""
    count = len(report["patients"])
    words = tn("{n} patient, **{rows}**. ", "{n} patients, **{rows}**. ", count, rows=t(ROWS[row]))
    if results.is_full(report):
        protocol = report["protocol"]
        rule = read_post_processing(protocol["post_processing"])
        slices = slice_results.slice_scores(report, "published")
        words += t(
            "Published setting: threshold {threshold:g}, post-processing: {rule}. Both were chosen "
            "on the validation patients. On slices, as published: sensitivity {sensitivity} (slices "
            "with a lesion that are marked), specificity {specificity} (slices without a lesion that "
            "stay empty), Dice on slices with a lesion {dice}. ",
            threshold=protocol["threshold"],
            rule=rule,
            sensitivity=_percent(slices["sensitivity"]),
            specificity=_percent(slices["specificity"]),
            dice=_number(slices["dice_on_lesion_slices"]),
        )
    words += t(
        "Expected masks outline FLAIR abnormality: the region that is abnormally bright on "
        "FLAIR. Volume Dice is the overlap of predicted and expected mask over all slices of a "
        "patient, on the native grid: 0 for no overlap, 1 for the same voxels. Empty slices do "
        "not count as 1. The interval is a bootstrap over patients."
    )
    if set(report["patients"]) == set(published_splits()["test"]):
        peer, splits = results.PEER, published_splits()
        words += t(
            " Another public network, {name}, reports {mean} mean and {median} median on these ten "
            "patients ({caveat}). It is called the peer here. To compare, choose “{peer}”. Our "
            "network was trained on {training} patients and chosen on {validation} others.",
            name=peer["name"],
            mean=peer["mean"],
            median=peer["median"],
            caveat=peer["caveat"],
            peer=t(ROWS["peer"]),
            training=len(splits["train"]),
            validation=len(splits["validation"]),
        )
    st.caption(words)


def show_charts(reports: list[dict], row: str) -> None:
    """Every figure that the reports have the numbers for."""
    test = set(reports[0]["patients"]) == set(published_splits()["test"])
    real = all(split_of(patient_id) != "phantom" for patient_id in reports[0]["patients"])
    shown = [
        (
            charts.patients(reports, row, peer=test),
            t("Sorted by Dice; {rows}. ", rows=t(ROWS[row])) + (t(AGREEMENT, dice=results.EXPERTS) if real else ""),
        ),
        (
            charts.volumes(reports),
            t(
                "Below the dotted line the predicted lesion is too small, above it too large. The data "
                "set gives no millimetres. Patients with an empty predicted or expected mask are in the "
                "CSV only."
            ),
        ),
        (
            charts.roc(reports),
            t(
                "A slice counts as positive where its highest probability reaches the threshold. The "
                "curve shows all thresholds. An area under the curve of 1 is perfect, 0.5 is chance."
            ),
        ),
        (
            charts.threshold(reports),
            t("The network runs once; only the threshold changes. Mean and median over patients."),
        ),
        (charts.reliability(reports), _calibration_words(reports[0])),
        (
            charts.breakdown(reports, "size"),
            t("Size in voxels, in thirds of the training patients. Number of patients in brackets."),
        ),
        (
            charts.breakdown(reports, "institution"),
            t("Number of patients in brackets. With few patients the intervals are wide."),
        ),
        (charts.breakdown(reports, "grade"), t("Grades as read from the clinical table: 1 = G2, 2 = G3.")),
    ]
    shown = [(chart, caption) for chart, caption in shown if chart.rows]
    for start in range(0, len(shown), 2):
        for column, (chart, caption) in zip(st.columns(2, gap="small"), shown[start : start + 2], strict=False):
            with column:
                show_chart(chart, caption)
    if not results.is_full(reports[0]):
        st.info(
            t(
                "This evaluation was released with Dice per patient only. The other figures appear with one made by "
                "`python -m unet evaluate --protocol full`."
            ),
            icon=":material/info:",
        )


def _calibration_words(report: dict) -> str:
    if not results.is_full(report):
        return ""
    c = report["protocol"]["calibration"]
    return t(
        "Pixels of the head in ten bins. On the dotted line, predicted probability and share of "
        "lesion are equal. The mean distance from it (expected calibration error) is {number}; "
        "for pixels with a probability of 0.1 or more it is {number_bright}.",
        number=_number(c["expected_calibration_error"]),
        number_bright=_number(c["expected_calibration_error_above_0.1"]),
    )


def show_comparison(reports: list[dict], row: str) -> None:
    """Two models in one sentence, paired by patient."""
    if len(reports) < 2 or row not in results.rows_of(reports[1]):
        return
    c = results.compare(reports[0], reports[1], row)
    low, high = c["ci95"]
    st.markdown(
        t(
            "**{weights}** against **{other}** on the same {patients} patients: mean volume Dice "
            "{second_mean:.3f} against {first_mean:.3f}, difference {difference}, 95 % interval "
            "{low} to {high}, better in {better} and worse in {worse} patients.",
            weights=reports[1]["weights"],
            other=reports[0]["weights"],
            patients=c["patients"],
            second_mean=c["second_mean"],
            first_mean=c["first_mean"],
            difference=_signed(c["difference"]),
            low=_signed(low),
            high=_signed(high),
            better=c["better"],
            worse=c["worse"],
        )
    )


def show_trained_on() -> None:
    """Which patients the shipped weights have learned from, and which they have not."""
    splits = published_splits()
    with st.expander(t("Which patients were trained on?"), icon=":material/school:"):
        st.markdown(
            t(
                "The data set has 110 patients. The weights were trained on **{training}** of them. The "
                "epoch and the post-processing were chosen on **{validation}** others. **{test}** were "
                "kept for the test. The remaining {rest} were not used. The split is by patient, never "
                "by slice: slices of one patient look alike, so a network trained on one of them cannot "
                "be tested on the others.",
                training=len(splits["train"]),
                validation=len(splits["validation"]),
                test=len(splits["test"]),
                rest=110 - sum(map(len, splits.values())),
            )
        )
        st.dataframe(
            [
                {t("Patient"): patient_id, t("Split"): t(split_of(patient_id))}
                for ids in splits.values()
                for patient_id in ids
            ],
            hide_index=True,
            height=260,
            alt=t("Every patient of the published splits"),
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
