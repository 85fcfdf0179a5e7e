"""Explore: find a patient, move through the slices, see the mask and where the network looks."""

import streamlit as st

from unet.language import mark, t
from unet.paths import DEMO_FOLDER
from views.explore.finder import pick_patient
from views.explore.published import show_published_score
from views.shared import links, loaders, page, segmentations, weights_picker
from views.shared.badges import show_badges
from views.shared.download import offer_download
from views.viewer.slice_viewer import show_viewer, viewed_slice

page.start_page(mark("Explore"))

try:
    root, found, problems = loaders.patients()
except page.PAGE_ERRORS as error:
    st.error(str(error), title=t("No patients to show"))
    st.stop()

patient = pick_patient(root, found, t("Brain MRI through an Attention U-Net"))
_, clinical_problem = loaders.clinical_table(root)

try:
    volume, content_hash, brain = loaders.volume(patient)
    show_badges(patient.patient_id, volume.missing_sequences)
    weights, second = weights_picker.choose_weights()
    network = weights, segmentations.running_segmentation(volume, content_hash, weights)
    other = (second, segmentations.running_segmentation(volume, content_hash, second)) if second else None
except page.PAGE_ERRORS as error:
    st.error(str(error), title=t("This patient cannot be shown"))
    st.stop()

if number := viewed_slice(content_hash):  # before the viewer hears that it is known here, and may leave the page
    links.remember(slice=number)
show_viewer(volume, content_hash, brain, network, other)
for shown, running in filter(None, (network, other)):
    show_published_score(shown, patient.patient_id, running.engine_name)
if st.button(t("How the network computes this"), icon=":material/school:", help=t("This slice, step by step")):
    place = {name: links.remembered(name) for name in ("patient", "slice", "weights")}
    st.switch_page("pages/learn.py", query_params={name: value for name, value in place.items() if value})

if trouble := [*problems, *volume.problems, *([clinical_problem] if clinical_problem else [])]:
    with st.expander(t("Problems in the data: {count}", count=len(trouble)), icon=":material/warning:"):
        for line in trouble[:50]:
            st.text(line)

if root == DEMO_FOLDER:
    offer_download()

st.caption(
    t(
        "For teaching and research: this app measures pictures, it does not diagnose. "
        "The data set does not say which side is the patient's right; by custom it is on the left of the picture."
    )
)
