"""Take the result along: download buttons whose files are made when they are asked for."""

from collections.abc import Callable

import streamlit as st

from unet.data import Volume
from unet.export import (
    Result,
    can_be_dicom_seg,
    mask_pictures,
    overlay_pictures,
    to_csv,
    to_dicom_seg,
    to_nifti,
    to_png,
)
from unet.inference import Segmentation
from unet.report import to_html
from unet.scan import Scan
from unet.weights import Weights


def show_export(
    scan: Scan, volume: Volume, segmentation: Segmentation, weights: Weights, notes: tuple[str, ...]
) -> None:
    """Show the downloads.

    Args:
        scan: the FLAIR scan, whose grid the mask goes back to.
        volume, segmentation: of the upload, unmirrored.
        weights: of the network.
        notes: what the report adds.
    """
    name = volume.patient_id

    def result() -> Result:
        threshold = _chosen_threshold(weights.threshold)
        return Result(scan, volume, segmentation.mask(threshold), threshold, weights)

    several = len(volume) > 1
    kind = "zip" if several else "png"
    mime = {"zip": "application/zip", "png": "image/png"}[kind]
    st.subheader("Take it along", anchor=False)
    st.caption(
        "Made at the threshold chosen above, on the grid of the file you uploaded. No name, birth date or other word "
        "of a header goes into any of them; a DICOM-SEG refers to its series by UID."
    )
    offers: list[tuple[str, Callable[[], bytes | str], str, str]] = [
        ("Report", lambda: to_html(result(), notes), f"{name}_report.html", "text/html"),
        ("Mask as NIfTI", lambda: to_nifti(result()), f"{name}_mask.nii.gz", "application/gzip"),
        ("Sizes as CSV", lambda: to_csv(result()), f"{name}_slices.csv", "text/csv"),
        ("Masks as PNG", lambda: to_png(mask_pictures(result()), f"{name}_mask")[0], f"{name}_mask.{kind}", mime),
        (
            "Overlays as PNG",
            lambda: to_png(overlay_pictures(result()), f"{name}_overlay")[0],
            f"{name}_overlay.{kind}",
            mime,
        ),
    ]
    if can_be_dicom_seg(scan):
        offers.insert(1, ("Mask as DICOM-SEG", lambda: to_dicom_seg(result()), f"{name}_seg.dcm", "application/dicom"))
    with st.container(horizontal=True):
        for label, make, file_name, file_type in offers:
            st.download_button(
                label, make, file_name, file_type, icon=":material/download:", on_click="ignore", key=f"export_{label}"
            )


def _chosen_threshold(default: float) -> float:
    """The threshold where the viewer came to rest: the canvas tells it, the simple viewer has a slider for it."""
    if st.session_state.get("simple_viewer"):
        return float(st.session_state.get("threshold", default))
    view = (st.session_state.get("viewer") or {}).get("view") or {}
    return float(view.get("threshold", default))
