"""Uploads as they arrive, handed to this project with their right outcomes: each is read as it should be."""

import pytest

from tests.measure_cases import CASES, WANTED, is_right, read_case

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="needs the cases in ../shared/mri-cases")


def test_every_case_has_its_check():
    assert sorted(WANTED) == sorted(path.name for path in CASES.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", WANTED)
def test_case(name):
    found = read_case(CASES / name)
    assert is_right(name, found), (found.problems, [(scan.name, scan.guesses, scan.notes) for scan in found.scans])
