"""How every page starts, and what the server keeps for all visitors.

Nothing here belongs to one visitor. What is shared is either never changed after it was made (volumes, finished
segmentations, arrays are read-only) or guards itself with a lock (the segmenter, running segmentations); every
cache is bounded.
"""

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st

from unet.data.clinical import ClinicalRecord, read_clinical_table
from unet.data.patients import Patient, PatientSummary, find_data_root, list_patients, load_volume, summarise
from unet.data.slice_files import DataError
from unet.data.volume import Volume
from unet.inference.engines import InferenceError
from unet.inference.segmenter import RunningSegmentation, Segmentation, Segmenter, quick_precision
from unet.jobs import index, queue
from unet.preprocessing import IntensityStatistics, brain_mask, intensity_statistics
from unet.reports.results import shipped_reports as read_shipped_reports
from unet.weights.arrays import WeightsError
from unet.weights.network import DEFAULT_WEIGHTS, Weights, find_weights, shipped_names

MAX_VOLUMES = 24  # kept in memory, about 20 MB each
MAX_SEGMENTATIONS = 32  # about 10 MB each; a class of thirty may look at thirty patients


def start_page(title: str) -> None:
    """Set up a page. Every page begins with this, as a direct link may open it before the router has run."""
    st.set_page_config(page_title=f"{title} · Brain MRI", layout="wide")
    st.session_state.arrived = st.session_state.get("page") != title
    st.session_state.page = title


@st.cache_data(max_entries=8, ttl="1m", show_spinner="Looking for patients …")
def patients() -> tuple[Path, list[Patient], list[str]]:
    """Return the data folder, its patients and what is wrong with it; a new data set is seen within a minute.

    Raises:
        DataError: the folder that the host named holds no patients.
    """
    root = find_data_root()
    return root, *list_patients(root)


@st.cache_data(max_entries=8, show_spinner="Counting slices …")
def summaries(root: Path, patient_ids: tuple[str, ...]) -> dict[str, PatientSummary]:
    """Return what the patient finder shows, by patient id; reads every mask once."""
    _, found, _ = patients()
    chosen = [patient for patient in found if patient.patient_id in patient_ids]
    with ThreadPoolExecutor() as pool:
        return dict(zip([patient.patient_id for patient in chosen], pool.map(summarise, chosen), strict=True))


@st.cache_data(max_entries=8, ttl="1m", show_spinner=False)
def clinical_table(root: Path) -> tuple[dict[str, ClinicalRecord], str | None]:
    """Return the clinical table beside the patients, and what is wrong with it."""
    return read_clinical_table(root / "data.csv")


@st.cache_resource(max_entries=MAX_VOLUMES, ttl="1h", show_spinner="Reading slices …")
def volume(folder: Path, patient_id: str) -> tuple[Volume, str, np.ndarray]:
    """Return a patient's volume, its content hash and its brain mask, (slices, height, width) bool, estimated.

    Raises:
        DataError: no slice can be read.
    """
    _, found, _ = patients()
    patient = next(p for p in found if p.folder == folder and p.patient_id == patient_id)
    loaded = load_volume(patient)
    loaded.images.flags.writeable = loaded.expected_mask.flags.writeable = False
    return loaded, loaded.content_hash, brain_mask(loaded.images)


@st.cache_data(max_entries=MAX_VOLUMES, show_spinner=False)
def statistics(content_hash: str, _volume: Volume) -> IntensityStatistics:
    """Return what a volume's slices are normalised by."""
    return intensity_statistics(_volume.images)


@st.cache_resource(max_entries=4, show_spinner="Preparing the network; the first time takes a few seconds more …")
def segmenter(weights: Weights, precision: str | None = None) -> Segmenter:
    """Return the network, ready to run, one for all visitors; scores are published for the default precision."""
    return Segmenter(weights, precision=precision)


def quick_segmenter(weights: Weights) -> Segmenter:
    """Return the network for looking at."""
    return segmenter(weights, quick_precision(weights))


@st.cache_data(max_entries=1, ttl="1m", show_spinner=False)
def default_weights() -> Weights:
    """Return the shipped weights, their file checked once a minute and not at every click.

    Raises:
        WeightsError: they are missing, truncated or changed.
    """
    return find_weights(DEFAULT_WEIGHTS)


@st.cache_data(max_entries=1, ttl="1m", show_spinner=False)
def shipped_weights() -> dict[str, Weights]:
    """Return all shipped weights by name, the default first.

    Raises:
        WeightsError: some are missing, truncated or changed.
    """
    return {name: find_weights(name) for name in sorted(shipped_names(), key=lambda name: name != DEFAULT_WEIGHTS)}


@st.cache_data(max_entries=1, ttl="1m", show_spinner=False)
def shipped_reports() -> dict[str, dict[str, dict]]:
    """Return the evaluations beside the shipped weights, by name and split.

    Raises:
        DataError: one of them is no evaluation.
        WeightsError: as `shipped_weights`.
    """
    return {name: read_shipped_reports(weights.path.parent) for name, weights in shipped_weights().items()}


