"""The slice viewer: one patient, slice by slice, what the network says of it and where its attention gates look.

It lives in the browser (`js/`): the server sends pictures and predictions once, in parcels, and hears where
the view came to rest. The simple viewer in Streamlit's own widgets is a toggle away.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.components.v2 import component
from streamlit.runtime.caching.cache_utils import CachedFunc

from unet import overlay
from unet.data.volume import Volume
from unet.inference.engines import ATTENTION_LEVELS
from unet.inference.running import RunningSegmentation
from unet.language import mark, t
from unet.letterbox import Letterbox
from unet.scans.placement import DISPLAYS
from unet.scans.scan import OPPOSITE
from unet.weights.network import Weights
from views.shared.browser_state import viewer_state
from views.shared.loaders import MAX_VOLUMES
from views.shared.segmentations import MAX_SEGMENTATIONS, QueuePosition, StopButton, show_progress
from views.viewer.parcels import PARCEL_SLICES, parcel_order, prediction_parcel, volume_parcel, volume_parts
from views.viewer.simple_viewer import show_simple_viewer
from views.viewer.slices import CHANNELS, LEVEL_MEANINGS, PROBABILITY_MEANING, SLICE_ORDER, linked_slice, window
from views.viewer.words import viewer_words

_FOLDER = Path(__file__).with_name("js")
_YOURS_COLOUR = (240, 228, 66)  # Okabe and Ito's yellow, for what the visitor draws
_ASSUMED_SPACING = (5.0, 1.0, 1.0)  # where no header says: drawn like this, never measured with
_MAX_PRIVATE = 2  # an upload as it is, and mirrored
_MAX_PARTS = 64  # of the largest volume that is accepted; those of the data set have 1 to 5
_PLANES = {  # of the slices, then what cuts through their rows and what cuts through their columns
    "axial": ("axial", "coronal", "sagittal"),
    "coronal": ("coronal", "axial", "sagittal"),
    "sagittal": ("sagittal", "axial", "coronal"),
    None: (mark("slice"), mark("through the rows"), mark("through the columns")),
}


_SCRIPTS = (  # in the order of their use
    "words", "components", "store", "drawing", "outline", "pane", "pointer", "window", "labels",
    "controls", "panels", "link", "lesion", "epochs", "stage", "telling", "leaving", "viewer",
)  # fmt: skip


_SENT_IN_ENGLISH = (
    *SLICE_ORDER.values(),
    *(name for names in _PLANES.values() for name in names),
    *LEVEL_MEANINGS.values(),
    PROBABILITY_MEANING,
)


def _joined(*names: str) -> str:
    """The scripts are plain files joined in this order: no build step, and each can be read by itself."""
    return "\n".join((_FOLDER / f"{name}.js").read_text("utf-8") for name in names)


_viewer = component(
    "slice_viewer",
    html=(_FOLDER / "viewer.html").read_text("utf-8"),
    css=(_FOLDER / "viewer.css").read_text("utf-8"),
    js=_joined(*_SCRIPTS, "main"),
)
_parcel = component("slice_viewer_parcel", js=_joined("words", "components", "store", "parcel"))


def show_viewer(
    volume: Volume,
    volume_id: str,
    brain: np.ndarray,
    network: tuple[Weights, RunningSegmentation],
    other: tuple[Weights, RunningSegmentation] | None = None,
    private: bool = False,
    start: dict | None = None,
) -> None:
    """Show a volume, running the network on the slices it has not seen, from the visible one outward.

    No fragment: the canvas speaks up by itself when the view has come to rest. Where that falls together with a choice
    elsewhere on the page, Streamlit's browser side runs the fragment alone, and the choice is lost.

    Args:
        volume: read-only.
        volume_id: its content hash.
        brain: (slices, height, width) bool, estimated.
        network: the weights, and that volume on its way through them; finished or not.
        other: a second network to put beside the first.
        private: whether the volume is the visitor's own: no cache that others share may hold it.
        start: where to begin, in the words of a link, such as `{"slice": 14, "overlay": "Errors"}`; by default the
            page's own address says so, and is kept such that it opens the view.
    """
    weights, _ = network
    if simple_viewer_wanted():
        _show_simple_viewer(volume, brain, network, start, private)
    else:
        scope = "session" if private else "global"
        description = {
            **VOLUME_DESCRIPTION[scope](volume_id, volume),
            "threshold": weights.threshold,
            "model": _model_description(*network),
            "other": _model_description(*other) if other else None,
            "start": start,
            "names": None,
            "comes_into_view": private,  # an upload stands below its own cards, out of sight on a phone
            "heard": {name: part for name, part in viewer_state().items() if name != "threshold"},
        }
        opened_at = start["slice"] - 1 if start else _opened_at(volume_id, len(volume))
        networks = [one for one in (network, other) if one]
        show_canvas(description, _parcels(volume, volume_id, brain, networks, opened_at, scope))
    offer_simple_viewer()


@st.fragment  # its widgets are many, and speak only when somebody touches them
def _show_simple_viewer(
    volume: Volume, brain: np.ndarray, network: tuple[Weights, RunningSegmentation], start: dict | None, private: bool
) -> None:
    weights, running = network
    show_progress(running)
    own = start is None and not private
    show_simple_viewer(volume, running.result(), brain, weights.threshold, start, remembered=own)


def simple_viewer_wanted() -> bool:
    """Whether the visitor, or the link, asks for Streamlit's own widgets instead of the canvas."""
    return st.session_state.get("simple_viewer", st.query_params.get("simple_viewer") == "true")


