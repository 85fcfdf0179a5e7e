"""The predicted slices of one or two training runs in the slice viewer, epoch by epoch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from unet import overlay
from unet.data.splits import PHANTOM_PREFIX
from unet.data.volume import Volume
from unet.inference.segmentation import Segmentation
from unet.jobs.index import Run
from unet.language import mark, t
from unet.letterbox import Letterbox
from unet.preprocessing import brain_mask
from unet.training.previews import MAX_EPOCHS, Previews
from unet.weights.arrays import WeightsError
from views.viewer.parcels import segmentation_parcel, volume_parts
from views.viewer.simple_viewer import show_simple_viewer
from views.viewer.slice_viewer import (
    VOLUME_DESCRIPTION,
    VOLUME_PARCEL,
    attention_cells,
    offer_simple_viewer,
    show_canvas,
    simple_viewer_wanted,
)

MAX_RUNS = 4  # whose predictions are kept in memory, up to 14 MB each
NOT_KEPT = mark("{run} has no predicted slices to show. An older version of this app made it.")
UNREADABLE = mark("The predicted slices of {run} cannot be read. Resume the run, or start it again.")
NONE_YET = mark("{run} has no predicted slices yet.")


@dataclass(frozen=True, eq=False)
class Slices:
    """The slices of a run as the viewer takes them: grey values, each in its own window."""

    volume: Volume
    id: str
    brain: np.ndarray
    names: list[str]
    patients: list[str]


def show_previews(runs: dict[str, Run], by_heart: bool = False) -> None:
    """Show the slices of a run, or of two beside each other, as they were predicted after each epoch.

    Args:
        runs: by the name to show; the visitor chooses two where there are more.
        by_heart: whether these slices were learnt from.
    """
    found = {name: slices for name, run in runs.items() if (slices := _slices_of(name, run))}
    if not found:
        return
    names = list(found)
    if len(names) > 1:
        left, right = st.columns(2)
        name = left.selectbox(t("Left"), names, key="preview_left")
        same = [other for other in names if other != name and found[other].id == found[name].id]
        names = [name, *([right.selectbox(t("Right"), same, key="preview_right")] if same else [])]
        if not same:
            right.caption(t("No run was validated on the same slices, so there is nothing to compare."))
    slices = found[names[0]]
    start = {"slice": 1, "overlay": "Errors"}
    if len(names) > 1:
        start |= {"layout": "two", "pair": t("This network | The other")}
    if simple_viewer_wanted():
        _show_simply(names[0], runs[names[0]], slices, start)
    else:
        _show_epochs({name: runs[name] for name in names}, slices, start)
    offer_simple_viewer()
    patients = list(dict.fromkeys(slices.patients))
    kind = "phantoms" if all(patient.startswith(PHANTOM_PREFIX) for patient in patients) else "patients"
    kind = kind if by_heart else f"validation {kind}"
    st.caption(t("Slices with the largest lesion of the {kind} {patients}", kind=kind, patients=", ".join(patients)))


def _slices_of(name: str, run: Run) -> Slices | None:
    """The slices of a run that has predicted them at least once, else a word on why not."""
    previews = run.folder.previews
    try:
        if previews.epochs():
            return _slices(previews.path, previews.slices.stat().st_mtime_ns)
    except (OSError, WeightsError):
        pass
    st.caption(t(NONE_YET if run.active else NOT_KEPT, run=name))
    return None


@st.cache_resource(max_entries=MAX_RUNS * 2, show_spinner=False)
def _slices(path: Path, changed: int) -> Slices:
    kept = Previews(path).read_slices()
    images = np.empty_like(kept.images)
    for index, channel in np.ndindex(len(images), 3):  # of several patients: one window would leave some dark
        grey = kept.images[index, ..., channel]
        images[index, ..., channel] = overlay.to_display(grey, overlay.display_window(grey))
    images.flags.writeable = kept.expected_mask.flags.writeable = False
    count = len(images)
    volume = Volume("slices", images, kept.expected_mask, np.ones(count, bool), np.arange(1, count + 1))
    brain = np.concatenate([brain_mask(image[np.newaxis]) for image in kept.images])
    names = [
        t("{patient}, slice {number}", patient=p, number=n)
        for p, n in zip(kept.patients, kept.slice_numbers, strict=True)
    ]
    return Slices(volume, f"preview-{volume.content_hash[:16]}", brain, names, kept.patients)


def _show_epochs(runs: dict[str, Run], slices: Slices, start: dict) -> None:
    """All epochs at once in the canvas: going through them asks the server nothing."""
    side = slices.volume.images.shape[1]
    networks, parcels = (
        [],
        {
            f"volume {slices.id} {part[0]}": VOLUME_PARCEL["global"](slices.id, part, slices.volume, slices.brain)
            for part in volume_parts(slices.volume)
        },
    )
    for name, run in runs.items():
        epochs, sizes = [], set()
        for row in _kept(name, run):
            model_id = f"{run.id}-{row['epoch']}-{row['changed']}"
            try:
                path = run.folder.previews.path
                parcel, size = _epoch(path, row["epoch"], row["changed"], slices.id, model_id, side)
            except WeightsError:  # thinned out in between
                continue
            parcels[f"prediction {model_id}"] = parcel
            epochs.append(
                {**row, "id": model_id, "name": t("{name}, epoch {epoch}", name=name, epoch=row["epoch"]), "size": size}
            )
            sizes.add(size)
        cells = {size: attention_cells(Letterbox(side, side, size)) for size in sizes}
        if not epochs:
            st.caption(t(UNREADABLE, run=name))
            return
        networks.append({"id": run.id, "epochs": epochs, "cells": cells})
    description = {
        **VOLUME_DESCRIPTION["global"](slices.id, slices.volume),
        "threshold": 0.5,
        "model": networks[0],
        "other": networks[1] if len(networks) > 1 else None,
        "start": start,
        "names": slices.names,
    }
    show_canvas(description, parcels.items())


def _kept(name: str, run: Run) -> list[dict]:
    """The epochs that the run keeps, each with when it was written, so that a resumed run's replaces what was there."""
    dice = {int(row["epoch"]): row["validation_dice"] for row in run.folder.read_metrics()}
    rows = []
    for epoch in run.folder.previews.epochs():
        try:
            changed = run.folder.previews.epoch(epoch).stat().st_mtime_ns
        except OSError:
            continue
        words = t("{name}, epoch {epoch}", name=name, epoch=epoch) + (
            t(": volume Dice {dice:.3f}", dice=dice[epoch]) if epoch in dice else ""
        )
        rows.append({"epoch": epoch, "changed": str(changed), "engine": words})
    return rows


