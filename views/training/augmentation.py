"""What the network really gets: augmented slices with their masks, moved together."""

from dataclasses import asdict, replace

import numpy as np
import streamlit as st

from unet import overlay
from unet.data.volume import FLAIR, POST_CONTRAST
from unet.language import mark, t
from unet.preprocessing import IntensityStatistics
from unet.training.augmentation import NO_AUGMENTATION, Augmentation, augment
from views.shared import legend, loaders, page
from views.shared.badges import show_badges
from views.training.presets import AUGMENTATION_LABELS

SIDE, TOGETHER = 160, 10
MEANINGS = {
    "flip": mark("Left and right are swapped."),
    "rotation": mark("Heads lie at different angles in the scanner."),
    "zoom": mark("Heads differ in size."),
    "shift": mark("Heads are not exactly centred."),
    "elastic": mark("Heads differ in shape."),
    "gamma": mark("Scanners differ in brightness curve."),
    "contrast": mark("Channels differ in contrast."),
    "bias": mark("Tissue near the receiver coil is brighter."),
    "blur": mark("Some scans are blurred, for example by movement."),
    "noise": mark("Fast scans are noisy."),
    "missing": mark("A sequence is missing: here FLAIR replaces post-contrast."),
    "own_statistics": mark("The statistics come from this slice alone, as for a single uploaded picture."),
}


def show_augmentation() -> None:
    """Choose a slice; show each change alone, then all of them as in training."""
    st.markdown(
        t(
            "A few dozen patients are little training data. A U-Net can be trained on them because "
            "it never sees the same slice twice. Each time a slice is drawn, **the slice and its "
            "mask are changed together** at random."
        )
    )
    try:
        _, found, _ = loaders.patients()
        by_id = {patient.patient_id: patient for patient in found}
        left, right, button = st.columns([2, 2, 1], vertical_alignment="bottom")
        patient = by_id[left.selectbox("Patient", list(by_id), key="augmented_patient")]
        volume, content_hash, _ = loaders.volume(patient)
    except page.PAGE_ERRORS as error:
        st.error(str(error), title=t("No patient to show"))
        return
    show_badges(patient.patient_id, volume.missing_sequences)
    lesion = int(volume.expected_mask.sum(axis=(1, 2)).argmax())
    index = 0
    if len(volume) > 1:
        index = right.slider(t("Slice"), 1, len(volume), 1 + lesion, key=f"augmented_slice_{patient.patient_id}") - 1
    if button.button(t("Draw again"), key="draw_again", icon=":material/casino:"):
        st.session_state.draw = st.session_state.get("draw", 0) + 1
    seed = st.session_state.get("draw", 0)
    image, mask = volume.images[index], volume.expected_mask[index]
    statistics = loaders.statistics(content_hash, volume)

    st.markdown(t("**One at a time**"))
    tiles = [(t("unchanged"), t("The normalised slice."), NO_AUGMENTATION, FLAIR)]
    tiles += [
        (t(label), t(MEANINGS[name]), only(name), POST_CONTRAST if name == "missing" else FLAIR)
        for name, label in AUGMENTATION_LABELS.items()
    ]
    _grid([(*tile[:2], draw(image, mask, statistics, tile[2], seed, tile[3])) for tile in tiles])

    st.markdown(t("**All together**: the network's input"))
    pictures = [
        draw(image, mask, statistics, Augmentation(), 1000 * seed + number, FLAIR) for number in range(TOGETHER)
    ]
    _grid([("", "", picture) for picture in pictures])
    legend.show_legend(((t("outline of the expected mask"), overlay.EXPECTED_COLOUR),))


def only(name: str) -> Augmentation:
    """Return an augmentation with one change alone, which is certain to happen."""
    value = asdict(Augmentation())[name]
    if isinstance(value, tuple):
        value = (value[1], value[1])
    elif name in ("flip", "missing", "own_statistics"):
        value = 1.0
    return replace(NO_AUGMENTATION, **{name: value})


def draw(
    image: np.ndarray,
    mask: np.ndarray,
    statistics: IntensityStatistics,
    settings: Augmentation,
    seed: int,
    channel: int,
) -> np.ndarray:
    """Augment a slice as training does and return it as a picture with the mask's outline.

    Args:
        image: (height, width, 3), as stored.
        mask: (height, width), as stored.
        statistics: of the volume that the slice is from.
        settings: what may change, and how much.
        seed: the same seed draws the same picture.
        channel: which of the three is shown.
    """
    slice_, moved = augment(image, mask, statistics, SIDE, settings, np.random.default_rng(seed))
    picture = overlay.grey_to_rgb(overlay.to_display(slice_[..., channel], (-2.0, 4.0)))
    return overlay.draw_mask(picture, moved.astype(np.uint8), overlay.EXPECTED_COLOUR, opacity=1.0, outline=True)


def _grid(tiles: list[tuple[str, str, np.ndarray]]) -> None:
    for start in range(0, len(tiles), 5):
        for column, (title, meaning, picture) in zip(
            st.columns(5, gap="small"), tiles[start : start + 5], strict=False
        ):
            with column:
                st.image(
                    picture,
                    width="stretch",
                    output_format="PNG",
                    alt=t("Augmented slice: {name}", name=title or t("at random")),
                )
                if title:
                    st.markdown(f"**{title}**")
                    st.caption(meaning)
