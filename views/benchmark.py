"""Measure the running app: cold start, scrolling in Chromium, and many visitors at once.

    python -m unet benchmark --app

It starts servers of its own on the phantoms or the folder that `UNET_DATA` names. What happens in the browser needs
Playwright and Chromium; visitors are connections that speak Streamlit's protocol, as thirty browsers would measure
themselves and not the server.
"""

import argparse
import json
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from unet.data.patients import find_data_root, list_patients
from views.app_process import running_browser, running_server, wait_until_healthy

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from streamlit.proto.Selectbox_pb2 import Selectbox
    from websockets.sync.client import ClientConnection

FIND_VIEWER = (
    "[...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('.viewer')?.viewer).find(Boolean)"
)
SCROLLED_SLICES = 300
CHANGE_SECONDS = 20  # a visitor looks this long at a patient


def cold_start(browser: "Browser", query: str = "") -> dict:
    """Return seconds from starting the server to the first segmented picture, and the server's memory then.

    The converted network is in the cache folder already, as on every start but the first.
    """
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    started = time.perf_counter()
    with running_server() as (address, server):
        wait_until_healthy(address, server)
        answered = time.perf_counter()
        page.goto(f"http://{address}/{query}", wait_until="commit")
        page.wait_for_function(
            f"(() => {{ const v = {FIND_VIEWER}; return v?.frames && v.study.arrived(v.data.model.id); }})()",
            timeout=120_000,
            polling=20,
        )
        seen = time.perf_counter()
        page.wait_for_function(f"() => {{ const v = {FIND_VIEWER}; return !v.follows; }}", timeout=120_000)
        memory = psutil.Process(server.pid).memory_info().rss
    page.close()
    return {
        "server_answers_s": round(answered - started, 2),
        "first_segmented_picture_s": round(seen - started, 2),
        "server_memory_mb": round(memory / 2**20),
    }


def scrolling(browser: "Browser") -> dict:
    """Return frames per second while every frame shows another slice or threshold, and how soon a slider is obeyed.

    On the patient with most slices: 88 in the data set. `slider_to_pixels_ms` is the median time from the input event
    of the threshold's slider to the drawn picture.
    """
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    with running_server() as (address, server):
        wait_until_healthy(address, server)
        longest = max(list_patients(find_data_root())[0], key=lambda patient: len(patient.images))
        page.goto(f"http://{address}/?patient={longest.patient_id}")
        page.wait_for_function(
            f"(() => {{ const v = {FIND_VIEWER}; return v?.study?.shape && !v.follows"
            " && v.study.arrived(v.data.model.id) === v.data.shape[0]; })()",
            timeout=120_000,
        )
        page.wait_for_timeout(3000)
        sent = []
        page.on("websocket", lambda socket_: socket_.on("framesent", lambda frame: sent.append(frame)))
        result = page.evaluate(
            f"""async (count) => {{
                const viewer = {FIND_VIEWER}, slices = viewer.data.shape[0];
                const frame = () => new Promise(requestAnimationFrame);
                const rate = async (change) => {{
                    await frame();
                    const drawn = viewer.frames, started = performance.now();
                    for (let i = 0; i < count; i++) {{ change(i); await frame(); }}
                    return 1000 * (viewer.frames - drawn) / (performance.now() - started);
                }};
                const slider = viewer.find("[data-range=threshold]");
                const delay = async (value) => {{
                    const drawn = viewer.frames, started = performance.now();
                    slider.value = value;
                    slider.dispatchEvent(new Event("input"));
                    while (viewer.frames === drawn) await frame();
                    return performance.now() - started;
                }};
                const delays = [];
                for (let i = 0; i < 51; i++) delays.push(await delay(0.2 + i / 100));
                return {{
                    slider_to_pixels_ms: delays.sort((a, b) => a - b)[25],
                    slices, pane_pixels: viewer.panes[0].canvas.width,
                    scrolling_frames_per_s: await rate((i) => viewer.moveTo([i % slices])),
                    threshold_frames_per_s: await rate((i) => viewer.set("threshold", 0.05 + (i % 90) / 100)),
                }};
            }}""",
            SCROLLED_SLICES,
        )
    page.close()
    return {name: round(value, 1) for name, value in result.items()}


