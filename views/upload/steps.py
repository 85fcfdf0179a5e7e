"""The steps of the Upload page: what was found, which sequence is what, how familiar it looks, what the network gets.

Everything about an upload lives in the visitor's session and goes with it; no shared cache ever sees it.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import plotly.graph_objects as go
import streamlit as st

from unet import overlay
from unet.data.sequences import EXPECTED_MASK, OTHER
from unet.data.volume import FLAIR, POST_CONTRAST, PRE_CONTRAST, SEQUENCE_NAMES, Volume
from unet.inference.running import RunningSegmentation
from unet.inference.segmentation import Segmentation
from unet.letterbox import Letterbox
from unet.preprocessing import brain_mask, intensity_statistics, normalise
from unet.scans.assemble import Channel, Mapping, build_volume, channels, fits, same_grid, suggest, suggest_mask
from unet.scans.domain_check import compare, warnings_of
from unet.scans.limits import MAX_FILE_BYTES, MAX_UPLOAD_BYTES
from unet.scans.reader import stack_pictures
from unet.scans.sandbox import read_upload
from unet.scans.scan import BURNED_IN, IngestError, Scan
from views.shared import page
from views.viewer.slice_viewer import forget_private

STRIP_SLICES, STRIP_SIDE = 7, 128  # thumbnails of a scan, and their height in pixels
MISSING = Channel(-1, -1)  # stands for no channel, as Streamlit reads None as no choice made


@dataclass(frozen=True)
class Reading:
    """What came of reading an upload, under the ids that Streamlit gave its files."""

    ids: tuple[str, ...]
    scans: list[Scan]
    problems: list[str]
    error: str | None = None


def pick_files() -> Reading | None:
    """Show the drop area; return what was read, once for each set of files, or None while there is nothing."""
    whole_folder = st.toggle(
        "Choose a whole folder", key="upload_folder", help="For a DICOM series of many files without packing a zip."
    )
    files = st.file_uploader(
        f"Drop an MRI here: DICOM (files, folder or zip), NIfTI, TIFF, PNG or JPEG, up to {MAX_FILE_BYTES >> 20} MB a "
        f"file and {MAX_UPLOAD_BYTES >> 20} MB together",
        accept_multiple_files="directory" if whole_folder else True,
        key=f"upload_files_{whole_folder}",
        help="Several sequences of one examination belong together: drop them at once.",
    )
    st.caption(
        "A file marked red was turned away as it arrived: empty, too big, too much together, or none of these formats."
    )
    if not files:
        _forget()
        return None
    ids = tuple(file.file_id for file in files)
    reading: Reading | None = st.session_state.get("reading")
    if reading is None or reading.ids != ids:
        _forget()
        with st.spinner("Reading the files …"):
            try:
                reading = Reading(ids, *read_upload([(file.name, file.getvalue()) for file in files]))
            except IngestError as error:
                reading = Reading(ids, [], [], str(error))
        st.session_state.reading = reading
    return reading


def _forget() -> None:
    """Drop everything about the last upload, so that nothing of it can stand beside the next one."""
    for name in ("reading", "upload_volume", "input_statistics", "segmented", "private_segmentation"):
        st.session_state.pop(name, None)
    forget_private()


def show_problems(reading: Reading) -> None:
    """Say which files were left out, and why."""
    if reading.error:
        st.error(reading.error, title="This upload cannot be read")
    elif reading.problems and not reading.scans:
        st.error("\n\n".join(map(page.plain, reading.problems[:20])), title="Nothing here could be read")
    elif reading.problems:
        with st.expander(f"Left out: {len(reading.problems)}", icon=":material/warning:", expanded=True):
            for problem in reading.problems[:50]:
                st.text(problem)
            if len(reading.problems) > 50:
                st.caption(f"and {len(reading.problems) - 50} more")


def show_found(scans: list[Scan]) -> list[Scan]:
    """Show each scan in words and thumbnails; return them, joined into one stack if the visitor wants that."""
    joined = stack_pictures(scans, always=True)
    if len(joined) < len(scans) and st.toggle("The pictures are slices of one stack, not sequences of one slice"):
        scans = joined
    for number, scan in enumerate(scans, start=1):
        with st.container(border=True):
            st.markdown(f"**{number}. {page.plain(scan.name)}** · {describe(scan)}")
            st.image(thumbnails(scan), output_format="PNG", alt=f"Slices of {scan.name}, evenly spaced")
            for note in scan.notes:
                if note == BURNED_IN:
                    st.warning(note, icon=":material/person_alert:")
                else:
                    st.caption(note)
    return scans


def describe(scan: Scan) -> str:
    """Say in one line what a scan is."""
    count, height, width, channel_count = scan.voxels.shape
    words = [scan.file_format, f"{count} slice{'s' * (count > 1)} of {width} × {height}"]
    if channel_count > 1:
        words.append(f"{channel_count} channels")
    words.append(f"{scan.bit_depth} bit")
    if scan.modality:
        words.append(scan.modality)
    words.append(scan.plane or "orientation unknown")
    if scan.spacing:
        depth, row, column = scan.spacing
        words.append(f"{column:.2f} × {row:.2f} mm, slices {depth:.2f} mm apart")
    else:
        words.append("size in millimetres unknown")
    return " · ".join(words)


def thumbnails(scan: Scan) -> np.ndarray:
    """Return evenly spaced slices side by side, (height, width, 3) uint8, in their true proportions."""
    count, height, width = scan.voxels.shape[:3]
    _, row, column = scan.spacing or (1, 1, 1)
    shown = max(8, min(4 * STRIP_SIDE, round(STRIP_SIDE * width * column / (height * row))))
    chosen = np.unique(np.linspace(0, count - 1, min(STRIP_SLICES, count)).round().astype(int))
    colour = scan.voxels.shape[3] == 3
    step = max(1, min(height, width) // (4 * STRIP_SIDE))  # of a big picture a part will do, and saves memory
    values = scan.voxels[chosen, ::step, ::step, : 3 if colour else 1].astype(np.float32)
    window = scan.window or tuple(np.percentile(values, [0.5, 99.5]))
    pictures = [
        cv2.resize(overlay.to_display(one, window), (shown, STRIP_SIDE), interpolation=cv2.INTER_AREA) for one in values
    ]
    return np.hstack([one if one.ndim == 3 else overlay.grey_to_rgb(one) for one in pictures])


def pick_mapping(scans: list[Scan]) -> tuple[Mapping, Channel | None]:
    """Let the visitor say which sequence is what, and which is the expected mask, starting from the likeliest guess."""
    labels = channels(scans)
    suggested = suggest(scans)
    first = suggested[0]
    if len(suggested) > 1:
        number = st.selectbox(
            "Picture to look at",
            range(len(suggested)),
            format_func=lambda number: labels[suggested[number][FLAIR]],
            help="The upload holds more than one; the sequences below can be changed.",
        )
        first = suggested[number]
    columns = st.columns(4)
    key = f"{hash(st.session_state.reading.ids)}_{suggested.index(first)}_{len(scans)}"
    flair = columns[FLAIR].selectbox(
        "FLAIR", list(labels), index=list(labels).index(first[FLAIR]), format_func=labels.get, key=f"map_{key}_1"
    )
    chosen: list[Channel | None] = [None, flair, None]
    fitting = [channel for channel in labels if channel != flair and fits(scans[flair.scan], scans[channel.scan])]
    for number in (PRE_CONTRAST, POST_CONTRAST):
        picked = columns[number].selectbox(
            SEQUENCE_NAMES[number].capitalize(),
            [MISSING, *fitting],
            index=1 + fitting.index(first[number]) if first[number] in fitting else 0,
            format_func=lambda channel: labels.get(channel, "not there: use FLAIR"),
            key=f"map_{key}_{number}_{flair}",
        )
        chosen[number] = None if picked == MISSING else picked
    expected = _pick_expected_mask(columns[3], scans, tuple(chosen), f"map_{key}_mask_{flair}")
    if not any(set(scan.guesses) - {None, EXPECTED_MASK, OTHER} for scan in scans):
        st.caption("Neither names nor tags say which sequence this is: the choice above is a guess to check.")
    return tuple(chosen), expected


def _pick_expected_mask(column, scans: list[Scan], mapping: Mapping, key: str) -> Channel | None:
    """Let the visitor choose a mask on FLAIR's grid; say of one that is named so but lies elsewhere why it is not."""
    labels, flair = channels(scans), mapping[FLAIR]
    fitting = [one for one in labels if one not in mapping and same_grid(scans[flair.scan], scans[one.scan])]
    suggested = suggest_mask(scans, flair)
    picked = column.selectbox(
        "Expected mask",
        [MISSING, *fitting],
        index=1 + fitting.index(suggested) if suggested in fitting else 0,
        format_func=lambda channel: labels.get(channel, "none"),
        key=key,
        help="Drop a mask together with its pictures, of the same size and place as FLAIR: 0 outside the lesion, one "
        "value inside. It is shown beside the prediction and scored.",
    )
    for scan in scans:
        if EXPECTED_MASK in scan.guesses and not same_grid(scans[flair.scan], scan):
            st.caption(
                f"{page.plain(scan.name)} is named like a mask, but its slices are not those of FLAIR: it is not "
                "scored."
            )
    return None if picked == MISSING else picked


