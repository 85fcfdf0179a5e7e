"""Take the result along: download buttons whose files are made when they are asked for."""

from functools import partial

import streamlit as st

from unet.data.volume import Volume
from unet.export.dicom_seg import can_be_dicom_seg
from unet.export.formats import FORMATS, Options
from unet.export.result import Result, lesion_size
from unet.inference.segmentation import Segmentation
from unet.language import t
from unet.scans.scan import BURNED_IN, Scan
from unet.weights.network import Weights
from views.shared.browser_state import viewer_state

COMMA_LANGUAGES = "cs", "da", "de", "es", "fi", "fr", "hu", "it", "nb", "nl", "pl", "pt", "ru", "sv", "tr", "uk"


@st.fragment
def show_export(
    scan: Scan, volume: Volume, segmentation: Segmentation, weights: Weights, notes: tuple[str, ...]
) -> None:
    """Show the downloads.

    Args:
        scan: the FLAIR scan, whose grid the mask goes back to.
        volume: the upload, unmirrored.
        segmentation: of that volume.
        weights: of the network.
        notes: what the report adds.
    """
    st.subheader(t("Download results"), anchor=False)
    slider, button, words = st.columns([3, 2, 4], vertical_alignment="bottom", gap="medium")
    # the files are made after a click, where nothing can ask the viewer any more, so the threshold stands here
    button.button(
        t("Threshold of the viewer"),
        icon=":material/sync:",
        help=t("Uses the threshold that is set in the viewer."),
        on_click=lambda: st.session_state.update(export_threshold=_viewer_threshold(weights.threshold)),
    )
    threshold = slider.slider(
        t("Threshold of the exported mask"), 0.01, 0.99, weights.threshold, step=0.01, key="export_threshold"
    )
    chosen = Result(scan, volume, segmentation.mask(threshold), threshold, weights, segmentation.engine)
    voxels, millilitres = lesion_size(chosen)
    size = [t("{count:,} voxels", count=voxels) if len(volume) > 1 else t("{count:,} pixels", count=voxels)]
    if millilitres is not None:
        size += [t("{volume:.2f} mL", volume=millilitres)]
    words.caption(t("{size}. Masks are on the grid of the upload.", size=", ".join(size)))
    options = _options(scan, volume.patient_id, notes)
    if BURNED_IN in scan.notes:
        st.warning(t(BURNED_IN), icon=":material/person_alert:")
    with st.container(horizontal=True):
        for kind in FORMATS:
            if kind.fits(scan):
                st.download_button(
                    kind.label,
                    partial(kind.one_file, chosen, options, volume.patient_id),
                    *kind.one_name(chosen, volume.patient_id),
                    icon=":material/download:",
                    on_click="ignore",
                    key=f"export_{kind.label}",
                )


def _options(scan: Scan, upload: str, notes: tuple[str, ...]) -> Options:
    """Ask what the files shall hold; the patient is left out unless the visitor asks for this upload.

    Args:
        scan: the FLAIR scan.
        upload: id of the upload.
        notes: what the report adds.
    """
    for_dicom, for_csv = st.columns(2, gap="medium")
    keep_patient = False
    if can_be_dicom_seg(scan) and scan.patient:
        keep_patient = for_dicom.checkbox(t("Name the patient in the DICOM-SEG"), key=f"export_patient_{upload}")
        for_dicom.caption(
            t(
                "The DICOM-SEG then holds what the series says of patient and study: name, ID, birth date, sex, "
                "accession number. An archive (PACS) needs this to file it under the patient."
            )
        )
    if keep_patient:
        for_dicom.warning(t("The DICOM-SEG names the patient. The other files do not."), icon=":material/person_alert:")
    else:
        for_dicom.caption(
            t(
                "The files contain no name, birth date or other text of a header. A DICOM-SEG refers to its series "
                "by UID."
            )
        )
    decimal_comma = for_csv.selectbox(
        t("CSV for spreadsheets that write"),
        [False, True],
        index=int(_language() in COMMA_LANGUAGES),
        format_func=lambda comma: t("1,5 (German, French)") if comma else t("1.5 (English, Korean)"),
        key="export_decimal",
    )
    for_csv.caption(
        t("Columns are separated by semicolons. Text is UTF-8 with a byte order mark.")
        if decimal_comma
        else t("Columns are separated by commas. Text is UTF-8 with a byte order mark.")
    )
    return Options(notes, keep_patient, decimal_comma)


def _language() -> str:
    """The language of the visitor's browser, such as `de`."""
    return (st.context.locale or "").split("-")[0].lower()


def _viewer_threshold(default: float) -> float:
    """The threshold where the viewer came to rest: the canvas tells it, the simple viewer has a slider for it."""
    if st.session_state.get("simple_viewer"):
        return float(st.session_state.get("threshold", default))
    return viewer_state().get("threshold", default)
