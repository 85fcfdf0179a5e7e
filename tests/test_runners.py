"""Where a run is executed: the handle of a process, and the same command line as a job of a local Ray."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train
from unet.jobs import runners
from unet.jobs.runners import LocalRunner, RayRunner, RunnerError, local_handle, run_in_background, runner_of

PROJECT = Path(__file__).resolve().parent.parent


def test_local_process_from_start_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    runner = LocalRunner()
    handle = runner.start([], tmp_path / "output.txt")
    assert runner.is_alive(handle)
    assert not runner.is_alive({**handle, "start": f"{handle['start']}0"})
    assert os.getsid(handle["pid"]) == handle["pid"]  # a session of its own
    runner.end(handle)
    deadline = time.monotonic() + 20
    while runner.is_alive(handle) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runner.is_alive(handle)
    runner.end(handle, force=True)  # nothing happens


def test_handle_of_a_process_that_is_gone():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert not LocalRunner().is_alive(local_handle(gone.pid))
    assert not LocalRunner().is_alive({})


def test_runner_of_a_handle():
    assert isinstance(runner_of({"runner": "local", "pid": 1}), LocalRunner)
    assert isinstance(runner_of({}), LocalRunner)


def test_background_leaves_a_core_and_the_shell_alone(monkeypatch):
    written = []
    monkeypatch.setattr(os, "nice", lambda value: written.append(value))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid() + 1)  # as in a command of a shell
    monkeypatch.setattr(Path, "write_text", lambda self, text: written.append(str(self)))
    assert run_in_background() == 7
    assert written == [10, "/proc/self/oom_score_adj"]
    written.clear()
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid())
    run_in_background()
    assert written == [10, "/proc/self/autogroup", "/proc/self/oom_score_adj"]


@pytest.mark.parametrize("address", ["http://127.0.0.1", "ray://", "127.0.0.1"])
def test_address_that_is_none(address):
    pytest.importorskip("ray", reason='Ray is not installed: pip install "ray[default]"')
    with pytest.raises(RunnerError, match="expected ray://HOST or ray://HOST:PORT"):
        RayRunner(address)


def test_submit_without_ray_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)
    assert train.main(["--epochs=1", f"--run-dir={tmp_path / 'run'}", "--submit", "ray://127.0.0.1"]) == 1
    assert 'error: --submit needs Ray: pip install "ray[default]"' in capsys.readouterr().err


def test_submit_hands_over_the_same_command_line(monkeypatch, capsys, tmp_path):
    given = {}

    class Recorder:
        def __init__(self, address):
            given["address"] = address

        def start(self, arguments):
            given["arguments"] = arguments
            return {"job": "raysubmit_1"}

    monkeypatch.setattr(train, "RayRunner", Recorder)
    arguments = ["--epochs=1", f"--run-dir={tmp_path / 'run'}", "--filters", "64"]
    for submit in (["--submit", "ray://head"], ["--submit=ray://head"]):
        assert train.main([*arguments[:2], *submit, *arguments[2:]]) == 0
        assert given == {"address": "ray://head", "arguments": arguments}
    assert "ray job logs --follow raysubmit_1" in capsys.readouterr().out


@pytest.fixture(scope="module")
def local_ray():
    """A Ray of this machine with a dashboard that takes jobs."""
    pytest.importorskip("ray", reason='Ray is not installed: pip install "ray[default]"')
    command = shutil.which("ray") or str(Path(sys.executable).with_name("ray"))
    port = 28265
    options = ["--head", "--port=26379", f"--dashboard-port={port}", "--num-cpus=1", "--disable-usage-stats"]
    options += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--include-dashboard=true"]
    started = subprocess.run([command, "start", *options], capture_output=True, text=True)
    if started.returncode:  # it gives up after 30 s, which a busy machine may need
        subprocess.run([command, "stop", "--force"], capture_output=True)
        pytest.skip(f"Ray did not start here: {started.stderr.splitlines()[-1]}")
    yield f"ray://127.0.0.1:{port}"
    subprocess.run([command, "stop", "--force"], capture_output=True)


def test_job_on_a_local_ray(local_ray):
    runner = RayRunner(local_ray)
    handle = runner.start(["--help"])
    assert runner_of(handle).is_alive(handle) in (True, False)
    deadline = time.monotonic() + 300
    while runner.is_alive(handle) and time.monotonic() < deadline:
        time.sleep(1)
    output = runner._client.get_job_logs(handle["job"])
    assert "SUCCEEDED" in str(runner._client.get_job_status(handle["job"])), output
    assert "--strategy" in output