def volume_of(
    scans: list[Scan], mapping: Mapping, expected: Channel | None
) -> tuple[Volume, list[str], np.ndarray, str]:
    """Return the volume, what was changed on the way, its brain mask and its content hash; built once per choice.

    Raises:
        IngestError: the sequences do not fit together, or the picture is too small or too big.
    """
    key = st.session_state.reading.ids, mapping, expected, len(scans)
    kept = st.session_state.get("upload_volume")
    if kept is None or kept[0] != key:
        volume, notes = build_volume(scans, mapping, expected)
        kept = st.session_state.upload_volume = key, (volume, notes, brain_mask(volume.images), volume.content_hash)
    return kept[1]


def show_familiarity(volume: Volume, flair: Scan) -> list[str]:
    """Warn in plain words where the picture is unlike the training set, and show the measures; return the warnings."""
    findings = compare(volume)
    warnings = warnings_of(findings, flair)
    if warnings:
        st.warning(
            "\n".join(f"- {warning}" for warning in warnings),
            title="Unlike what the network learned from: do not trust the mask",
            icon=":material/help:",
        )
    with st.expander("How familiar it looks", icon=":material/speed:"):
        st.caption("Each measure beside the range of the 77 training patients. Inside says little; outside says a lot.")
        st.plotly_chart(
            _gauge(findings),
            config={"displayModeBar": False},
            alt="; ".join(f"{one.name}: {one.value:.2f}, training {one.low:.2f} to {one.high:.2f}" for one in findings),
        )
    return warnings


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
            "ticktext": ["lowest in training", "highest in training"],
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={"fixedrange": True},
    )
    return figure


