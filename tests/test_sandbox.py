"""The child process: limits hold, nothing is left behind, and the hostile corpus does no harm."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from tests import hostile
from unet.scans import sandbox
from unet.scans.sandbox import read_upload
from unet.scans.scan import IngestError

PROJECT = Path(__file__).resolve().parent.parent

# every upload of the corpus in one process with the child's limits: a child for each takes minutes, and is
# `python -m tests.hostile`
_IN_ONE_PROCESS = """
import json, sys, time
from unet.scans import sandbox
sandbox.MAX_SECONDS = 600  # for all of them together
sandbox._limit_this_process()
from tests import hostile
from unet.scans.reader import read_files
from unet.scans.scan import plain_name
for files in hostile.good().values():
    assert read_files(files)[0]
found = {}
for name, (wanted, files) in hostile.corpus().items():
    started = time.process_time()
    try:
        scans, problems = read_files([(plain_name(one), content) for one, content in files])
        outcome = "read" if scans else "refused"
    except MemoryError:
        scans, problems, outcome = [], ["memory"], "refused"
    found[name] = wanted, outcome, time.process_time() - started, problems
    del scans
    assert read_files(hostile.good()["png"])[0], name
status = open("/proc/self/status").read()  # the peak that getrusage gives may be the parent's, from before exec
json.dump([found, int(status.split("VmHWM:")[1].split()[0])], sys.stdout)
"""


@pytest.fixture(scope="module")
def corpus():
    return hostile.corpus()


@pytest.fixture(scope="module")
def hostile_outcomes():
    done = subprocess.run([sys.executable, "-c", _IN_ONE_PROCESS], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_hostile_upload_is_read_or_refused_in_words(hostile_outcomes):
    found, _ = hostile_outcomes
    assert len(found) >= 80
    for name, (wanted, outcome, _, problems) in found.items():
        assert wanted in (outcome, hostile.EITHER), (name, outcome, problems)
        assert outcome == "read" or (problems and all(problem.rstrip().endswith(".") for problem in problems)), name
        assert "Traceback" not in " ".join(problems)


def test_no_hostile_upload_takes_long_or_much(hostile_outcomes):
    found, kilobytes = hostile_outcomes
    slow = {name: seconds for name, (_, _, seconds, _) in found.items() if seconds > 1}
    assert slow == {}
    assert kilobytes < 1.5 * 2**20


@pytest.mark.parametrize("name", ["rle_bomb", "dicom_nested_3000_deep", "zip_bomb_of_many", "name_of_300_letters"])
def test_hostile_uploads_do_nothing_to_the_server(name, corpus):
    wanted, files = corpus[name]
    before = hostile.server_memory()
    _, scans, problems = hostile.run(files)
    assert bool(scans) == (wanted == hostile.READ)
    assert scans or problems
    assert hostile.server_memory() - before <= 50
    assert hostile.run(hostile.good()["png"])[1] == 1


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scans, _ = read_upload(hostile.good()["dicom"])
    assert list(tmp_path.iterdir()) == []
    assert scans[0].voxels.max() > 100  # the values are there all the same


def test_memory_runs_out_in_words(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "MAX_MEMORY", 1536 << 20)
    monkeypatch.setattr(sandbox, "_PROJECT", _project_with(tmp_path, "x = bytearray(8 << 30)"))
    with pytest.raises(IngestError, match="needs more than the 1536 MB of memory"):
        read_upload(hostile.good()["png"])


def test_time_runs_out_in_words(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "_PROJECT", _project_with(tmp_path, "import time; time.sleep(60)"))
    started = time.perf_counter()
    with pytest.raises(IngestError, match="took longer than 1 seconds"):
        read_upload(hostile.good()["png"], seconds=1)
    assert time.perf_counter() - started < 20


def test_a_crash_is_told_in_words(monkeypatch, tmp_path):
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(sandbox, "_PROJECT", _project_with(tmp_path, crash))
    with pytest.raises(IngestError, match="The decoder gave up on this upload"):
        read_upload(hostile.good()["png"])


def _project_with(folder: Path, statement: str) -> Path:
    """A project whose reader runs a statement instead of reading."""
    package = folder / "unet" / "scans"
    package.mkdir(parents=True)
    for door in (package.parent, package):
        (door / "__init__.py").write_text("")
    for name in ("sandbox.py", "scan.py"):
        (package / name).write_text((PROJECT / "unet" / "scans" / name).read_text())
    (package / "reader.py").write_text(f"def read_files(files, stacked):\n    {statement}\n")
    return folder


def test_the_child_imports_neither_tensorflow_nor_streamlit():
    program = (
        "import sys, unet.scans.sandbox, unet.scans.reader\n"
        "from unet.scans.formats import dicom, nifti, pictures, tiff\n"
        "print({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'streamlit', 'openvino', 'cv2'})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_limits_of_size_are_for_each_file_and_for_all(monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_FILE_BYTES", 4 << 20)
    monkeypatch.setattr(sandbox, "MAX_UPLOAD_BYTES", 5 << 20)
    [(_, png)] = hostile.good()["png"]
    big, bigger = png + bytes(3 << 20), png + bytes(5 << 20)
    scans, problems = read_upload([("a.png", bigger), ("b.png", big), ("c.png", big), ("d.png", png)])
    assert len(scans) == 2
    assert problems == [
        "a.png: 5 MB; at most 4 MB a file.",
        "c.png: with it the upload would pass 5 MB. Upload less at once.",
    ]


def test_arrays_come_back_exactly():
    images = hostile.stack().astype(np.int16)
    scans, _ = read_upload([("a.nii", hostile.nifti_of(images))])
    np.testing.assert_array_equal(scans[0].voxels, images)
