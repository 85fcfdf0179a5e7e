"""What a visitor's script frees goes back to the system, holes and all."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
# a freed block of 30 MB moves glibc's threshold above the arrays of 1 MB, and what is kept between them pins the heap
PROGRAM = """
import sys
import numpy as np, psutil
from views.shared.memory import give_back_large_blocks
if sys.argv[1] == "give back":
    give_back_large_blocks()
resident = lambda: psutil.Process().memory_info().rss / 2**20
np.ones(30 * 2**20, np.uint8)
before, arrays, kept = resident(), [], []
for _ in range(200):
    arrays.append(np.ones(2**20, np.uint8))
    kept.append(np.ones(2**14, np.uint8))
del arrays
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the heaps of glibc are Linux'")
def test_freed_arrays_go_back_to_the_system():
    def left(what: str) -> float:
        command = [sys.executable, "-c", PROGRAM, what]
        return float(subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout)

    assert left("keep") > 150  # MB of 200 that the program no longer needs
    assert left("give back") < 30
