"""What the server reads once for all visitors: patients, volumes, networks, reports.

Nothing here belongs to one visitor. What is shared is never changed after it was made (arrays are read-only), or guards
itself with a lock (the segmenter); every cache is bounded.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import streamlit as st

from unet.data.clinical import ClinicalRecord, read_clinical_table
from unet.data.patients import Patient, PatientSummary, find_data_root, list_patients, load_volume, summarise
from unet.data.volume import Volume
from unet.inference.segmenter import Segmenter, quick_precision
from unet.language import mark
from unet.preprocessing import IntensityStatistics, brain_mask, intensity_statistics
from unet.reports.results import shipped_reports as read_shipped_reports
from unet.weights.network import DEFAULT_WEIGHTS, Weights, find_weights, shipped_names

MAX_VOLUMES = 24  # kept in memory, about 20 MB each


@st.cache_data(max_entries=8, ttl="1m", show_spinner=mark("Looking for patients …"))
def patients() -> tuple[Path, list[Patient], list[str]]:
    """Return the data folder, its patients and what is wrong with it; a new data set is seen within a minute.

    Raises:
        DataError: the folder that the host named holds no patients.
    """
    root = find_data_root()
    return root, *list_patients(root)


def _files(patient: Patient) -> tuple:
    """Return what tells one patient's files from another's in a cache."""
    return str(patient.folder), patient.patient_id, sorted(patient.images), sorted(patient.masks)


@st.cache_data(max_entries=8, show_spinner=mark("Counting slices …"), hash_funcs={Patient: _files})
def summaries(found: list[Patient]) -> dict[str, PatientSummary]:
    """Return what the patient finder shows, by patient id; reads every mask once."""
    with ThreadPoolExecutor() as pool:
        return dict(zip([patient.patient_id for patient in found], pool.map(summarise, found), strict=True))


@st.cache_data(max_entries=8, ttl="1m", show_spinner=False)
def clinical_table(root: Path) -> tuple[dict[str, ClinicalRecord], str | None]:
    """Return the clinical table beside the patients, and what is wrong with it."""
    return read_clinical_table(root / "data.csv")


@st.cache_resource(
    max_entries=MAX_VOLUMES, ttl="1h", show_spinner=mark("Reading slices …"), hash_funcs={Patient: _files}
)
def volume(patient: Patient) -> tuple[Volume, str, np.ndarray]:
    """Return a patient's volume, its content hash and its brain mask, (slices, height, width) bool, estimated.

    Raises:
        DataError: no slice can be read.
    """
    loaded = load_volume(patient)
    loaded.images.flags.writeable = loaded.expected_mask.flags.writeable = False
    return loaded, loaded.content_hash, brain_mask(loaded.images)


@st.cache_data(max_entries=MAX_VOLUMES, show_spinner=False)
def statistics(content_hash: str, _volume: Volume) -> IntensityStatistics:
    """Return what a volume's slices are normalised by."""
    return intensity_statistics(_volume.images)


@st.cache_resource(max_entries=4, show_spinner=mark("Preparing the network; the first time takes a few seconds more …"))
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
