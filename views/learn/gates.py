"""How it works, at the attention gates: what is handed across, and what is held back."""

from dataclasses import dataclass

import cv2
import numpy as np
import streamlit as st

from unet import overlay
from unet.inference.engines import ATTENTION_LEVELS
from unet.language import mark, t
from unet.lessons.features import Features
from views.learn.lesson import BRIGHTEST, Lesson, strip
from views.shared import legend

ALIKE = 0.1  # averages of a gate that differ by no more are called alike
_EDGE = 2  # pixels to either side of an outline that count as edge


@dataclass(frozen=True, eq=False)
class Gate:
    """One attention gate: mean of the skip's channels before and after it, in [0, 1] on one scale, and its map.

    Attributes:
        scale: value of the mean at the bright end.
        averages: of the map in each region that the slice has, in [0, 1].
    """

    before: np.ndarray
    map: np.ndarray
    after: np.ndarray
    scale: float
    averages: dict[str, float]


def gate_of(features: Features, level: int, lesson: Lesson) -> Gate:
    """Return a level's gate with what goes into it and what comes out."""
    skip, upsampled, attention_map = features.encoder[level - 1], features.gate(level), features.attention[level - 1]
    before = skip.mean(axis=-1)
    scale = float(np.percentile(before, BRIGHTEST)) or 1.0
    averages = {}
    for name, region in _regions(lesson).items():
        share = cv2.resize(region, attention_map.shape[::-1], interpolation=cv2.INTER_AREA)  # of each cell
        if share.sum() > 0:
            averages[name] = float((attention_map * share).sum() / share.sum())
    into, gate, out = (
        np.clip(values, 0, 1).astype(np.float16)
        for values in (before / scale, attention_map, before * upsampled / scale)
    )
    return Gate(into, gate, out, scale, averages)


def _regions(lesson: Lesson) -> dict[str, np.ndarray]:
    """Lesion, its edge, the rest of the head and the air on the network's grid, float32 in [0, 1]."""
    mask = lesson.predicted(lesson.weights.threshold)
    edge = cv2.dilate(overlay.mask_edge(mask), np.ones((2 * _EDGE + 1,) * 2, np.uint8)) > 0
    lesion, head = mask.astype(bool), lesson.head
    regions = {
        mark("lesion"): lesion & ~edge,
        mark("its edge"): edge,
        mark("the rest of the head"): head & ~lesion & ~edge,
        mark("outside the head"): ~head & ~lesion & ~edge,
    }
    return {name: lesson.letterbox.forward(region.astype(np.float32)) for name, region in regions.items()}


def show_gates(lesson: Lesson, gates: tuple[Gate, ...]) -> None:
    """Show the gates, coarse to fine, or say that this network has none."""
    if not gates:
        st.info(
            t(
                "This network is a plain U-Net without gates. Each level passes all its features across. "
                "Choose other weights above to see gates."
            )
        )
        return
    st.markdown(
        t(
            "On the way up the network needs the fine detail again. So each level passes its "
            "channels across. This connection is called a **skip**. A **gate** on the skip "
            "multiplies every position by a number from 0 (blocked) to 1 (passed). The deeper level "
            "controls the gate. From coarse to fine:"
        )
    )
    for gate, level in zip(gates, reversed(ATTENTION_LEVELS), strict=True):
        left, right = st.columns([3, 2], gap="medium", vertical_alignment="center")
        left.image(
            strip([values.astype(np.float32) for values in (gate.before, gate.map, gate.after)], lesson.weights.size),
            width="stretch",
            output_format="PNG",
            alt=t("Level {level}: before the gate, the gate, after the gate", level=level),
        )
        with right:
            st.markdown(t("**Level {level}: before × gate = after**", level=level))
            numbers = ", ".join(f"{t(name)} **{value:.2f}**" for name, value in gate.averages.items())
            st.markdown(f"{verdict(gate.averages)}  \n{numbers}")
            st.caption(
                t(
                    "Gate of {count} × {count}. Before and after the gate, yellow means {scale:.1f}.",
                    count=len(gate.map),
                    scale=gate.scale,
                )
            )
    legend.show_scale()
    st.caption(
        t(
            "The numbers are the gate's average in each part of the slice; 1 passes everything. The "
            "edge lies within {edge} pixels of the predicted outline. Before and after show the mean "
            "of all channels. A gate shows what is passed, not why the network decides as it does.",
            edge=_EDGE,
        )
    )


def verdict(averages: dict[str, float]) -> str:
    """Say in words what a gate's averages say."""
    if "its edge" not in averages:
        return t("No lesion is predicted on this slice, so the gate has nothing to select.")
    edge, rest = averages["its edge"], averages.get("the rest of the head", 0.0)
    lesion = averages.get("lesion", edge)  # a lesion of a few pixels is all edge
    if rest - max(lesion, edge) > ALIKE:
        return t("Blocks the lesion more than the rest of the head.")
    if max(lesion, edge) - rest <= ALIKE:
        return t("Treats the lesion and the rest of the head almost alike.")
    if edge > 2 * lesion:
        return t("Passes the edge of the lesion and blocks its inside.")
    if lesion > 2 * rest:
        return t("Passes the lesion far more than the rest of the head.")
    return t("Passes the lesion more than the rest of the head, but much of the rest too.")