@st.cache_resource(max_entries=MAX_RUNS * MAX_EPOCHS, show_spinner=False)
def _epoch(path: Path, epoch: int, changed: str, volume_id: str, model_id: str, side: int) -> tuple[bytes, int]:
    """What one epoch says of the slices, for the browser, and the side that the network ran at."""
    segmentation = Previews(path).read_epoch(epoch, side)
    slices = len(segmentation.probability)
    return segmentation_parcel(segmentation, 0, slices, volume_id, model_id), segmentation.letterbox.size


def _show_simply(name: str, run: Run, slices: Slices, start: dict) -> None:
    """One epoch in Streamlit's own widgets; each is asked for."""
    rows = {row["epoch"]: row["engine"] for row in _kept(name, run)}
    epochs = list(rows)
    epoch = epochs[-1]
    if len(epochs) > 1:
        epoch = st.select_slider(t("After epoch"), epochs, epoch, key=f"epoch_{run.id}_{epoch}")
    st.markdown(rows[epoch])
    try:
        segmentation: Segmentation = run.folder.previews.read_epoch(epoch, slices.volume.images.shape[1])
    except WeightsError as error:
        st.caption(str(error))
        return
    show_simple_viewer(slices.volume, segmentation, slices.brain, 0.5, start, slices.names)
