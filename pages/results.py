"""Results: what the shipped weights reach, patient by patient, and on patients of your own."""

import streamlit as st

from unet.data.slice_files import DataError
from unet.evaluation.protocol import ROWS
from unet.language import mark, t
from unet.reports.results import headline_row, rows_of
from views.results import report as results
from views.results.failures import show_failures
from views.results.own_patients import own_report, show_own_evaluation, show_own_problems
from views.shared import links, loaders, page
from views.shared.browser_state import one_of

page.start_page(mark("Results"))

OWN = mark("your patients")

try:
    shipped = loaders.shipped_weights()
    reports = loaders.shipped_reports()
except (*page.PAGE_ERRORS, DataError) as error:
    st.error(str(error), title=t("No results to show"))
    st.stop()

title, weights_box, beside_box = st.columns([2, 2, 2], vertical_alignment="bottom")
title.subheader(t("Accuracy of the network"), anchor=False)
name = weights_box.selectbox(t("Weights"), list(shipped), key="weights", bind="query-params")
others = [other for other in shipped if other != name]
if page.arrived("beside"):
    st.session_state.beside = linked if (linked := st.query_params.get("beside")) in others else None
beside = beside_box.selectbox(t("Compare with"), others, placeholder=t("none"), key="beside") if others else None
links.keep_in_link("beside", beside)

by_split = dict(reports[name])
if (own := own_report()) and own["weights"] == name:
    by_split[OWN] = own
if not by_split:
    st.info(t("{name} has no evaluation yet. Make one with `python -m unet release --weights {name}`.", name=name))
else:
    if page.arrived("split"):
        st.session_state.split = st.query_params.get("split")
    if st.session_state.pop("show_own", False) and OWN in by_split:
        st.session_state.split = OWN
    if st.session_state.get("split") not in by_split:
        st.session_state.split = "test" if "test" in by_split else next(iter(by_split))
    split_box, row_box = st.columns([2, 4])
    split = one_of(
        split_box.segmented_control(t("Patients"), list(by_split), key="split", required=True, format_func=t), by_split
    )
    links.keep_in_link("split", None if split == OWN else split)  # a visitor's own patients are nobody else's
    report = by_split[split]
    rows = rows_of(report)
    row = row_box.selectbox(
        t("Scored"),
        rows,
        index=rows.index(headline_row(report)),
        format_func=lambda row: t(ROWS[row]),
        key=f"row_{len(rows)}",
        help=t(
            "Raw: every pixel whose probability is at least 0.5. Largest component: of that mask only the largest "
            "connected piece. Flip averaging: the mean of two passes, of the slice and of its mirror image."
        ),
    )
    shown = [report]
    if beside and split in reports[beside] and row in rows_of(reports[beside][split]):
        shown.append(reports[beside][split])
    elif beside:
        st.caption(t("{beside} was not evaluated on these patients in this way.", beside=beside))
    if split == "phantoms":
        st.badge(t("synthetic"), color="orange", icon=":material/deployed_code:")
    results.show_headline(report, row)
    results.show_protocol(report, row)
    results.show_comparison(shown, row)
    results.show_charts(shown, row)
    show_failures(report, shipped[name])

results.show_trained_on()
show_own_evaluation(shipped[name])
show_own_problems()
