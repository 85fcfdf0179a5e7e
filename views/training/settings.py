"""Every setting of a training run: what a preset fills in and a visitor may change."""

from pathlib import Path
from typing import Any

import streamlit as st

from unet.data.patients import Patient, list_patients
from unet.data.slice_files import DataError
from unet.data.splits import published_splits, split_of
from unet.jobs.limits import Limits, offered_folders
from unet.jobs.request import Request
from unet.language import mark, t
from unet.paths import DEMO_FOLDER
from unet.training.augmentation import Augmentation
from unet.training.config import LOSS_NAMES, SCHEDULES, TrainingConfig, augmentation_without
from unet.training.sampling import split_patients
from views.shared import loaders
from views.shared.browser_state import one_of
from views.training.network_choice import pick_network
from views.training.presets import (
    AUGMENTATION_LABELS,
    FIRST,
    LOSS_LABELS,
    PRESETS,
)
from views.training.upload import UPLOAD, ask_for_slices


def recall_settings() -> None:
    """Put back what Streamlit forgets: the value of every widget that the last run of the page did not draw."""
    state = st.session_state
    kept = state.setdefault("settings_kept", {})
    for key in ("preset", *(f"train_{name}" for name in FIRST)):
        if key in state:
            kept[key] = state[key]
        elif key in kept:
            state[key] = kept[key]


def take_preset() -> None:
    """Fill in what the chosen preset says, and for everything else what is usual."""
    state = st.session_state
    preset = PRESETS[one_of(state.preset, PRESETS)]
    for name, value in {**FIRST, **preset["values"]}.items():
        state[f"train_{name}"] = value
    sources = _sources()
    if state.train_data == "best":  # the real patients where there are any
        state.train_data = next(iter(sources))
    state.train_data = state.train_data if state.train_data in sources else "demo"
    _forget_counts()


def _forget_counts() -> None:
    """Take all patients of the data chosen now."""
    for name in ("train_training", "train_validation"):
        st.session_state.pop(name, None)


@st.cache_data(max_entries=1, ttl="1m", show_spinner=False)
def _sources() -> dict[str, tuple[str, Path | None]]:
    """Return where patients may come from: key, name on screen, folder; only what the host offers, no typed path."""
    sources = {}
    try:
        root, found, _ = loaders.patients()
        root = root.resolve()  # a run does not start in the folder that the server was started in
        if root != DEMO_FOLDER:
            real = any(split_of(patient.patient_id) != "unseen" for patient in found)
            sources["found"] = (t("LGG data set") if real else root.name, root)
    except DataError:
        pass  # Explore says what is wrong with it; the phantoms are still there
    sources["demo"] = (t("Phantoms (synthetic)"), DEMO_FOLDER)
    for folder in offered_folders():
        sources[str(folder)] = (folder.name, folder)
    sources[UPLOAD] = (t("Your own slices with masks"), None)
    return sources


@st.cache_data(max_entries=8, ttl="1m", show_spinner=False)
def _patients_in(folder: Path) -> list[Patient]:
    return list_patients(folder)[0]


def show_settings(limits: Limits) -> Request | None:
    """Show every setting and return what they ask for, or None where something is missing."""
    left, middle, right = st.columns(3, gap="medium")
    with left:
        who = _pick_patients(limits)
    with middle:
        settings = {**pick_network(limits), **_pick_length(limits)}
    with right:
        settings |= _pick_recipe()
    chosen = st.pills(
        t("Augmentation"), list(AUGMENTATION_LABELS), selection_mode="multi", key="train_augmentation",
        format_func=lambda name: t(AUGMENTATION_LABELS[name]), wrap=True,
        help=t("The view Augmentation shows the effect of each."),
    )  # fmt: skip
    if who is None:
        return None
    try:
        return Request(st.session_state.preset, TrainingConfig(**settings, augmentation=_augmentation(chosen)), **who)
    except ValueError as error:
        st.error(str(error), title=t("These settings do not work"))
        return None


def _pick_patients(limits: Limits) -> dict[str, Any] | None:
    """Choose patients; return those fields of a `Request`, or None where something is missing."""
    sources = _sources()
    source = st.selectbox(
        t("Patients"),
        list(sources),
        key="train_data",
        format_func=lambda key: sources[key][0],
        on_change=_forget_counts,
    )
    folder = sources[source][1]
    try:
        patients = ask_for_slices() if folder is None else _patients_in(folder)
    except DataError as error:
        st.error(str(error), title=t("These patients cannot be used"))
        return None
    if not patients:
        return None
    overfit = _pick_overfit(patients)
    training, validation = (None, None) if overfit else _pick_counts(patients, limits)
    if not overfit and training is None:
        return None
    return {
        "data": folder or Path("uploaded"),  # its place is known when the run starts
        "training_patients": training,
        "validation_patients": validation,
        "overfit_patient": overfit,
    }


