"""Mutations of good files: whatever comes, the reader gives scans or sentences.

Short here. All 10,000: UNET_FUZZ=10000 python -m pytest tests/test_fuzz.py
"""

import logging
import os
import resource
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import hostile
from unet.scans import reader as readers
from unet.scans.reader import read_files
from unet.scans.scan import IngestError

EXAMPLES = int(os.environ.get("UNET_FUZZ", 210))
KINDS = tuple(hostile.good())


@cache
def good(kind: str) -> hostile.Files:
    return hostile.good()[kind]


@st.composite
def mutated(draw, kind: str):
    """A good file, of a pair its header, with bytes changed, cut out, doubled or put in; mostly where headers are."""
    (name, content), *rest = good(kind)
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        reach = draw(st.sampled_from([64, 400, 1200, len(content)]))
        place = draw(st.integers(0, max(0, min(reach, len(content)) - 1)))
        length = draw(st.sampled_from([1, 1, 1, 2, 4, 40]))
        match draw(st.sampled_from(["change", "change", "extreme", "cut", "double", "insert", "end"])):
            case "change":
                content[place : place + length] = draw(st.binary(min_size=length, max_size=length))
            case "extreme":
                content[place : place + length] = draw(st.sampled_from([b"\xff", b"\0", b"\x7f", b"\x80"])) * length
            case "cut":
                del content[place : place + length]
            case "double":
                content[place:place] = content[place : place + length]
            case "insert":
                content[place:place] = draw(st.binary(max_size=16))
            case "end":
                del content[place + 1 :]
    return [(name, bytes(content)), *rest]


@pytest.fixture(scope="module", autouse=True)
def limited_memory():
    """A reader that asks for the moon gets a MemoryError, as in its child, and not the machine's memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(autouse=True)
def no_net(monkeypatch):
    """Let exceptions that the reader did not foresee through, instead of making them sentences."""

    def unforeseen(name, error):
        raise error

    monkeypatch.setattr(readers, "_unforeseen", unforeseen)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_mutations_are_read_or_refused(kind):
    @settings(
        max_examples=max(1, EXAMPLES // len(KINDS)),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType] its metaclass yields itself
    )
    @given(mutated(kind))
    def check(files):
        try:
            scans, problems = read_files(files)
        except (IngestError, MemoryError):  # the child reports the second as a sentence
            return
        assert scans or problems or kind == "zip"  # a zip may have lost its files' names to junk
        for scan in scans:
            assert np.isfinite(scan.voxels).all()
            assert scan.voxels.ndim == 4 and scan.voxels.dtype == np.float32

    check()
