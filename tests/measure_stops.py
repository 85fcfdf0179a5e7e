"""What a killed server leaves of a patient, and how long a small upload waits behind slow ones.

    python -m tests.measure_stops [TIMES]

A process reads a series, stores patients to evaluate, and stores slices for a run to train on, again and again; it is
killed at random moments. After each time the folders are swept, as the next start of the server does, and all that is
left is counted. Then ten visitors send slow files, and an eleventh a PNG.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from tests import hostile, hostile_large
from unet.jobs.folders import clear_abandoned, new_folder
from unet.scans.patient_folders import store_patients
from unet.scans.private_folders import PrivateFolder, sweep_folders
from unet.scans.sandbox import read_upload

SLOW_SECONDS = 24  # of processor time that a slow file may take here


def work() -> None:
    """Read, evaluate and store for training, for ever."""
    runs = Path(tempfile.gettempdir()) / "runs"
    series = hostile.dicom_series(hostile.stack(60, 256)[..., 1])
    slices = [
        (f"TCGA_XX_1234_19990101/TCGA_XX_1234_19990101_{number}{kind}.tif", hostile.tiff_bytes(image))
        for number, image in enumerate(hostile.stack(20, 256), start=1)
        for kind, image in (("", image), ("_mask", image[..., 0]))
    ]
    print("ready", flush=True)
    while True:
        read_upload(series)
        with PrivateFolder("patients") as folder:
            store_patients(slices, folder)
            time.sleep(0.3)
        folder = new_folder(runs)
        store_patients(slices, folder)
        time.sleep(0.3)
        shutil.rmtree(folder)


def kill_and_sweep(times: int) -> None:
    """Print how often something was there to sweep, and what was left after it."""
    found, files, left, survivors = 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        for _ in range(times):
            command = [sys.executable, "-c", "from tests.measure_stops import work; work()"]
            with subprocess.Popen(command, env={**os.environ, "TMPDIR": folder}, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(random.uniform(0, 2.5))
                process.send_signal(signal.SIGKILL)
            time.sleep(0.2)
            survivors += sum(folder in " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))
            files += sum(path.is_file() for path in Path(folder).rglob("*"))
            found += sweep_folders()
            clear_abandoned(Path(folder) / "runs")
            left += sum(path.is_file() for path in Path(folder).rglob("*"))
        tempfile.tempdir = None
    print(f"killed {times} times: {found} folders with {files} files swept, {survivors} readers alive, {left} left")


def wait_behind_slow_ones() -> None:
    """Print how long each of ten slow uploads and the eleventh took."""
    frame = hostile_large.many_scans(2048, 50)
    slow = hostile_large.packed(
        hostile.slice_image(),
        hostile_large.JPEGBaseline8Bit,
        [frame] * 16,
        Rows=2048,
        Columns=2048,
        NumberOfFrames=16,
    )
    took: dict[str, float] = {}

    def visit(name: str, files: hostile.Files, **more) -> None:
        started = time.monotonic()
        scans, problems = read_upload(files, visitor=name, **more)
        took[name] = time.monotonic() - started
        print(f"{name}: {took[name]:.1f} s, {len(scans)} scans {' '.join(problems)[:80]}", flush=True)

    threads = [
        threading.Thread(target=visit, args=(f"slow {n}", slow), kwargs={"seconds": SLOW_SECONDS}) for n in range(10)
    ]
    for thread in threads:
        thread.start()
    time.sleep(2)
    for n in range(3):
        visit(f"png {n}", hostile.good()["png"])
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    kill_and_sweep(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    wait_behind_slow_ones()
