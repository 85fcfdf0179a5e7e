"""How it works, at the split: data leakage, shown with a nearest-neighbour baseline."""

from pathlib import Path

import numpy as np
import streamlit as st

from unet import overlay
from unet.data.patients import Patient, load_volume
from unet.data.slice_files import DataError
from unet.data.splits import split_of
from unet.data.volume import Volume
from unet.language import mark, t, tn
from unet.lessons import nearest_neighbour
from unet.lessons.nearest_neighbour import Memory
from unet.metrics import dice_score
from unet.overlay import EXPECTED_COLOUR, PREDICTED_COLOUR
from views.learn.lesson import Lesson, begin_section
from views.shared import legend, loaders, page
from views.shared.badges import SPLIT_MEANINGS
from views.viewer.slices import slice_picture

OTHERS = 9  # patients of the baseline, perhaps with the one on the page: read within a second or two


def show_split(lesson: Lesson, found: list[Patient]) -> None:
    """Copy masks from this patient's other slices, and from other patients'."""
    begin_section("split")
    st.markdown(
        t(
            "A **nearest-neighbour baseline** learns nothing. For each slice it finds the most similar training slice "
            "and copies its mask. Its score depends on how the data are split."
        )
    )
    own = _learned(lesson.content_hash, lesson.volume)
    step = -(-len(found) // OTHERS)
    chosen = found[::step]
    others = _others(tuple(patient.folder for patient in chosen), chosen).without(lesson.volume.patient_id)
    if len(own) < 2 or not len(others) or lesson.expected is None or not lesson.volume.expected_mask.any():
        st.info(
            t(
                "Needed: a slice with an expected mask, another one of the same patient, a lesion, and "
                "other patients with expected masks."
            )
        )
        return
    left, middle, right = st.columns(3, gap="medium")
    with left:
        st.markdown(t("**This slice**"))
        picture = overlay.draw_mask(lesson.picture(), lesson.expected, EXPECTED_COLOUR, 1.0, outline=True)
        st.image(picture, width="stretch", output_format="PNG", alt=t("The slice with the expected mask as an outline"))
        st.caption(
            t(
                "Similarity of two slices: the correlation of their three pictures, scaled down to "
                "{side} × {side} pixels.",
                side=nearest_neighbour.SIDE,
            )
        )
    by_id = {patient.patient_id: patient for patient in found}
    count = len({patient_id for patient_id, _ in others.places})
    with middle:
        st.markdown(t("**Split by slice**: this patient's other slices are training slices"))
        _show_recalled(lesson, own, own, by_id)
        st.metric(t("Mean slice Dice, split by slice"), _mean(own, own))
    with right:
        st.markdown(
            tn(
                "**Split by patient**: the training slices come from {n} other patient",
                "**Split by patient**: the training slices come from {n} other patients",
                count,
            )
        )
        _show_recalled(lesson, own, others, by_id)
        st.metric(t("Mean slice Dice, split by patient"), _mean(own, others))
    legend.show_legend(((t("copied mask"), PREDICTED_COLOUR), (t("outline: expected on this slice"), EXPECTED_COLOUR)))
    _explain_leakage(lesson.volume)


def _explain_leakage(volume: Volume) -> None:
    """Say what the two scores show, and which part of the split this patient is in."""
    split = split_of(volume.patient_id)
    lesions = int(volume.expected_mask.any(axis=(1, 2)).sum())
    st.markdown(
        t(
            "The means are over the {lesions} slices of this patient that show a lesion. Neighbouring slices of one "
            "head look almost the same. If they lie on both sides of a split, even this baseline scores well, but the "
            "score does not tell how well a method works on a new patient. This error is called data leakage. In this "
            "app every split is by patient. This patient's part, **{split}**: {split_meanings}",
            lesions=lesions,
            split=t(split),
            split_meanings=t(SPLIT_MEANINGS[split]),
        )
    )


def _show_recalled(lesson: Lesson, own: Memory, memory: Memory, by_id: dict[str, Patient]) -> None:
    """Show the slice that is recalled with its mask, and how well that mask fits the slice on the page."""
    volume, index, expected = lesson.volume, lesson.index, lesson.volume.expected_mask[lesson.index]
    place = volume.patient_id, index
    number = memory.recall(own.described[own.places.index(place)], place)
    patient_id, recalled = memory.places[number]
    shape = volume.images.shape[1:3]
    mask = memory.copied(number, shape)
    try:
        source = volume if patient_id == volume.patient_id else loaders.volume(by_id[patient_id])[0]
    except page.PAGE_ERRORS as error:
        st.caption(str(error))
        return
    picture = overlay.draw_mask(slice_picture(source, recalled, "FLAIR"), memory.masks[number], PREDICTED_COLOUR)
    if picture.shape[:2] == shape:
        picture = overlay.draw_mask(picture, expected, EXPECTED_COLOUR, 1.0, outline=True)
    st.image(
        picture,
        width="stretch",
        output_format="PNG",
        alt=t("{patient_id}, slice {recalled}, with its mask", patient_id=patient_id, recalled=recalled + 1),
    )
    dice = dice_score(mask, expected)
    whose = t("this patient") if source is volume else patient_id
    words = t("no lesion on either") if np.isnan(dice) else t("slice Dice of the copied mask **{dice:.3f}**", dice=dice)
    st.markdown(
        t("Most similar: slice {recalled} of {whose}; {score}.", recalled=recalled + 1, whose=whose, score=words)
    )


def _mean(asked: Memory, memory: Memory) -> str:
    return f"{np.mean(nearest_neighbour.scores(asked, memory)):.2f}"


@st.cache_resource(max_entries=loaders.MAX_VOLUMES, show_spinner=False)
def _learned(content_hash: str, _volume: Volume) -> Memory:
    return nearest_neighbour.learn([_volume])


@st.cache_resource(max_entries=2, ttl="1h", show_spinner=mark("Reading other patients …"))
def _others(folders: tuple[Path, ...], _patients: list[Patient]) -> Memory:
    """Return the slices of some patients for the baseline; those that cannot be read are left out."""
    volumes = []
    for patient in _patients:
        try:
            volumes.append(load_volume(patient))
        except DataError:  # Explore says what is wrong with it
            continue
    return nearest_neighbour.learn(volumes)
