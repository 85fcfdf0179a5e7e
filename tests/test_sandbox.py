"""The child process: limits hold, nothing is left behind, and the hostile corpus does no harm."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests import hostile, hostile_masks
from unet.scans import sandbox
from unet.scans.sandbox import read_upload
from unet.scans.scan import IngestError

PROJECT = Path(__file__).resolve().parent.parent

# every upload of the corpus in one process with the child's limits: a child for each takes minutes, and is
# `python -m tests.hostile`
_IN_ONE_PROCESS = """
import json, sys, time
from unet.scans.confine import limit_resources
limit_resources(seconds=600)  # for all of them together
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
    assert len(found) >= 240
    for name, (wanted, outcome, _, problems) in found.items():
        assert wanted in (outcome, hostile.EITHER), (name, outcome, problems)
        assert outcome == "read" or (problems and all(problem.rstrip().endswith(".") for problem in problems)), name
        assert "Traceback" not in " ".join(problems)


def test_no_hostile_upload_takes_long_or_much(hostile_outcomes):
    found, kilobytes = hostile_outcomes
    slow = {name: seconds for name, (_, _, seconds, _) in found.items() if seconds > 4}  # what a small file gets
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


def project(folder: Path, at_start: str = "", when_reading: str = "pass") -> Path:
    """A copy of the reader that runs a statement at its start, and one before each picture, `name` is its file's."""
    shutil.copytree(PROJECT / "unet" / "scans", folder / "unet" / "scans")
    shutil.copytree(PROJECT / "unet" / "data", folder / "unet" / "data")
    shutil.copy(PROJECT / "unet" / "language.py", folder / "unet")
    (folder / "unet" / "__init__.py").write_text(at_start)
    for kind, reader in (("pictures", "read_picture"), ("dicom_pixels", "open_pixels")):
        path = folder / "unet" / "scans" / "formats" / f"{kind}.py"
        name = "name" if kind == "pictures" else "file[0]"
        statement = f"import os, signal, time; name = {name}; {when_reading}"
        before, head, after = path.read_text().partition(f"def {reader}(")
        signature, colon, body = after.partition(":\n")
        path.write_text(f"{before}{head}{signature}{colon}    {statement}\n{body}")
    return folder


@pytest.fixture
def reader_that(monkeypatch, tmp_path):
    """A function that puts a changed copy of the reader in the reader's place."""

    def change(**statements: str) -> None:
        monkeypatch.setattr(sandbox, "_PROJECT", project(tmp_path / "project", **statements))

    return change


def test_memory_runs_out_in_words(reader_that):
    reader_that(when_reading="x = bytearray(8 << 30)")
    scans, problems = read_upload(hostile.good()["png"])
    assert scans == []
    assert problems == ["a.png: reading it needs more memory than one upload may use. Upload fewer or smaller slices."]


