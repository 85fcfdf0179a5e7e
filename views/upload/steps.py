"""The steps of the Upload page: the files, which sequence is what, how familiar it looks, what the network gets.

Everything about an upload lives in the visitor's session and goes with it; no shared cache ever sees it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from unet import overlay
from unet.data.volume import SEQUENCE_NAMES, Volume
from unet.language import t
from unet.letterbox import Letterbox
from unet.preprocessing import IntensityStatistics, brain_mask, intensity_statistics, normalise
from unet.scans.assemble import build_volume_and_mask
from unet.scans.domain_check import compare, warnings_of
from unet.scans.drawn_skull import DRAWN, network_images
from unet.scans.limits import MAX_UPLOAD_BYTES
from unet.scans.mapping import Channel, Mapping
from unet.scans.movement import moved_onto_flair
from unet.scans.scan import Scan
from unet.scans.slice_classifier import SliceKind, classify, doubts, is_stripped
from views.server.stored_files import contents_of
from views.shared import page
from views.shared.uploader import say_refusals
from views.upload.once import MADE, once
from views.upload.packing import pack_in_the_browser
from views.upload.reading import Reading, read_all, with_waiting
from views.upload.samples import chosen_sample, forget_sample, offer_samples, show_sample
from views.viewer.slice_viewer import forget_private


def pick_files() -> Reading | None:
    """Show the drop area; return what was read, once for each set of files, or None while there is nothing."""
    whole_folder = st.toggle(
        t("Choose a whole folder"),
        key="upload_folder",
        help=t("For a DICOM series of many files that are not in a zip."),
    )
    files = st.file_uploader(
        t(
            "Drop an MRI here: DICOM (files, folder or zip), NIfTI, NRRD, MHA, MGZ, TIFF, PNG, JPEG or HEIC, up to "
            "{gigabytes} GB together",
            gigabytes=MAX_UPLOAD_BYTES >> 30,
        ),
        accept_multiple_files="directory" if whole_folder else True,
        key=f"upload_files_{whole_folder}",
        help=t("Several sequences of one examination belong together: drop them at once."),
    )
    pack_in_the_browser()
    say_refusals()
    if files:
        forget_sample()
    sample = chosen_sample()
    if not files and not sample:
        _forget()
        offer_samples()
        return None
    if sample:
        show_sample(sample)
    ids = (sample.key,) if sample else tuple(file.file_id for file in files)
    reading: Reading | None = st.session_state.get("reading")

    def contents() -> list[tuple[str, bytes | Path]]:
        return [*sample.make()] if sample else [(file.name, contents_of(file)) for file in files]

    if reading is None or reading.ids != ids:
        _forget()
        with st.spinner(t("Reading the files …")):
            reading = read_all(ids, contents())
    if (wanted := st.session_state.pop("read_waiting", None)) in reading.waiting:
        with st.spinner(t("Reading the series …")):
            reading = with_waiting(reading, wanted, contents())
        _forget_what_was_made()
    st.session_state.reading = reading
    return reading


def _forget() -> None:
    """Drop everything about the last upload, so that nothing of it can stand beside the next one."""
    _forget_what_was_made()
    for name in ("reading", "segmented", "private_segmentation"):
        st.session_state.pop(name, None)
    forget_private()


def _forget_what_was_made() -> None:
    """Drop what was made of the scans, and what the visitor answered about them: their numbers may change."""
    for name in (*MADE, "upload_confirmed", "upload_aligned", "enlarged"):
        st.session_state.pop(name, None)


def show_problems(reading: Reading) -> None:
    """Say which files were left out, and why."""
    if reading.error:
        st.error(reading.error, title=t("This upload cannot be read"))
    elif reading.problems and not reading.scans:
        st.error("\n\n".join(map(page.plain, reading.problems[:20])), title=t("No file could be read"))
    elif reading.problems:
        with st.expander(t("Left out: {count}", count=len(reading.problems)), icon=":material/warning:", expanded=True):
            for problem in reading.problems[:50]:
                st.text(problem)
            if len(reading.problems) > 50:
                st.caption(t("and {count} more", count=len(reading.problems) - 50))


def volume_of(
    scans: list[Scan], mapping: Mapping, expected: Channel | None, aligned: bool
) -> tuple[Volume, list[str], str, np.ndarray, str]:
    """Return the volume, what was changed on the way, why its mask is not used, its brain mask and its content hash.

    It is built once per choice. A mask that cannot be used costs the score, not the picture.

    Args:
        scans: of the upload.
        mapping: which channel is used as which sequence.
        expected: the channel that is used as expected mask.
        aligned: whether sequences on which the head lies elsewhere are moved onto FLAIR.

    Raises:
        IngestError: the sequences do not fit together, or the picture is too small or too big.
    """

    def build() -> tuple[Volume, list[str], str, np.ndarray, str]:
        volume, notes, refusal = build_volume_and_mask(scans, mapping, expected)
        if aligned:
            volume, moved = moved_onto_flair(volume)
            notes += moved
        return volume, notes, refusal, brain_mask(volume.images), volume.content_hash

    return once("upload_volume", (mapping, expected, aligned, len(scans)), build)


def show_familiarity(volume: Volume, flair: Scan) -> list[str]:
    """Warn in plain words where the picture is unlike the training set, and show the measures; return the warnings."""
    kinds = _kinds(volume)
    seen = replace(volume, images=seen_by_network(volume))
    findings = once("upload_findings", volume.patient_id, lambda: compare(seen))
    warnings = [*doubts(kinds), *warnings_of(findings, flair)]
    if warnings:
        st.warning(
            "\n".join(f"- {warning}" for warning in warnings),
            title=t("Outside the training range: the mask may be wrong"),
            icon=":material/help:",
        )
    drawn = [t(DRAWN)] if is_stripped(kinds) else []
    for sentence in drawn:
        st.info(sentence, icon=":material/content_cut:")
    with st.expander(t("Domain check"), icon=":material/speed:"):
        st.caption(
            t(
                "Each measure is compared with its range in the 77 training patients. A value inside the "
                "range is no guarantee. A value outside is a strong warning."
            )
        )
        st.plotly_chart(
            _gauge(findings),
            config={"displayModeBar": False},
            alt="; ".join(
                t(
                    "{measure}: {value:.2f}, training {low:.2f} to {high:.2f}",
                    measure=one.name,
                    value=one.value,
                    low=one.low,
                    high=one.high,
                )
                for one in findings
            ),
        )
    return [*warnings, *drawn]


def _gauge(findings: list) -> go.Figure:
    """Every measure on the scale of its own training range, 0 to 1."""
    shown = [one for one in findings if np.isfinite(one.value)][::-1]
    scaled = [(one.value - one.low) / (one.high - one.low) for one in shown]
    figure = go.Figure()
    figure.add_vrect(x0=0, x1=1, fillcolor=f"rgb{overlay.EXPECTED_COLOUR}", opacity=0.25, line_width=0)
    figure.add_scatter(
        x=np.clip(scaled, -0.6, 1.6),
        y=[one.name for one in shown],
        mode="markers",
        marker={
            "size": 13,
            "symbol": ["diamond" if one.warning else "circle" for one in shown],
            "color": [
                f"rgb{overlay.PREDICTED_COLOUR if one.warning else overlay.TRUE_POSITIVE_COLOUR}" for one in shown
            ],
        },
        customdata=[(one.value, one.low, one.high) for one in shown],
        hovertemplate="%{customdata[0]:.2f}; training %{customdata[1]:.2f} to %{customdata[2]:.2f}<extra></extra>",
    )
    figure.update_layout(
        height=60 + 28 * max(1, len(shown)),
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        showlegend=False,
        xaxis={
            "range": [-0.7, 1.7],
            "tickvals": [0, 1],
            "ticktext": [t("lowest in training"), t("highest in training")],
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={"fixedrange": True},
    )
    return figure


def seen_by_network(volume: Volume) -> np.ndarray:
    """Return the pictures that the network is given, (slices, height, width, 3); see `network_images`."""
    return once("upload_seen", volume.patient_id, lambda: network_images(volume.images, _kinds(volume)))


def _kinds(volume: Volume) -> dict[int, SliceKind]:
    """What the slices of the volume on the page show, looked at once."""
    return once("upload_kinds", volume.patient_id, lambda: classify(volume.images))


def show_input(volume: Volume, size: int) -> None:
    """Show the very tensor that the network gets, slice by slice."""
    with st.expander(
        t("Network input: {size} × {size} × 3 numbers for each slice", size=size), icon=":material/grid_on:"
    ):
        count = len(volume)
        index = 0 if count == 1 else st.slider(t("Slice"), 1, count, count // 2 + 1, key="input_slice") - 1
        letterbox = Letterbox.of(volume.images.shape[1:], size)
        tensor = letterbox.forward(normalise(seen_by_network(volume)[index], _statistics(volume)))
        for column, name, values in zip(st.columns(3), SEQUENCE_NAMES, np.moveaxis(tensor, -1, 0), strict=True):
            picture = overlay.grey_to_rgb(overlay.to_display(values, (-2.5, 3.5)))
            column.image(picture, width="stretch", output_format="PNG", alt=t("{name} as network input", name=name))
            column.caption(
                t(
                    "{name}: {low:.2f} to {high:.2f}, mean {mean:.2f}",
                    name=name,
                    low=values.min(),
                    high=values.max(),
                    mean=values.mean(),
                )
            )
        st.caption(
            t(
                "Each slice is scaled into the network's square. Each sequence is shifted and scaled so "
                "that the head has mean 0 and standard deviation 1. Black is −2.5, white is 3.5."
            )
        )


def _statistics(volume: Volume) -> IntensityStatistics:
    """The statistics of the volume on the page, measured once."""
    return once("input_statistics", volume.patient_id, lambda: intensity_statistics(seen_by_network(volume)))
