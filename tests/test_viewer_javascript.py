"""The viewer's arithmetic in the browser: its unit tests (`tests/javascript/`) run by Node.js."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

TESTS = Path(__file__).with_name("javascript")
OLDEST = 20  # of Node.js


def test_geometry_thresholds_and_drawing():
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed: apt-get install nodejs")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v(\d+)", version)
    assert found, version
    if int(found[1]) < OLDEST:
        pytest.skip(f"Node.js {OLDEST} or newer is needed; this is {version.strip()}")
    files = sorted(TESTS.glob("*.test.mjs"))
    assert len(files) >= 3
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
