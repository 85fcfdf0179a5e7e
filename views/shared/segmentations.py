"""Segmentations of volumes, running or done, one for all visitors; uploads stay in their visitor's session."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import numpy as np
import streamlit as st

from unet.data.volume import Volume
from unet.inference.running import RunningSegmentation
from unet.inference.segmentation import Segmentation
from unet.inference.segmenter import Segmenter
from unet.language import t
from unet.weights.network import Weights
from views.shared.loaders import default_weights, quick_segmenter

MAX_SEGMENTATIONS = 32  # about 10 MB each; a class of thirty may look at thirty patients


def running_segmentation(loaded: Volume, content_hash: str, weights: Weights) -> RunningSegmentation:
    """Return the volume on its way through the network, or through it: one for all visitors."""
    return _running().get((content_hash, weights), quick_segmenter(weights), loaded.images)


def private_segmentation(images: np.ndarray, content_hash: str, weights: Weights) -> RunningSegmentation:
    """Like `running_segmentation`, but kept in the visitor's session alone and gone with it.

    Args:
        images: what the network is given of the volume, (slices, height, width, 3).
        content_hash: of that volume.
        weights: of the network.
    """
    own = st.session_state.setdefault("private_segmentation", _Running(1))
    return own.get((content_hash, weights), quick_segmenter(weights), images)


def slices_kept(content_hash: str, weights: Weights) -> int:
    """Return how many slices of an upload are segmented already: a visitor who stopped may go on."""
    kept: _Running | None = st.session_state.get("private_segmentation")
    running = kept.peek((content_hash, weights)) if kept else None
    return round(running.progress * running.slices) if running else 0


def segmentation(loaded: Volume, content_hash: str, weights: Weights | None = None) -> Segmentation:
    """Return what the network says about a volume, with a progress bar while it is being made, once for all.

    Args:
        loaded: the volume, read-only.
        content_hash: of that volume; results are kept by it.
        weights: by default the ones that the app starts with.
    """
    running = running_segmentation(loaded, content_hash, weights or default_weights())
    show_progress(running)
    return running.result()


def show_progress(running: RunningSegmentation, on_stop: Callable[[], None] | None = None) -> None:
    """Run the network on what it has not seen yet, with a progress bar.

    Streamlit ends the script at the next word to the browser, so a stop costs one slice at most and leaves the queue.

    Args:
        running: of a volume.
        on_stop: what a button *Stop* does before the page runs again; without it there is none.
    """
    if running.progress < 1:
        bar = st.progress(running.progress, text=t("Segmenting every slice …"))
        button = st.empty()
        if on_stop:
            button.button(t("Stop"), icon=":material/stop:", key="stop", on_click=on_stop)
        while not running.advance(on_wait=lambda before: bar.progress(running.progress, text=queue_text(before))):
            bar.progress(running.progress, text=t("Segmenting every slice: {progress:.0%}", progress=running.progress))
        bar.empty()
        button.empty()


def queue_text(before: int) -> str:
    """Return what a visitor waits for, and at which place.

    >>> queue_text(1)
    'Waiting for the network, which takes one slice at a time: 1 slice is before yours.'
    """
    slices = t("1 slice is") if before == 1 else t("{before} slices are", before=before)
    return t("Waiting for the network, which takes one slice at a time: {slices} before yours.", slices=slices)


class QueuePosition:
    """A line on the page that is there only while the network is at work for others."""

    def __init__(self) -> None:
        self._line = st.empty()

    def show(self, before: int) -> None:
        """Say how many slices are before this visitor's."""
        self._line.caption(queue_text(before))

    def clear(self) -> None:
        """Remove the line from the page; `show` may bring it back."""
        self._line.empty()


class StopButton:
    """A button that ends the segmentation of a volume for this visitor, and one that goes on with it.

    Args:
        volume_id: content hash; the choice is for this volume alone.
    """

    def __init__(self, volume_id: str) -> None:
        self._volume_id, self._place, self._shown = volume_id, st.empty(), False

    @property
    def stopped(self) -> bool:
        """Whether the visitor stopped this volume."""
        return st.session_state.get("stopped") == self._volume_id

    def show(self) -> None:
        """Offer to stop; a second call changes nothing."""
        if not self._shown:
            self._shown = True
            choose = partial(st.session_state.update, stopped=self._volume_id)
            self._place.button(t("Stop the segmentation"), icon=":material/stop:", key="stop_volume", on_click=choose)

    def finish(self, incomplete: bool) -> None:
        """Take the button away, or offer to go on where slices are left."""
        if not incomplete:
            self._place.empty()
            return
        self._place.button(
            t("Stopped: some slices have no mask. Continue"),
            icon=":material/play_arrow:",
            key="continue_volume",
            on_click=partial(st.session_state.pop, "stopped", None),
        )


class _Running:
    """Bounded store of segmentations, running or done, by content of the volume and of the weights."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, Weights], RunningSegmentation] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, Weights], network: Segmenter, images: np.ndarray) -> RunningSegmentation:
        with self._lock:
            if key not in self._entries:
                self._entries[key] = RunningSegmentation(network, images)
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
            return self._entries[key]

    def peek(self, key: tuple[str, Weights]) -> RunningSegmentation | None:
        with self._lock:
            return self._entries.get(key)


@st.cache_resource(max_entries=1, show_spinner=False)
def _running() -> _Running:
    return _Running(MAX_SEGMENTATIONS)
