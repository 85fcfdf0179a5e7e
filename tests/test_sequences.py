"""Names of files and series, and the sequence that each states."""

import csv
from pathlib import Path

import pytest

from unet.data.sequences import (
    EXPECTED_MASK,
    FLAIR,
    OTHER,
    POST_CONTRAST,
    PRE_CONTRAST,
    guess_from_file,
    guess_from_header,
    guess_from_name,
    guess_from_timing,
)

pytestmark = pytest.mark.quick

RIGHT = {
    FLAIR: {FLAIR},
    PRE_CONTRAST: {PRE_CONTRAST},
    POST_CONTRAST: {POST_CONTRAST},
    "lesion mask": {EXPECTED_MASK},
    "none of these": {OTHER, None},
}
HERE = Path(__file__).resolve().parent
HANDED = HERE.parent.parent / "shared" / "mri-cases" / "names.tsv"


def wrong_in(file: Path) -> list[str]:
    """Return the names of a table that are read as something else than its column says."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert len(rows) >= 80
    found = [(row["name"], guess_from_file(row["name"]), row["right"]) for row in rows]
    return [f"{name}: {guess}, right is {right}" for name, guess, right in found if guess not in RIGHT[right]]


def test_names_of_the_table():
    assert wrong_in(HERE / "sequence_names.tsv") == []


def test_names_that_were_handed_over():
    if not HANDED.exists():
        pytest.skip("shared/mri-cases is not beside the project")
    assert wrong_in(HANDED) == []


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("t2w.nii.gz", OTHER),  # named, and no sequence that the network takes
        ("IMG_0001.png", None),  # the name says nothing
        ("T1ce/0001.dcm", POST_CONTRAST),  # the folder says it
        ("FLAIR/seg.nii.gz", FLAIR),  # `guess_from_file` reads masks
        ("", None),
        ("/", None),
        ("_" * 5000, None),
    ],
)
def test_what_a_name_says(name, guess):
    assert guess_from_name(name) == guess


@pytest.mark.parametrize(
    ("times", "guess"),
    [
        ((9000, 120, 2500, False), FLAIR),
        ((2500, 20, 900, False), PRE_CONTRAST),  # T1 FLAIR
        ((2500, 20, 900, True), POST_CONTRAST),
        ((4000, 100, None, False), None),
        ((None, None, None, True), None),
    ],
)
def test_what_times_say(times, guess):
    assert guess_from_timing(*times) == guess


@pytest.mark.parametrize(
    ("name", "times", "guess"),
    [
        ("Ax T1 FLAIR", (2500, 20, 900, False), PRE_CONTRAST),
        ("FLAIR", (2500, 20, 900, True), POST_CONTRAST),  # the times of a T1 FLAIR
        ("AX T1", (9000, 120, 2500, False), FLAIR),
        ("AX T1", (4000, 100, None, False), OTHER),  # T2-weighted times
        ("AX T1", (500, 10, None, True), POST_CONTRAST),
        ("", (9000, 120, 2500, False), FLAIR),
        ("FLAIR", (9000, 120, None, False), FLAIR),  # no inversion time in the header
        ("DWI", (9000, 120, 2500, False), OTHER),
        ("series 3", (None, None, None, False), None),
    ],
)
def test_times_overrule_a_name_that_contradicts_them(name, times, guess):
    assert guess_from_header(name, *times) == guess