def test_memory_is_watched_where_it_cannot_be_limited(reader_that, monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_MEMORY", 100 << 20)
    reader_that(when_reading="x = b'1' * (200 << 20); time.sleep(5)")
    assert read_upload(hostile.good()["png"]) == ([], ["a.png: it needs more than 100 MB to unpack; left out."])


def test_processor_time_runs_out_in_words(reader_that):
    reader_that(when_reading="exec('while True: pass')")
    scans, problems = read_upload([*hostile.good()["png"], ("b.nii", hostile.good()["nifti"][0][1])], seconds=1)
    assert len(scans) == 1
    assert problems == ["a.png: reading it takes more than 1 s and was stopped. Upload fewer or smaller files."]


def test_a_reader_that_sleeps_is_stopped(reader_that, monkeypatch):
    monkeypatch.setattr(sandbox, "WALL_FACTOR", 1)
    reader_that(when_reading="time.sleep(60)")
    _, problems = read_upload(hostile.good()["png"], seconds=2)
    assert problems == ["a.png: reading it takes more than 2 s and was stopped. Upload fewer or smaller files."]


def test_the_clock_is_generous_where_processor_time_is_limited(monkeypatch):
    assert sandbox.clock_seconds(5) == (300 if find_spec("resource") else 40)
    monkeypatch.setattr(sandbox, "find_spec", lambda name: None)
    assert sandbox.clock_seconds(5) == 40


def test_a_reader_that_ends_before_its_first_file_is_told_in_words(reader_that):
    reader_that(at_start="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(IngestError, match="The reader ended before it opened a file"):
        read_upload(hostile.good()["png"])


@pytest.mark.parametrize("kind", list(hostile.good()))
def test_a_decoder_that_aborts_costs_its_file_alone(reader_that, kind):
    reader_that(when_reading="os.abort() if name == 'bad.png' else None")
    [(_, png)] = hostile.good()["png"]
    scans, problems = read_upload([("bad.png", png), *hostile.good()[kind]])
    assert len(scans) == (2 if kind in hostile_masks.good() else 1)
    assert problems == [
        "bad.png: it is damaged so that its decoder crashed (code -6), or it needs more than 1536 MB to unpack; left "
        "out."
    ]


def test_files_in_a_zip_and_in_a_series_are_left_out_one_by_one(reader_that):
    reader_that(when_reading="os.abort() if name in ('x/bad.png', 'IM0003') else None")
    [(_, png)] = hostile.good()["png"]
    zipped = hostile.zip_bytes([("x/bad.png", png), ("x/good.png", png)])
    scans, problems = read_upload([("a.zip", zipped), *hostile.dicom_series(hostile.stack()[..., 1])])
    assert sorted((scan.name, len(scan.voxels)) for scan in scans) == [("ax FLAIR", 5), ("x/good.png", 1)]
    assert [problem.split(":")[0] for problem in problems] == ["IM0003", "x/bad.png"]


def test_many_files_that_end_their_reader_are_named(reader_that, monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_CHILDREN", 2)
    reader_that(when_reading="os.abort()")
    [(_, png)] = hostile.good()["png"]
    with pytest.raises(IngestError, match="(?s)^2.png: .*\n1.png: .*left out.$"):  # of three, the second is FLAIR
        read_upload([(f"{number}.png", png) for number in (1, 2, 3)])


_REFUSING = """
import resource, sys
def refuse(limit, value):
    raise ValueError("current limit exceeds maximum limit")
resource.setrlimit = refuse
sys.platform = "darwin"
"""


def test_a_good_file_is_read_where_the_system_refuses_every_limit(reader_that):
    reader_that(at_start=_REFUSING)
    scans, problems = read_upload(hostile.good()["png"])
    assert (len(scans), problems) == (1, [])


def test_each_limit_is_set_where_it_exists():
    program = _REFUSING.replace("def refuse", "real = resource.setrlimit\ndef refuse").replace(
        "    raise", "    if limit != resource.RLIMIT_AS: return real(limit, value)\n    raise"
    )
    program += "from unet.scans.confine import limit_resources\nprint(*limit_resources(9))"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["CPU", "FSIZE", "CORE", "NPROC", "NOFILE"]


@pytest.mark.skipif(sys.platform != "linux", reason="these measures are Linux's")
def test_the_child_reaches_neither_network_nor_other_files(tmp_path):
    program = f"""
import os, socket
from pathlib import Path
from unet.scans.confine import confine
held = confine(Path({str(tmp_path)!r}), 9, os.getppid())
(Path({str(tmp_path)!r}) / "own").write_text("x")
def refused(measure, attempt):
    try:
        attempt()
    except OSError:
        return True
    return measure not in held  # this kernel does not have it
print(
    refused("no network", lambda: socket.create_connection(("127.0.0.1", LISTENING), 5)),
    refused("files", lambda: open("README.md").read()),
    refused("files", lambda: open({str(tmp_path.parent / "other")!r}, "w")),
)
"""
    (tmp_path.parent / "other").write_text("patient")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        program = program.replace("LISTENING", str(listening.getsockname()[1]))
        done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count processes, not threads")
def test_heic_is_read_where_the_system_limits_threads(tmp_path):
    program = f"""
import os, time
from pathlib import Path
from tests import hostile
from unet.scans.confine import SPARE_THREADS, confine
from unet.scans.reader import read_files
heic = hostile.good()["heic"]
read_files(heic)  # what is imported, as the user below may not read this folder
if os.getuid() == 0:
    os.setuid(65534)  # nobody: root has no limit
confine(Path({str(tmp_path)!r}), 60, os.getppid())
scans, problems = read_files(heic)
started = 0
try:
    while started < 100:
        if not os.fork():
            time.sleep(30)
        started += 1
except OSError:
    pass
print(len(scans), problems, started <= SPARE_THREADS + 4, flush=True)
os.killpg(0, 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, start_new_session=True
    )
    assert done.stdout.split() == ["1", "[]", "True"], done.stderr[-2000:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_that_the_reader_starts_ends_with_it(reader_that, monkeypatch, tmp_path):
    if os.getuid() != 0:
        pytest.skip("the system lets only root's reader start a process")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reader_that(when_reading="os.fork() or time.sleep(60)")
    scans, _ = read_upload(hostile.good()["png"])
    assert len(scans) == 1
    left = [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or [])]
    assert [one.pid for one in left if one.status() != psutil.STATUS_ZOMBIE] == []


def test_the_child_imports_neither_tensorflow_nor_streamlit():
    program = (
        "import sys, unet.scans.child, unet.scans.reader\n"
        "from unet.scans.formats import dicom, nifti, pictures, tiff\n"
        "print({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'streamlit', 'openvino', 'cv2'})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_reader_ends_where_its_server_has_ended(tmp_path):
    (tmp_path / "0").write_bytes(hostile.good()["png"][0][1])
    (tmp_path / "task.json").write_text(
        json.dumps(
            {"names": ["a.png"], "paths": [None], "stacked": True, "nice": 0, "left_out": [], "wanted": None}
            | {"language": "en"}
        )
    )
    (tmp_path / "paths.json").write_text("[]")
    command = [sys.executable, "-m", "unet.scans.child", str(tmp_path), "9"]
    for parent, code, result in ((1 << 22, 1, False), (os.getpid(), 0, True)):
        assert subprocess.run([*command, str(parent)], cwd=PROJECT).returncode == code
        assert (tmp_path / "result.json").exists() is result


def test_limits_of_size_are_for_each_file_and_for_all(monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_FILE_BYTES", 4 << 20)
    monkeypatch.setattr(sandbox, "MAX_UPLOAD_BYTES", 5 << 20)
    [(_, png)] = hostile.good()["png"]
    big, bigger = png + bytes(3 << 20), png + bytes(5 << 20)
    scans, problems = read_upload([("a.png", bigger), ("b.png", big), ("c.png", big), ("d.png", png)])
    assert len(scans) == 2
    assert problems == [
        "a.png: 5 MB; at most 4 MB are allowed for a file.",
        "c.png: left out, because the upload would exceed 5 MB. Upload less at once.",
    ]


def test_arrays_come_back_exactly():
    images = hostile.stack().astype(np.int16)
    scans, _ = read_upload([("a.nii", hostile.nifti_of(images))])
    np.testing.assert_array_equal(scans[0].voxels, images)