def offer_simple_viewer() -> None:
    """Show the toggle between the two viewers."""
    st.toggle(
        t("Simple viewer"),
        key="simple_viewer",
        bind="query-params",
        help=t("Standard widgets instead of the canvas. Slower, but every control is a standard one."),
    )


def viewed_slice(volume_id: str) -> str | None:
    """Return the number of the slice on the canvas, from 1, as a link names it; None where it has yet to rest."""
    view = viewer_state()
    return str(view["slice"] + 1) if "slice" in view and view.get("volume") == volume_id else None


def show_canvas(description: dict, parcels: Iterable[tuple[str, bytes]]) -> None:
    """Show the viewer and send it what it needs.

    Args:
        description: as `VOLUME_DESCRIPTION` returns it, and which networks have looked at the volume.
        parcels: by keys that differ; in the order in which they are to arrive.
    """
    _viewer(key="viewer", data={**description, "words": viewer_words(_SENT_IN_ENGLISH)}, on_view_change=lambda: None)
    with st.container(gap=None):  # parcels have no looks, and must take no room
        for key, parcel in parcels:
            _parcel(key=key, data=parcel)


def _parcels(
    volume: Volume,
    volume_id: str,
    brain: np.ndarray,
    networks: list[tuple[Weights, RunningSegmentation]],
    opened_at: int,
    scope: str,
) -> Iterator[tuple[str, bytes]]:
    """The volume, then what each network says of it, from the visible slice outward, as soon as it has said it."""
    for part in volume_parts(volume):
        yield f"volume {volume_id} {part[0]}", VOLUME_PARCEL[scope](volume_id, part, volume, brain)
    position, stop, left = QueuePosition(), StopButton(volume_id), 0
    for weights, running in networks:
        for first in parcel_order(len(volume), opened_at):
            end = min(first + PARCEL_SLICES, len(volume))
            if running.part(first, end) is None:
                if stop.stopped:
                    left += 1
                    continue
                stop.show()
            # here, as a cached function must show nothing
            running.part_when_done(first, end, position.show)
            position.clear()
            parcel = _PREDICTION_PARCEL[scope](volume_id, weights.key, first, running)
            yield f"prediction {volume_id} {weights.key} {first}", parcel
    stop.finish(left > 0)


def _opened_at(volume_id: str, slices: int) -> int:
    """Return the slice that this visitor opened the volume on: parcels keep their order while they look at it."""
    state = st.session_state
    if state.get("opened", ("", 0))[0] != volume_id:
        another = "opened" in state
        linked = None if another else linked_slice(slices)
        state.opened = volume_id, linked - 1 if linked else slices // 2
    return state.opened[1]


