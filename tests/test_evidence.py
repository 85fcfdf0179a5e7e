"""What each picture is taken for is said with its reason, and what is unsure is asked."""

import numpy as np
import pytest

from tests.upload_files import dicom_bytes, dicom_slice, png_bytes
from unet.data.volume import FLAIR
from unet.scans.evidence import CHOSEN, LIKELY, SURE, UNSURE, evidence, questions
from unet.scans.mapping import Channel, suggest
from unet.scans.reader import read_files

pytestmark = pytest.mark.quick
IMAGE = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)


def read(*names: str):
    """The scans of grey pictures of one size, and how they are put together."""
    scans, _ = read_files([(name, png_bytes(IMAGE)) for name in names])
    return scans, suggest(scans)[0]


def series(description: str, number: int, **header):
    slices = [dicom_slice(IMAGE.astype(np.uint16), (0, 0, 6.0 * n), SeriesDescription=description) for n in range(3)]
    for one in slices:
        one.SeriesInstanceUID = f"1.2.3.4.{number}"
        for keyword, value in header.items():
            setattr(one, keyword, value)
    return [(f"{number}/IM{n}", dicom_bytes(one)) for n, one in enumerate(slices)]


def weighed(scans, mapping) -> dict[str, tuple[str, str]]:
    found = {scan.name: evidence(scans, mapping, Channel(number, 0)) for number, scan in enumerate(scans)}
    return {name: (one.why, one.certainty) for name, one in found.items()}


def test_the_word_of_a_name_is_the_reason():
    scans, mapping = read("p_t1.png", "p_t2f.png", "p_t1ce.png")
    assert weighed(scans, mapping) == {
        "p_t1.png": ("Its name says “t1” and has no word for a contrast agent.", LIKELY),
        "p_t2f.png": ("Its name says “t2f”.", SURE),
        "p_t1ce.png": ("Its name says “t1ce”.", SURE),
    }
    assert questions(scans, mapping) == []


def test_times_of_the_header_and_the_clock_are_reasons():
    flair = {"RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500}
    t1 = {"RepetitionTime": 500, "EchoTime": 12}
    files = [
        *series("FLAIR", 1, **flair),
        *series("T1", 2, **t1, AcquisitionTime="100500"),
        *series("T1 +C", 3, **t1, AcquisitionTime="101700", ContrastBolusAgent="x"),
        *series("without a word", 4, **flair),
    ]
    scans, _ = read_files(files)
    found = weighed(scans, suggest(scans)[0])
    assert found["FLAIR"] == ("Its name says “FLAIR”, and the header agrees: TR 9000 ms, TE 120 ms, TI 2500 ms.", SURE)
    assert found["T1"] == (
        "Its name says “T1”, and the header agrees: TR 500 ms, TE 12 ms. It names no contrast agent. "
        "It was acquired 12 min before T1 +C.",
        SURE,
    )
    assert found["T1 +C"][0].endswith("contrast agent.")


def test_a_t1_after_contrast_is_asked_about():
    t1 = {"RepetitionTime": 500, "EchoTime": 12}
    files = [
        *series("FLAIR", 1),
        *series("T1 sag", 2, **t1, AcquisitionTime="102000"),
        *series("T1 +C", 3, **t1, AcquisitionTime="101700", ContrastBolusAgent="x"),
    ]
    scans, _ = read_files(files)
    [question] = questions(scans, suggest(scans)[0])
    assert "T1 sag is used as pre-contrast" in question
    assert "It was acquired 3 min after T1 +C: it may show the contrast agent too." in question


def test_a_header_that_overrules_the_name_is_asked_about():
    t1 = {"RepetitionTime": 2500, "EchoTime": 20, "InversionTime": 900}
    scans, _ = read_files([*series("FLAIR tra", 1, **t1), *series("t2_tirm_dark-fluid", 2)])
    found = weighed(scans, suggest(scans)[0])
    assert found["FLAIR tra"][0].startswith(
        "Its name says “FLAIR”, but the header overrules it: TR 2500 ms, TE 20 ms, TI 900 ms."
    )
    assert found["FLAIR tra"][1] == UNSURE
    assert "FLAIR tra is used as pre-contrast" in questions(scans, suggest(scans)[0])[0]


def test_three_unnamed_pictures_are_three_questions():
    scans, mapping = read("1.png", "2.png", "3.png")
    assert {certainty for _, certainty in weighed(scans, mapping).values()} == {UNSURE}
    asked = questions(scans, mapping)
    assert "2.png says FLAIR, but it is used as FLAIR" in asked[0]
    assert [" is used as pre-contrast. " in asked[1], " is used as post-contrast. " in asked[2]] == [True, True]


def test_what_the_visitor_chose_is_said_to_be_chosen():
    scans, mapping = read("flair.png", "t1.png", "t2.png")
    chosen = (mapping[0], mapping[FLAIR], Channel(2, 0))
    assert evidence(scans, chosen, Channel(2, 0)).certainty == CHOSEN
    assert questions(scans, chosen) == []


def test_who_chooses_a_picture_without_a_name_is_not_asked_again():
    scans, mapping = read("1.png", "2.png", "3.png")
    assert len(questions(scans, mapping)) == 3
    assert questions(scans, (None, Channel(0, 0), None)) == []
    scans, _ = read("t1.png", "flair.png", "t2.png")
    [question] = questions(scans, (None, Channel(2, 0), None))
    assert "3. t2.png says another picture, but it is used as FLAIR" in question