def choose_weights(pair: bool = True) -> tuple[Weights, Weights | None]:
    """Let the visitor choose shipped weights or an ended training run's, and others to put beside them.

    The links keep them as `weights=` and `beside=`. Only names from the list are taken, never a path. With nothing to
    choose from nothing is shown.

    Args:
        pair: whether there is room for a second network.

    Raises:
        WeightsError: they are missing, truncated or changed.
    """
    ended = {run.id: run for run in index.list_runs() if not run.active and run.has_weights}
    names = [*sorted(shipped_names(), key=lambda name: name != DEFAULT_WEIGHTS), *ended]

    def label(name: str | None) -> str:
        if name is None:
            return "nothing"
        return f"{ended[name].title} · {name}" if name in ended else f"{name} (shipped)"

    def load(name: str) -> Weights:
        if name == DEFAULT_WEIGHTS:
            return default_weights()
        if name in ended:
            return replace(queue.weights_of(ended[name]), name=ended[name].title)
        return shipped_weights()[name]

    _take_linked("weights", names, DEFAULT_WEIGHTS)
    if len(names) < 2:
        return default_weights(), None
    left, right = st.columns(2) if pair else (st, None)
    name = left.selectbox("Weights of the network", names, key="weights", format_func=label)
    keep_in_link("weights", None if name == DEFAULT_WEIGHTS else name)
    remember(weights=name)
    if not pair:
        return load(name), None
    _take_linked("beside", names, None)
    beside = right.selectbox(
        "Beside it",
        [None, *names],
        key="beside",
        format_func=label,
        placeholder="nothing",
        help='A second network for the viewer: choose "Two" panes there, then "This network | The other".',
    )
    keep_in_link("beside", beside)
    return load(name), load(beside) if beside not in (None, name) else None


def arrived() -> bool:
    """Whether the visitor has just opened this page, or come back to it: then the link decides, else their choices.

    A choice of the page before may still be in the session under the same key, where its widget no longer is.
    """
    return st.session_state.get("arrived", True)


def remember(**place: str | None) -> None:
    """Keep `patient`, `slice` or `weights` for the next page: Streamlit forgets a page's choices when another opens."""
    st.session_state.setdefault("place", {}).update(place)


def remembered(name: str) -> str | None:
    """Return what was kept under that name, or None."""
    return st.session_state.get("place", {}).get(name)


def keep_in_link(parameter: str, value: str | None) -> None:
    """Write a choice into the page's address, or take it out; only where it changed.

    Each write sends the address as the server knows it, and the viewer, which writes there too, may be ahead of it.
    """
    if value == st.query_params.get(parameter):
        return
    if value is None:
        del st.query_params[parameter]
    else:
        st.query_params[parameter] = value


def plain(text: str) -> str:
    """Keep what a file or a link is called from being read as Markdown."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+!|<>~$:" else letter for letter in text)


def _take_linked(parameter: str, names: list[str], usual: str | None) -> None:
    """Put what the link names into the session, once; a name that is not known here is said and left."""
    state = st.session_state
    if arrived() or parameter not in state:
        state[parameter] = st.query_params.get(parameter) or remembered(parameter) or usual
    if state[parameter] not in (*names, usual):
        st.warning(f"The link names the weights {plain(repr(state[parameter][:60]))}, which are not here any more.")
        state[parameter] = usual


class _Running:
    """Bounded store of segmentations, running or done, by content of the volume and of the weights."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, Weights], RunningSegmentation] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, Weights], network: Segmenter, images) -> RunningSegmentation:
        with self._lock:
            if key not in self._entries:
                self._entries[key] = RunningSegmentation(network, images)
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
            return self._entries[key]


@st.cache_resource(max_entries=1, show_spinner=False)
def _running() -> _Running:
    return _Running(MAX_SEGMENTATIONS)


def running_segmentation(loaded: Volume, content_hash: str, weights: Weights) -> RunningSegmentation:
    """Return the volume on its way through the network, or through it: one for all visitors."""
    return _running().get((content_hash, weights), quick_segmenter(weights), loaded.images)


def private_segmentation(loaded: Volume, content_hash: str, weights: Weights) -> RunningSegmentation:
    """Like `running_segmentation`, but kept in the visitor's session alone and gone with it."""
    own = st.session_state.setdefault("private_segmentation", _Running(1))
    return own.get((content_hash, weights), quick_segmenter(weights), loaded.images)


def segmentation(loaded: Volume, content_hash: str, weights: Weights | None = None) -> Segmentation:
    """Return what the network says about a volume, with a progress bar while it is being made, once for all.

    Args:
        weights: by default the ones that the app starts with.
    """
    running = running_segmentation(loaded, content_hash, weights or default_weights())
    show_progress(running)
    return running.result()


def show_progress(running: RunningSegmentation) -> None:
    """Run the network on what it has not seen yet, with a progress bar."""
    if running.progress < 1:
        bar = st.progress(running.progress, text="The network looks at every slice …")
        while not running.advance():
            bar.progress(running.progress, text=f"The network looks at every slice: {running.progress:.0%}")
        bar.empty()


PAGE_ERRORS = (DataError, InferenceError, WeightsError)  # their messages are written for people