def _cached(
    cache: Callable[..., CachedFunc], function: Callable[..., object], max_entries: int, private_entries: int
) -> dict[str, CachedFunc]:
    """The function with a cache for all visitors, and with one that lives and dies with a session."""
    scopes = {"global": max_entries, "session": private_entries}
    return {scope: cache(function, max_entries=n, show_spinner=False, scope=scope) for scope, n in scopes.items()}


def _volume_parcel(volume_id: str, part: tuple[int, int], _volume: Volume, _brain: np.ndarray) -> bytes:
    return volume_parcel(_volume, volume_id, _brain, part)


def _prediction_parcel(volume_id: str, model_id: str, first: int, _running: RunningSegmentation) -> bytes:
    return prediction_parcel(_running, first, volume_id, model_id)


def _model_description(weights: Weights, running: RunningSegmentation) -> dict:
    return {
        "id": weights.key,
        "name": weights.name,
        "engine": f"{weights.name}, {running.engine_name}",
        "cells": attention_cells(running.letterbox),
    }


def attention_cells(letterbox: Letterbox) -> list[dict]:
    """Return for each level in which cell of the attention map the rows and the columns of a slice are."""
    cells = [letterbox.cells(letterbox.size >> level) for level in ATTENTION_LEVELS]
    return [{"rows": rows.tolist(), "columns": columns.tolist()} for rows, columns in cells]


def _volume_description(volume_id: str, _volume: Volume) -> dict:
    """Return what the viewer needs beside the arrays; equal at every rerun, so that it is sent once."""
    volume = _volume
    return {
        "volume": volume_id,
        "patient": volume.patient_id,
        "shape": volume.images.shape[:3],
        "slice_numbers": volume.slice_numbers.tolist(),
        "spacing": volume.geometry.spacing,
        "assumed_spacing": _ASSUMED_SPACING,
        "edges": volume.geometry.edges,
        "slice_order": SLICE_ORDER[volume.geometry.plane] if len(volume) > 1 else "",
        "slice_ends": _slice_ends(volume.geometry.plane),
        "planes": _PLANES[volume.geometry.plane],
        "has_expected": bool(volume.has_mask.any()),
        "windows": {"RGB" if which is None else which: window(volume, name) for name, which in CHANNELS.items()},
        "meanings": {
            **{f"Attention {level}": words for level, words in LEVEL_MEANINGS.items()},
            "Probability": PROBABILITY_MEANING,
        },
        "palette": {
            "predicted": overlay.PREDICTED_COLOUR,
            "expected": overlay.EXPECTED_COLOUR,
            "found": overlay.TRUE_POSITIVE_COLOUR,
            "falsePositive": overlay.FALSE_POSITIVE_COLOUR,
            "missed": overlay.FALSE_NEGATIVE_COLOUR,
            "yours": _YOURS_COLOUR,
            "scale": overlay.colour_map(np.arange(256)[np.newaxis] / 255).ravel().tolist(),
        },
    }


def _slice_ends(plane: str | None) -> tuple[str, str] | None:
    """Letters of what lies beyond the first and the last slice."""
    return (OPPOSITE[DISPLAYS[plane][0]], DISPLAYS[plane][0]) if plane else None


def forget_private() -> None:
    """Drop what was kept for this visitor alone."""
    for kept in (VOLUME_PARCEL, _PREDICTION_PARCEL, VOLUME_DESCRIPTION):
        kept["session"].clear()


VOLUME_PARCEL = _cached(st.cache_resource, _volume_parcel, MAX_VOLUMES, _MAX_PRIVATE * _MAX_PARTS)
_PREDICTION_PARCEL = _cached(st.cache_resource, _prediction_parcel, MAX_SEGMENTATIONS * 8, MAX_SEGMENTATIONS * 8)
VOLUME_DESCRIPTION = _cached(st.cache_data, _volume_description, MAX_VOLUMES, _MAX_PRIVATE)
