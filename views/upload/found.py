"""What was found in an upload: each scan in words and thumbnails."""

import cv2
import numpy as np
import streamlit as st

from unet import overlay
from unet.language import t, tn
from unet.scans.limits import MAX_PICTURED
from unet.scans.scan import BURNED_IN, Scan
from unet.scans.stacking import can_be_stacked, stack_pictures
from views.shared import page
from views.upload.once import once

STRIP_SLICES, STRIP_SIDE = 7, 128  # thumbnails of a scan, and their height in pixels


def show_found(scans: list[Scan]) -> list[Scan]:
    """Show each scan in words and thumbnails; return them, joined into one stack if the visitor wants that."""
    if can_be_stacked(scans) and st.toggle(t("The pictures are slices of one stack, not sequences of one slice")):
        scans = once("upload_stacked", None, lambda: stack_pictures(scans, always=True))
    strips = once("upload_strips", len(scans), lambda: [thumbnails(scan) for scan in scans[:MAX_PICTURED]])
    if len(scans) > MAX_PICTURED:
        st.caption(t("Pictures are shown for the first {max_pictured} only.", max_pictured=MAX_PICTURED))
    for number, scan in enumerate(scans, start=1):
        with st.container(border=True):
            st.markdown(f"**{number}. {page.plain(scan.name)}** · **{taken_for(scan)}** · {describe(scan)}")
            if number <= MAX_PICTURED:
                st.image(
                    strips[number - 1], output_format="PNG", alt=t("Slices of {scan}, evenly spaced", scan=scan.name)
                )
            for note in scan.notes:
                if note == BURNED_IN:
                    st.warning(t(note), icon=":material/person_alert:")
                else:
                    st.caption(t(note))
    return scans


def taken_for(scan: Scan) -> str:
    """Say which sequence the name or the header of a scan states."""
    stated = tuple(guess for guess in scan.guesses if guess)
    if not stated:
        return t("sequence not stated")
    return t("taken for {sequence}", sequence=", ".join(map(t, stated)))


def describe(scan: Scan) -> str:
    """Say in one line what a scan is."""
    count, height, width, channel_count = scan.voxels.shape
    words = [
        scan.file_format,
        tn("{n} slice of {width} × {height}", "{n} slices of {width} × {height}", count, width=width, height=height),
    ]
    if channel_count > 1:
        words.append(t("{count} channels", count=channel_count))
    words.append(t("{depth} bit", depth=scan.bit_depth))
    if scan.modality:
        words.append(scan.modality)
    words.append(t(scan.plane or "orientation unknown"))
    if scan.spacing:
        depth, row, column = scan.spacing
        words.append(t("{column:.2f} × {row:.2f} mm, slices {depth:.2f} mm apart", column=column, row=row, depth=depth))
    else:
        words.append(t("size in millimetres unknown"))
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