def show_input(volume: Volume, size: int) -> None:
    """Show the very tensor that the network gets, slice by slice."""
    with st.expander(f"What the network gets: {size} × {size} × 3 numbers a slice", icon=":material/grid_on:"):
        count = len(volume)
        index = 0 if count == 1 else st.slider("Slice", 1, count, count // 2 + 1, key="input_slice") - 1
        letterbox = Letterbox.of(volume.images.shape[1:], size)
        tensor = letterbox.forward(normalise(volume.images[index], _statistics(volume)))
        for column, name, values in zip(st.columns(3), SEQUENCE_NAMES, np.moveaxis(tensor, -1, 0), strict=True):
            picture = overlay.grey_to_rgb(overlay.to_display(values, (-2.5, 3.5)))
            column.image(picture, width="stretch", output_format="PNG", alt=f"{name} as the network gets it")
            column.caption(f"{name}: {values.min():.2f} to {values.max():.2f}, mean {values.mean():.2f}")
        st.caption(
            "Scaled to the network's square, each sequence shifted and scaled so that the head has mean 0 and standard "
            "deviation 1. Black is −2.5, white 3.5."
        )


def _statistics(volume: Volume):
    """The statistics of the volume on the page, measured once."""
    kept = st.session_state.get("input_statistics")
    if kept is None or kept[0] != volume.patient_id:
        kept = st.session_state.input_statistics = volume.patient_id, intensity_statistics(volume.images)
    return kept[1]


class Mirrored:
    """A finished segmentation left for right; the viewer takes it for a running one that is done."""

    progress = 1.0

    def __init__(self, running: RunningSegmentation):
        seen = running.result()
        maps = tuple(level[..., ::-1] for level in seen.attention)
        self._result = replace(seen, probability=seen.probability[..., ::-1], attention=maps)
        self.slices, self.letterbox, self.engine_name = running.slices, running.letterbox, running.engine_name

    def advance(self, near: int = 0) -> bool:
        return True

    def part(self, first: int, end: int) -> Segmentation:
        return self._result.part(first, end)

    def result(self) -> Segmentation:
        return self._result


def mirrored(volume: Volume) -> Volume:
    """Return a volume left for right, for those who look at heads from behind (neurological convention)."""
    left, right, top, bottom = volume.geometry.edges
    geometry = replace(volume.geometry, edges=(right, left, top, bottom))
    images, expected = volume.images[:, :, ::-1], volume.expected_mask[:, :, ::-1]
    name = f"{volume.patient_id}_mirrored"  # pictures saved from the viewer are left for right, and say so
    return replace(volume, patient_id=name, images=images, expected_mask=expected, geometry=geometry)
