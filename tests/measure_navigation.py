"""Go from Explore to every other page and back, on a busy machine, and count what is lost on the way.

    python -m tests.measure_navigation --trips 50 --busy 4

A trip moves the view, or opens another patient, and leaves at once or a moment later: by the menu, or by the button to
"How it works". Lost is a page that did not open, or another patient or slice than was in view.
"""

import argparse
import multiprocessing
import random
import time
from collections import Counter
from contextlib import contextmanager
from urllib.parse import parse_qs, urlparse

from tests.browser.viewer import probe, wait_for_view
from unet.data.patients import DEMO_FOLDER, list_patients
from views.app_process import running_browser, running_server, wait_until_healthy

PATIENTS = [patient.patient_id for patient in list_patients(DEMO_FOLDER)[0]]
WAYS = {  # what is clicked, and what then shows that the page is there
    "button": ("button", "How the network computes this", "6 · Try: what does the network depend on?"),
    "How it works": ("link", "How it works", "6 · Try: what does the network depend on?"),
    "Your own MRI": ("link", "Your own MRI", "Files are read for this visit only"),
    "Results": ("link", "Results", "Accuracy of the network"),
    "Training": ("link", "Training", "Train a small network"),
}


@contextmanager
def busy_processes(count: int):
    """Keep that many processes computing."""
    processes = [multiprocessing.Process(target=_compute, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.terminate()
        process.join()


def _compute() -> None:
    while True:
        sum(range(1_000_000))


def in_view(page) -> tuple[str, int]:
    """Return the patient in the viewer and the number of the slice, from 1."""
    patient, index = probe(page, "[viewer.data.patient, viewer.position[0]]")
    return patient, index + 1


def in_lesson(page) -> tuple[str, int]:
    """Return the patient and the slice of "How it works", by its controls and by its address."""
    number = int(page.get_by_role("slider", name="Slice of 24").input_value())
    patient = page.get_by_role("combobox", name="Patient").input_value()
    chosen = patient.split()[0] if patient else parse_qs(urlparse(page.url).query).get("patient", [""])[0]
    return chosen, number


def choose_another_patient(page, draw: random.Random) -> None:
    patient = draw.choice([one for one in PATIENTS if one != in_view(page)[0]])
    page.get_by_role("combobox", name="Patient").click()
    page.keyboard.type(patient)
    page.get_by_role("option").first.filter(has_text=patient).wait_for()
    page.keyboard.press("Enter")
    wait_for_view(page, "viewer.data.patient === argument", patient)


def trip(page, way: str, draw: random.Random) -> str | None:
    """Leave Explore and come back; return what was lost, or None."""
    page.evaluate("window.opened = true")
    lost = _trip(page, way, draw)
    if lost and not page.evaluate("window.opened"):
        lost += ", loaded anew"
    return lost


def _trip(page, way: str, draw: random.Random) -> str | None:
    if draw.random() < 0.2:
        choose_another_patient(page, draw)
    probe(page, "viewer.moveTo([argument])", draw.randrange(24))
    pause = draw.choice([0, 0, 100, 300, 450, 600, 1000, 2000])
    page.wait_for_timeout(pause)
    left = in_view(page)
    role, name, text = WAYS[way]
    page.get_by_role(role, name=name, exact=role == "link").click()
    try:
        page.get_by_text(text).first.wait_for(timeout=60_000)
    except Exception:
        return f"{way} after {pause} ms: the page did not open, {page.url}"
    if WAYS[way][2].startswith("6"):
        page.wait_for_timeout(1500)
        if (found := in_lesson(page)) != left:
            return f"{way} after {pause} ms: {left} became {found}, {page.url}"
    page.get_by_role("link", name="Explore", exact=True).click()
    try:
        wait_for_view(page)
    except Exception:
        return f"{way} after {pause} ms: no way back, {page.url}"
    if (found := in_view(page)) != left:
        return f"{way} after {pause} ms, and back: {left} became {found}, {page.url}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trips", type=int, default=50, help="to each page, and back")
    parser.add_argument("--busy", type=int, default=4, help="processes that compute beside it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    draw, losses, started = random.Random(args.seed), Counter(), time.monotonic()
    environment = {"UNET_DATA": str(DEMO_FOLDER)}
    with running_server(environment) as (address, server), running_browser() as browser, busy_processes(args.busy):
        wait_until_healthy(address, server)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)

        def start() -> None:
            page.goto(f"http://{address}/?patient={draw.choice(PATIENTS)}&slice={1 + draw.randrange(24)}")
            wait_for_view(page)

        start()
        for number in range(args.trips):
            for way in args.ways:
                if lost := trip(page, way, draw):
                    losses[way] += 1
                    print(f"{number}: {lost}", flush=True)
                    start()
                elif draw.random() < 0.3:
                    start()
                print(f"trip {number + 1}, {way}: {sum(losses.values())} lost so far", flush=True)
        page.close()
    seconds = time.monotonic() - started
    print(f"{args.trips} trips to each of {len(args.ways)} in {seconds:.0f} s; lost: {dict(losses) or 0}")


if __name__ == "__main__":
    main()