class Visitor(threading.Thread):
    """One connection that opens the app and changes the patient again and again."""

    def __init__(self, address: str, number: int, until: float) -> None:
        super().__init__(daemon=True)
        self.address, self.number, self.until = address, number, until
        self.seconds: list[float] = []  # from choosing a patient to the first predicted slices
        self.errors: list[str] = []

    def run(self) -> None:
        """Visit until the time is over; keep an error in `errors` instead of raising it."""
        from websockets.sync.client import connect
        from websockets.typing import Subprotocol

        try:
            address = f"ws://{self.address}/_stcore/stream"
            with connect(address, max_size=2**28, subprotocols=[Subprotocol("streamlit")]) as connection:
                self._visit(connection)
        except Exception as error:  # whatever happens to a visitor is counted, not hidden
            self.errors.append(repr(error))

    def _visit(self, connection: "ClientConnection") -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        choice = None
        turn = self.number
        while time.monotonic() < self.until:
            message = BackMsg()
            message.rerun_script.query_string = ""
            if choice is not None:
                state = message.rerun_script.widget_states.widgets.add()
                state.id, state.string_value = choice.id, choice.options[turn % len(choice.options)]
            started = time.monotonic()
            connection.send(message.SerializeToString())
            choice = self._receive(connection, started) or choice
            turn += 13  # neighbours look at different patients, and everybody at all of them in time
            time.sleep(max(0.0, min(self.until - time.monotonic(), started + CHANGE_SECONDS - time.monotonic())))

    def _receive(self, connection: "ClientConnection", started: float) -> "Selectbox | None":
        """Read until the script has finished; return the patient box."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        box, first = None, None
        while True:
            received = connection.recv(timeout=120)
            assert isinstance(received, bytes)  # Streamlit sends binary frames only
            message = ForwardMsg.FromString(received)
            kind = message.WhichOneof("type")
            if kind == "script_finished":
                break
            if kind != "delta" or message.delta.WhichOneof("type") != "new_element":
                continue
            element = message.delta.new_element
            what = element.WhichOneof("type")
            if what == "selectbox" and element.selectbox.label == "Patient":
                box = element.selectbox
            elif what == "exception":
                self.errors.append(element.exception.message)
            elif what == "bidi_component" and b'"kind":"prediction"' in element.bidi_component.bytes[:200]:
                first = first or time.monotonic() - started
        if first is None:
            self.errors.append("the script finished without a prediction")
        else:
            self.seconds.append(first)
        return box


def visitors(count: int, seconds: float) -> dict:
    """Return how long visitors wait for the first overlay, how often something went wrong, and how memory grows."""
    with running_server() as (address, server):
        wait_until_healthy(address, server)
        process = psutil.Process(server.pid)
        until = time.monotonic() + seconds
        crowd = [Visitor(address, number, until) for number in range(count)]
        for visitor in crowd:
            visitor.start()
            time.sleep(min(1.0, CHANGE_SECONDS / count))  # a class does not click in the same instant
        memory = []
        while any(visitor.is_alive() for visitor in crowd):
            memory.append((time.monotonic() - (until - seconds), process.memory_info().rss / 2**20))
            time.sleep(1)
    waits = sorted(value for visitor in crowd for value in visitor.seconds)
    errors = [error for visitor in crowd for error in visitor.errors]
    settled = [megabytes for at, megabytes in memory if at >= min(60, seconds / 2)]
    return {
        "visitors": count,
        "seconds": round(seconds),
        "patients_opened": len(waits),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "first_overlay_median_s": round(statistics.median(waits), 2) if waits else None,
        "first_overlay_95th_s": round(waits[int(0.95 * (len(waits) - 1))], 2) if waits else None,
        "memory_mb": round(max(m for _, m in memory)),
        "memory_growth_after_first_minute_mb": round(settled[-1] - settled[0]) if settled else None,
    }


def main() -> None:
    """Measure with the options of the command line, print each result, and write all as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, nargs="*", default=[1, 5, 30])
    parser.add_argument("--minutes", type=float, default=10, help="for the largest crowd; the others get one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result: dict = {}
    try:
        with running_browser() as browser:
            cold_start(browser)  # fills the disk cache
            result["cold_start"] = cold_start(browser)
            print(result["cold_start"], flush=True)
            result["scrolling"] = scrolling(browser)
            print(result["scrolling"], flush=True)
    except (ImportError, FileNotFoundError) as error:
        print(f"the browser's part is left out: {error}", flush=True)
    result["visitors"] = []
    for count in args.visitors:
        largest = count == max(args.visitors)
        result["visitors"].append(visitors(count, 60 * args.minutes if largest else 60))
        print(result["visitors"][-1], flush=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