def _pick_length(limits: Limits) -> dict[str, Any]:
    """Choose when the run ends; return it as settings."""
    state = st.session_state
    length = st.segmented_control(
        t("Length in"), [mark("slices"), mark("epochs"), mark("minutes")], key="train_length", required=True,
        format_func=t,
        help=t("The same number of slices or epochs gives the same run on any computer; the same "
"minutes do not."),
    )  # fmt: skip
    if length == "slices":
        draws = t("Each draw counts; the same slice is drawn many times.")
        slices = st.number_input(t("Slices"), 1, 10_000_000, key="train_slices", step=1000, help=draws)
        return {"slices": slices, "minutes": limits.minutes}
    if length == "epochs":
        return {"epochs": st.number_input(t("Epochs"), 1, 1000, key="train_epochs"), "minutes": limits.minutes}
    longest = max(0.1, limits.minutes or 24 * 60.0)
    state.train_minutes = min(state.train_minutes, longest)
    return {"minutes": st.number_input(t("Minutes"), 0.1, longest, key="train_minutes")}


def _pick_recipe() -> dict[str, Any]:
    """Choose how the network is trained; return it as settings."""
    rate = st.number_input(
        t("Learning rate, peak"),
        1e-6,
        1e-1,
        key="train_rate",
        format="%.5f",
        step=1e-4,
        help=t("For AdamW. Wide networks need less: 0.0005 from 64 filters."),
    )
    schedule = one_of(
        st.segmented_control(t("Schedule"), SCHEDULES, key="train_schedule", required=True, format_func=t), SCHEDULES
    )
    loss = st.selectbox(
        t("Loss"), LOSS_NAMES, key="train_loss", format_func=lambda name: t(LOSS_LABELS[name]),
        help=t("The quantity that training minimises. Dice slice by slice gives small and large lesions "
"equal weight. Focal Tversky counts a missed pixel more than a false positive."),
    )  # fmt: skip
    batch = st.number_input(t("Slices in a batch"), 1, 64, key="train_batch")
    epoch_slices = st.number_input(
        t("Slices in an epoch"),
        0,
        100_000,
        key="train_epoch_slices",
        step=32,
        help=t("0: as many as the training patients have."),
    )
    return {
        "learning_rate": rate,
        "schedule": schedule,
        "loss": loss,
        "batch_size": batch,
        "epoch_slices": epoch_slices or None,
        "seed": st.number_input(t("Seed"), 0, 2**31 - 1, key="train_seed"),
    }


def _augmentation(chosen: list[str]) -> Augmentation:
    return augmentation_without([name for name in AUGMENTATION_LABELS if name not in chosen])


def _pick_overfit(patients: list[Patient]) -> str | None:
    """Offer to overfit a single patient; test patients are never offered."""
    ids = [p.patient_id for p in patients if p.masks and p.patient_id not in published_splits()["test"]]
    learn = [id_ for id_ in ids if split_of(id_) != "validation"] or ids
    if st.session_state.train_overfit not in (None, *learn):
        st.session_state.train_overfit = learn[0] if learn else None
    none = t("no: validate on other patients")
    return st.selectbox(t("Overfit one patient"), learn, index=None, key="train_overfit", placeholder=none)


def _pick_counts(patients: list[Patient], limits: Limits) -> tuple[int | None, int | None]:
    """Show how many patients there are for each purpose; the two groups never share one."""
    try:
        learn, judge = split_patients(patients, 0)
    except DataError as error:
        st.error(str(error), title=t("No training patients"))
        return None, None
    if not judge or not learn:
        st.error(
            t("Training needs at least two patients. Add another one, or choose this one under “Overfit one patient”.")
        )
        return None, None
    together = not any(split_of(p.patient_id) in ("training", "validation", "test") for p in patients)
    most_judge = len(patients) - 1 if together else len(judge)
    if limits.patients:
        most_judge = max(1, min(most_judge, limits.patients - 1))
    if together and len(patients) > 4 and "train_validation" not in st.session_state:
        st.session_state.train_validation = min(most_judge, max(2, len(judge)))
    state = st.session_state
    state.train_validation = min(state.get("train_validation", len(judge)), most_judge)
    validation = (
        st.number_input(
            t("Validation patients"), 1, most_judge, key="train_validation", help=t("Used for validation only.")
        )
        if most_judge > 1
        else 1
    )
    most_learn = len(patients) - validation if together else len(learn)
    if limits.patients:
        most_learn = max(1, min(most_learn, limits.patients - validation))
    state.train_training = min(state.get("train_training", most_learn), most_learn)
    training = (
        st.number_input(
            t("Training patients, of {most_learn}", most_learn=most_learn),
            1,
            most_learn,
            key="train_training",
            help=t("Used for training."),
        )
        if most_learn > 1
        else 1
    )
    st.caption(
        t("The seed draws both groups. No patient is in both.")
        if together
        else t("The published split of the data set. Its ten test patients are not used for training.")
    )
    return training, validation
