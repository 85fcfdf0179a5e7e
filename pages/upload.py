"""Your own MRI: drop it, see what was found and what the network gets, segment it, take the result along."""

from functools import partial

import streamlit as st

from unet.data.volume import FLAIR
from unet.language import mark, t
from unet.scans.scan import IngestError
from views.shared import loaders, page, segmentations
from views.upload import steps
from views.upload.export import show_export
from views.upload.found import offer_stack, show_found
from views.upload.mirrored import Mirrored, mirrored
from views.upload.questions import ask, is_aligned, offer_alignment
from views.upload.reading import show_sent
from views.upload.sequences import pick_mapping
from views.upload.waiting import show_waiting
from views.viewer.slice_viewer import show_viewer

page.start_page(mark("Your own MRI"))

st.subheader(t("Your own MRI"), anchor=False)
st.caption(
    t(
        "Files are read for this visit only. Nothing of them is kept or logged. For teaching and "
        "research: this app measures pictures, it does not diagnose."
    )
)

reading = steps.pick_files()
if reading is None:
    st.stop()

show_sent(reading)
steps.show_problems(reading)
if not reading.scans:
    show_waiting(reading)
    st.stop()

# open until there is a result to look at
looking = not st.session_state.get("segmented")
found = st.expander(
    t("Series and pictures found: {count}", count=len(reading.scans)), icon=":material/search:", expanded=looking
)
with found:
    scans = offer_stack(reading.scans)
mapping, expected = pick_mapping(scans)
with found:  # once it is known what each is used as
    show_found(scans, mapping, expected)
    show_waiting(reading)
asked = ask(scans, mapping)
flair = scans[mapping[FLAIR].scan]

try:
    volume, notes, refusal, brain, content_hash = steps.volume_of(scans, mapping, expected, is_aligned(mapping))
    weights, seen = loaders.default_weights(), steps.seen_by_network(volume)
except (IngestError, *page.PAGE_ERRORS) as error:
    st.error(page.plain(str(error)), title=t("This upload cannot be segmented"))
    st.stop()
if refusal:
    st.warning(page.plain(refusal), title=t("The expected mask is not used"), icon=":material/help:")
for note in notes:
    st.caption(note)
warnings = [*asked, *offer_alignment(volume, mapping), *steps.show_familiarity(volume, flair)]
steps.show_input(volume, weights.size)

if st.session_state.get("segmented") != content_hash:
    done = segmentations.slices_kept(content_hash, weights)
    if done:
        st.caption(t("Stopped: {done} of {count} slices are segmented. They are kept.", done=done, count=len(volume)))
    st.button(
        t("Continue") if done else t("Segment"),
        type="primary",
        icon=":material/play_arrow:",
        key="segment",
        on_click=lambda: st.session_state.update(segmented=content_hash),
    )
    st.stop()

try:
    running = segmentations.private_segmentation(seen, content_hash, weights)
    segmentations.show_progress(running, on_stop=partial(st.session_state.update, segmented=None))
except page.PAGE_ERRORS as error:
    st.error(str(error), title=t("This upload cannot be segmented"))
    st.stop()

shown = volume, content_hash, brain, (weights, running)
if volume.geometry.edges is None:
    st.caption(t("Orientation unknown: the file does not say which side is the patient's right."))
elif "R" in volume.geometry.edges[:2]:
    neurological = st.toggle(
        t("Neurological convention: the patient's right on the right"),
        key="neurological",
        help=t("Switched off, the picture follows the radiological convention: the patient's right is on the left."),
    )
    if neurological:
        shown = (
            mirrored(volume),
            f"{content_hash} mirrored",
            brain[..., ::-1],
            (weights, Mirrored(running)),
        )
show_viewer(*shown, private=True)

show_export(flair, volume, running.result(), weights, (*flair.notes, *notes, *warnings))
