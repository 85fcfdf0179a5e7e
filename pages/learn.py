"""How it works: the slice in front of you, step by step along the network's path, and what the network needs."""

import streamlit as st

from unet.language import mark, t
from views.explore.finder import pick_patient
from views.learn.inside import show_inside
from views.learn.lesson import pick_lesson, show_contents, show_input
from views.learn.perturb import show_trials
from views.learn.score import show_mask, show_score
from views.learn.split import show_split
from views.shared import loaders, page

page.start_page(mark("How it works"))

try:
    root, found, _ = loaders.patients()
except page.PAGE_ERRORS as error:
    st.error(str(error), title=t("No patients to show"))
    st.stop()

patient = pick_patient(root, found, t("How it works, on one slice"))

try:
    lesson = pick_lesson(patient)
except page.PAGE_ERRORS as error:
    st.error(str(error), title=t("This patient cannot be shown"))
    st.stop()

show_contents()
show_input(lesson)
inside = show_inside(lesson)


@st.fragment  # what comes before stays as it is while somebody tries
def show_rest() -> None:
    """Show the mask, the score and the perturbations: a new threshold draws these three again."""
    threshold = show_mask(lesson, inside)
    show_score(lesson, threshold)
    show_trials(lesson, threshold)


show_rest()
show_split(lesson, found)
