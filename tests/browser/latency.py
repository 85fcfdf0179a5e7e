"""Measure how long a slice takes from the slider to the picture, the patient being segmented already.

    python -m tests.browser.latency

Prints the median and the slowest of 30 moves, in milliseconds, measured in the browser.
"""

import statistics
import time

from tests.browser.conftest import running_app, running_browser

SECOND = "PHANTOM_ICBM_0002_20260102"
LOADED = """alt => [...document.images].some(i => i.alt.includes(alt) && i.complete && i.naturalWidth > 0)"""


def main() -> None:
    with running_app() as address, running_browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{address}/?patient={SECOND}&slice=1")
        page.wait_for_function(LOADED, arg=f"{SECOND}, slice 1,", timeout=120_000)
        page.get_by_text("Where the network looks").wait_for()
        page.get_by_role("slider").first.focus()
        milliseconds = []
        for move in range(30):
            # to and fro, so that half the pictures are new to the browser
            forward = move % 20 < 15
            number = int(page.get_by_role("slider").first.input_value()) + (1 if forward else -1)
            started = time.perf_counter()
            page.keyboard.press("ArrowRight" if forward else "ArrowLeft")
            page.wait_for_function(LOADED, arg=f"{SECOND}, slice {number},", polling=5)
            milliseconds.append(1000 * (time.perf_counter() - started))
            page.wait_for_timeout(150)
    print(f"slider to picture: median {statistics.median(milliseconds):.0f} ms, slowest {max(milliseconds):.0f} ms")


if __name__ == "__main__":
    main()
