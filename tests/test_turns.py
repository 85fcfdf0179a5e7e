"""Uploads of many visitors: fair, and cheap ones first."""

import threading
import time
from contextlib import ExitStack

import pytest

from tests import hostile
from unet.scans.contents import Content
from unet.scans.turns import Turns, looks_cheap

pytestmark = pytest.mark.quick


class Visitors:
    """Visitors with an upload each, in threads; `order` says who has begun to read."""

    def __init__(self):
        self.turns, self.order, self._ends, self._threads = Turns(), [], {}, []

    def come(self, visitor: str, size: int = 1, cheap: bool = False) -> None:
        """Let an upload queue, and wait until it does or reads."""
        end, known = self._ends.setdefault(visitor, threading.Event()), self.turns._number

        def read():
            with self.turns.turn(visitor, size, cheap):
                self.order.append(visitor)
                end.wait(60)

        self._threads.append(threading.Thread(target=read))
        self._threads[-1].start()
        self._until(lambda: self.turns._number > known and len(self.order) >= len(self.turns._reading))

    def end(self, visitor: str) -> None:
        """Let a visitor's upload be read, and wait until the next one has begun."""
        expected = len(self.turns._waiting)
        self._ends[visitor].set()
        self._until(lambda: len(self.turns._waiting) < expected or not expected)
        self._until(lambda: len(self.order) + len(self.turns._waiting) == self.turns._number)

    def _until(self, condition) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.001)

    def close(self) -> None:
        for end in self._ends.values():
            end.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def visitors():
    with ExitStack() as stack:
        made = Visitors()
        stack.callback(made.close)
        yield made


def test_a_cheap_upload_need_not_wait_for_ten_expensive_ones(visitors):
    for number in range(10):
        visitors.come(f"slow {number}")
    visitors.come("eleventh", cheap=True)
    assert visitors.order == ["slow 0", "slow 1", "eleventh"]


def test_cheap_ones_go_first_then_small_ones_then_early_ones(visitors):
    for number in range(3):
        visitors.come(f"first {number}", cheap=True)
    visitors.come("large", size=9)
    visitors.come("small", size=2)
    visitors.come("late", size=2)
    visitors.come("cheap", size=99, cheap=True)
    for number in range(3):
        visitors.end(f"first {number}")
    visitors.end("small")
    assert visitors.order[3:] == ["cheap", "small", "late", "large"]


def test_expensive_ones_are_not_starved_by_cheap_ones_of_a_busy_visitor(visitors, monkeypatch):
    monkeypatch.setattr(visitors.turns, "_used", {"busy": (9.0, time.monotonic())})
    for number in range(3):
        visitors.come(f"first {number}", cheap=True)
    visitors.come("busy", cheap=True)
    visitors.come("new", size=10**9)
    visitors.end("first 0")
    assert visitors.order[3:] == ["new"]


def test_what_a_visitor_has_used_is_forgotten_by_and_by(visitors):
    visitors.turns._used = {"a": (8.0, 0.0)}
    assert visitors.turns._recently_used("a", now=60.0) == 4.0
    assert visitors.turns._recently_used("a", now=180.0) == 1.0
    assert visitors.turns._recently_used("b", now=0.0) == 0.0


def test_a_place_is_given_back_by_a_reader_that_raises():
    turns = Turns()
    for _ in range(4):
        with pytest.raises(ValueError, match="broken"), turns.turn("a", 1, cheap=True):
            raise ValueError("broken")
    assert not turns._reading


@pytest.mark.parametrize(
    ("name", "cheap"),
    [
        ("16_bit_png", True),
        ("dicom_12_bit", True),
        ("nifti_rgb", True),
        ("png_interlaced_of_16_megapixels", False),
        ("dicom_jpeg_of_2048_squared", False),
        ("jpeg_progressive_in_colours", False),
        ("pngs_2000_of_one_size", False),
        ("zip_link", False),
        ("nifti_of_600_slices", False),
    ],
)
def test_dense_files_do_not_look_cheap(name, cheap):
    assert looks_cheap([Content.of(*one) for one in hostile.corpus()[name][1]]) is cheap
