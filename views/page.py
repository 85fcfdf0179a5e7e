"""How every page starts, and what the server keeps for all visitors.

Nothing here belongs to one visitor. What is shared is either never changed after it was made (volumes, finished
segmentations, arrays are read-only) or guards itself with a lock (the segmenter, running segmentations); every
cache is bounded.
"""

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import streamlit as st

from unet import jobs, run_index
from unet.clinical import ClinicalRecord, read_clinical_table
from unet.data import DataError, Patient, PatientSummary, Volume, find_data_root, list_patients, load_volume, summarise
from unet.engines import InferenceError
from unet.inference import RunningSegmentation, Segmentation, Segmenter
from unet.preprocessing import brain_mask
from unet.weights import DEFAULT_WEIGHTS, WEIGHTS_FOLDER, Weights, WeightsError, find_weights

MAX_VOLUMES = 24  # kept in memory, about 7 MB each; a class of thirty looks at a handful of patients
MAX_SEGMENTATIONS = 48  # about 5 MB each


def start_page(title: str, icon: str) -> None:
    """Set up a page. Every page begins with this, as a direct link may open it before the router has run."""
    st.set_page_config(page_title=f"{title} · Brain MRI", page_icon=icon, layout="wide")


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


@st.cache_resource(max_entries=4, show_spinner="Preparing the network; the first time takes a few seconds more …")
def segmenter(weights: Weights) -> Segmenter:
    """Return the network, ready to run, one for all visitors."""
    return Segmenter(weights)


@st.cache_data(max_entries=1, ttl="1m", show_spinner=False)
def default_weights() -> Weights:
    """Return the shipped weights, their file checked once a minute and not at every click.

    Raises:
        WeightsError: they are missing, truncated or changed.
    """
    return find_weights(DEFAULT_WEIGHTS)


def shipped_weights() -> list[str]:
    """Return the names in `weights/`, the default first."""
    names = {path.parent.name for path in WEIGHTS_FOLDER.glob("*/config.json")}
    return sorted(names, key=lambda name: (name != DEFAULT_WEIGHTS, name))


def choose_weights() -> Weights:
    """Let the visitor choose shipped weights or those of an ended training run; the link keeps it as `weights=`.

    Only names from the list are taken, never a path. With nothing to choose from nothing is shown.

    Raises:
        WeightsError: they are missing, truncated or changed.
    """
    ended = {run.id: run for run in run_index.list_runs() if not run.active and run.has_weights}
    names = [*shipped_weights(), *ended]
    state = st.session_state
    if "weights" not in state:
        state.weights = st.query_params.get("weights", DEFAULT_WEIGHTS)
    if state.weights not in names:
        if state.weights != DEFAULT_WEIGHTS:
            st.warning(f"The link names the weights {state.weights[:60]!r}, which are not here any more.")
        state.weights = DEFAULT_WEIGHTS
    if len(names) < 2:
        return default_weights()
    name = st.selectbox(
        "Weights of the network",
        names,
        key="weights",
        format_func=lambda name: f"{ended[name].title} · {name}" if name in ended else f"{name} (shipped)",
    )
    if name == DEFAULT_WEIGHTS:
        st.query_params.pop("weights", None)
        return default_weights()
    st.query_params["weights"] = name
    return jobs.weights_of(ended[name]) if name in ended else find_weights(name)


class _Running:
    """Bounded store of segmentations, running or done, by content of the volume and of the weights."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, str], RunningSegmentation] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str], network: Segmenter, images) -> RunningSegmentation:
        with self._lock:
            if key not in self._entries:
                self._entries[key] = RunningSegmentation(network, images)
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
            return self._entries[key]


@st.cache_resource(show_spinner=False)
def _running() -> _Running:
    return _Running(MAX_SEGMENTATIONS)


def segmentation(loaded: Volume, content_hash: str, weights: Weights | None = None) -> Segmentation:
    """Return what the network says about a volume, with a progress bar while it is being made, once for all."""
    weights = weights or default_weights()
    network = segmenter(weights)
    running = _running().get((content_hash, weights.sha256), network, loaded.images)
    if running.progress < 1:
        bar = st.progress(running.progress, text="The network looks at every slice …")
        while not running.advance():
            bar.progress(running.progress, text=f"The network looks at every slice: {running.progress:.0%}")
        bar.empty()
    return running.result()


PAGE_ERRORS = (DataError, InferenceError, WeightsError)  # their messages are written for people
