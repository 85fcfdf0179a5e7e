"""A study of 1.5 GB and eight series with FLAIR last (generated): how long it takes, and what the server holds of it.

    python -m tests.measure_studies
    python -m tests.measure_studies folder      one of: command, folder, zip

The study is read as a folder by the command line's reader, then chosen in Chromium as a folder and as one zip. Printed
are the times, from the choice to the cards, and the memory of the server's process, which the browser's is no part of.
It takes 6 GB of the disk.
"""

import resource
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
from pydicom.uid import generate_uid

from tests.upload_files import dicom_bytes, dicom_slice
from unet.data.patients import DEMO_FOLDER
from unet.scans.sandbox import read_study
from views.app_process import running_browser, running_server, wait_until_healthy

SCREENSHOT = Path(tempfile.gettempdir()) / "measure_studies.png"
MB = 1 << 20
# description, slices, side of a slice; FLAIR is last, as a scanner may number it
SERIES = (
    ("t2_swi3d_tra", 511, 512),
    ("TOF_3D_multi-slab", 580, 560),  # more than an upload may decode to: named, and nothing more
    ("ep2d_diff_ADC", 511, 512),
    ("t2_tse_tra", 511, 512),
    ("perf_dsc", 511, 512),
    ("t1_mprage_sag", 192, 256),
    ("t1_mprage_sag_km", 192, 256),
    ("t2_flair_3d", 192, 256),
)
WAYS = ("command", "folder", "zip")


def write_study(folder: Path) -> list[Path]:
    """Write the study, a folder a series, and return its files: noise in discs, which no codec packs away."""
    files = []
    for number, (description, slices, side) in enumerate(SERIES, start=1):
        own = folder / f"{number:02d}_{description}"
        own.mkdir(parents=True)
        noise = np.random.default_rng(number).integers(0, 4000, (side, side), np.uint16)
        uid, step = generate_uid(), 180 / slices
        for index in range(slices):
            dataset = dicom_slice(
                np.roll(noise, index),
                (-128.0, -128.0, -90 + step * index),
                SeriesDescription=description,
                SeriesInstanceUID=uid,
                SeriesNumber=number,
                InstanceNumber=index + 1,
                PixelSpacing=[256 / side, 256 / side],
                SliceThickness=step,
            )
            path = own / f"IM{index:04d}.dcm"
            path.write_bytes(dicom_bytes(dataset))
            files.append(path)
    return files


class Peak:
    """The highest memory of a process above what it held at first, seen every 50 ms while the block runs, MB.

    `anonymous` is what nothing but the process can free; `resident` counts pages of files that the system may drop too.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._stop = process, threading.Event()
        self._before = self._look()
        self.anonymous = self.resident = 0.0

    def _look(self) -> tuple[float, float]:
        used = self._process.memory_info()
        return (used.rss - used.shared) / MB, used.rss / MB

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            anonymous, resident = self._look()
            self.anonymous = max(self.anonymous, anonymous - self._before[0])
            self.resident = max(self.resident, resident - self._before[1])

    def __enter__(self) -> "Peak":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()


def through_the_page(what: str, path: Path, folder: bool = False) -> None:
    """Choose a file, or a folder, on "Your own MRI" in Chromium, and wait for the cards."""
    with running_server({"UNET_DATA": str(DEMO_FOLDER)}) as (address, server), running_browser() as browser:
        wait_until_healthy(address, server)
        page = browser.new_page(viewport={"width": 1440, "height": 1200})
        page.set_default_timeout(600_000)
        answered, refused = [0.0], []
        page.on("response", lambda answer: _note(answer, answered, refused))
        page.goto(f"http://{address}/upload")
        page.get_by_text("Drop an MRI here").wait_for()
        if folder:
            page.get_by_text("Choose a whole folder").click()
            page.locator("input[type=file][webkitdirectory]").wait_for(state="attached")
        time.sleep(3)  # what the server imports after its start
        with Peak(psutil.Process(server.pid)) as peak:
            started = time.perf_counter()
            page.locator("input[type=file]").first.set_input_files(path)
            page.get_by_text("3. t2_flair_3d").first.wait_for()
            found = time.perf_counter()
            page.get_by_role("button", name="Segment").wait_for()
        waiting = page.get_by_role("button", name="Read this series").count()
        print(
            f"{what}, through the page: {found - started:.1f} s, of these {found - answered[0]:.1f} s after the last "
            f"file had arrived; server memory + {peak.anonymous:.0f} MB ({peak.resident:.0f} MB resident), with the "
            f"volume of {12 * 192 * 256 * 256 / MB:.0f} MB that the network gets; {waiting} series to be chosen; "
            f"{len(refused)} files refused",
            flush=True,
        )
        mapped = [box.input_value() for box in page.get_by_role("combobox").all()]
        print(f"    mapped: {mapped}", flush=True)
        page.screenshot(path=SCREENSHOT, full_page=True)


def _note(answer, answered: list[float], refused: list[int]) -> None:
    if "upload_file" in answer.url:
        answered[0] = time.perf_counter()
        refused += [answer.status] if answer.status >= 400 else []


def as_the_command_line(paths: list[Path], folder: Path) -> None:
    """Read the folder as `python -m unet predict FOLDER` does."""
    started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with Peak(psutil.Process()) as peak:
        study = read_study([(str(path.relative_to(folder)), path) for path in paths])
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
    print(
        f"as a folder, by the command line's reader: {time.perf_counter() - started:.1f} s, {used:.1f} s of the "
        f"processor; memory of the process that waits + {peak.anonymous:.0f} MB ({peak.resident:.0f} MB resident); "
        f"read: {', '.join(scan.name for scan in study.scans)}; waiting: {len(study.waiting)}; "
        f"left out: {len(study.problems)}",
        flush=True,
    )


def main() -> None:
    folder, wanted = Path(tempfile.mkdtemp(prefix="unet-study-")), sys.argv[1:] or WAYS
    try:
        files = write_study(folder / "study")
        size = sum(path.stat().st_size for path in files)
        load = psutil.getloadavg()[0]
        print(f"{len(files):,} files of {len(SERIES)} series, {size / 1e9:.2f} GB; load {load:.0f}", flush=True)
        if "command" in wanted:
            as_the_command_line(files, folder)
        if "folder" in wanted:
            through_the_page("as a folder", folder / "study", folder=True)
        if "zip" in wanted:
            with zipfile.ZipFile(folder / "study.zip", "w") as packed:
                for path in files:
                    packed.write(path, path.relative_to(folder))
            through_the_page("as one zip", folder / "study.zip")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
