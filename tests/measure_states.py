"""Send widget states and query values that no browser sends, to every page of a running server.

    python -m tests.measure_states

It prints for each page how many were sent and each that ended in an uncaught error; about four minutes. A browser's
widgets hold them to their choices; a message may be made by hand.
"""

import math
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from unet.data.patients import DEMO_FOLDER
from views.app_process import running_server, wait_until_healthy

PAGES = ("explore", "learn", "upload", "results", "training")
DEEP = "[" * 20_000
JSON = (
    "null", "{", "", "1", "[]", '"a"', "1e400", "NaN", DEEP, '{"view":1}', '{"view":{"slice":1e400}}', "[[[[]]]]",
    '{"view":{"threshold":"x","volume":[],"slice":{}}}', '{"selection":null}', '{"selection":{"rows":["a"]}}',
    '{"selection":{"rows":[-1]}}', '{"selection":{"rows":[999999999]}}', '{"selection":{"rows":[1.5]}}',
    '{"selection":{"rows":{"a":1}}}', '{"selection":{"points":[{}]}}', '{"selection":[]}',
    '{"selection":{"rows":[null]}}', '{"selection":{"rows":[], "columns":[7], "cells":[["a"]]}}',
    '{"value":null}', '"' + "a" * 100_000 + '"',
)  # fmt: skip
TEXTS = ("", "null", "{", "\x00", "../../etc/passwd", "<script>", "a" * 100_000, "٣", "\U0001d518", "1e400", "[" * 2000)
NUMBERS = (math.nan, math.inf, -math.inf, 1e308, -1.0, 0.5)
WHOLE = (-1, 0, 2**31 - 1, 10**12)


def hostile_values() -> Iterator[tuple[str, object]]:
    """Yield (field of the message, value) of every kind of state."""
    for text in TEXTS:
        yield "string_value", text
        yield "string_trigger_value", text
        yield "string_array_value", [text]
        yield "bytes_value", text.encode()
    for text in JSON:
        yield "json_value", text
        yield "json_trigger_value", text
        yield "string_value", text
    for number in NUMBERS:
        yield "double_value", number
        yield "double_array_value", [number]
        yield "double_array_value", [number] * 50
    for number in WHOLE:
        yield "int_value", number
        yield "int_array_value", [number]
        yield "int_array_value", [number] * 50
    for empty in ("string_array_value", "int_array_value", "double_array_value", "file_uploader_state_value"):
        yield empty, []
    yield "bool_value", True
    yield "trigger_value", True


def widget_state(widget: str, field: str, value) -> WidgetState:
    """Return the message of one widget."""
    state = WidgetState(id=widget)
    message = getattr(state, field)
    if field == "file_uploader_state_value":
        message.SetInParent()
    elif field.endswith("array_value"):
        message.data.extend(value)
        message.SetInParent()
    elif field == "string_trigger_value":
        message.data = value
    else:
        setattr(state, field, value)
    return state


class Tab:
    """A browser tab without a browser, on one page."""

    def __init__(self, address: str, page: str):
        self.page, self._open = page, ExitStack()
        self._socket = self._open.enter_context(
            connect(f"ws://{address}/_stcore/stream", max_size=2**28, subprotocols=[Subprotocol("streamlit")])
        )
        self.widgets: dict[str, str] = {}

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *_) -> None:
        self._open.close()

    def run(self, query: str = "", states: list[WidgetState] | None = None) -> list[str]:
        """Run the page and return its uncaught errors; remembers the widgets that it shows."""
        message = BackMsg()
        message.rerun_script.query_string = query
        message.rerun_script.page_name = self.page
        message.rerun_script.widget_states.widgets.extend(states or [])
        self._socket.send(message.SerializeToString())
        errors = []
        while True:
            answer = ForwardMsg.FromString(self._socket.recv(timeout=120, decode=False))
            kind = answer.WhichOneof("type")
            if kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                element = answer.delta.new_element
                name = element.WhichOneof("type")
                if name == "exception":
                    errors.append(f"{element.exception.type}: {element.exception.message[:200]}")
                elif name and (widget_id := getattr(getattr(element, name), "id", "")):
                    self.widgets[widget_id] = name
            elif kind == "script_finished":
                if answer.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                    errors.append("compile error")
                if answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    return errors


QUERY_NAMES = (
    "patient", "slice", "threshold", "overlay", "opacity", "layout", "weights", "beside", "split", "row", "run", "pair",
    "channel", "simple_viewer", "section", "view", "data",
)  # fmt: skip


def queries(count: int, rng: random.Random) -> Iterator[str]:
    """Yield query strings with hostile values."""
    values = [
        *TEXTS,
        *(text[:2000] for text in JSON),
        "-1",
        "nan",
        "999999999999999999999",
        "%00",
        "a&b=c",
        "__proto__",
    ]
    for _ in range(count):
        names = rng.sample(QUERY_NAMES, rng.randint(1, 4))
        yield "&".join(f"{name}={quote(rng.choice(values)[:2000])}" for name in names)


def attack(address: str, page: str, states: int, query_values: int, seed: int = 0) -> tuple[int, list[str]]:
    """Send hostile states and queries to a page.

    Returns:
        How many were sent, and those that ended in an uncaught error, each with what was sent.
    """
    rng, found, sent = random.Random(seed), [], 0
    with Tab(address, page) as tab:
        found += [f"unprovoked: {error}" for error in tab.run()]
        pairs = [(widget, *value) for widget in tab.widgets for value in hostile_values()]
        rng.shuffle(pairs)
        for widget, field, value in pairs[:states]:
            sent += 1
            errors = tab.run(states=[widget_state(widget, field, value)])
            found += [f"{tab.widgets[widget]} {field} {value!r:.60}: {error}" for error in errors]
        for query in queries(query_values, rng):
            sent += 1
            found += [f"{query:.80}: {error}" for error in tab.run(query)]
    return sent, found


def main() -> int:
    """Attack every page and print what came of it."""
    total = 0
    with running_server({"UNET_DATA": str(DEMO_FOLDER)}) as (address, server):
        wait_until_healthy(address, server)
        for page in PAGES:
            sent, found = attack(address, page, 500, 500)
            total += len(found)
            print(f"{page}: {sent} sent, {len(found)} uncaught", flush=True)
            for line in found:
                print(f"  {line}", flush=True)
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
