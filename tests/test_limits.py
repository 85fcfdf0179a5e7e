"""What the server turns away while the bytes arrive."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from streamlit import runtime

from tests import hostile
from views import limits
from views.limits import UploadLimits

HEAD = b'--x\r\nContent-Disposition: form-data; name="a"; filename="%s"\r\n\r\n'
[(_, PNG)] = hostile.good()["png"]


class Server:
    """Streamlit's place: takes whole bodies and counts them."""

    def __init__(self, status=204):
        self.status, self.received = status, []

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.received.append(body)
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def run(coroutine) -> None:
    """Run a coroutine in a thread: the browser tests leave an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()


def put(app, content: bytes, file="f", session="s", method="PUT", name=b"a.png", chunk=1000) -> int:
    """Send a body in chunks; return the status."""
    body = (HEAD % name) + content
    chunks = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    answers = []

    async def receive():
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message):
        answers.append(message)

    scope = {"type": "http", "method": method, "path": f"/_stcore/upload_file/{session}/{file}", "headers": []}
    run(app(scope, receive, send))
    return answers[0]["status"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 10_000)
    monkeypatch.setattr(limits, "MAX_UPLOAD_BYTES", 20_000)
    monkeypatch.setattr(limits, "MULTIPART_BYTES", 1_000)


def test_a_picture_passes_unchanged():
    server = Server()
    assert put(UploadLimits(server), PNG) == 204
    assert server.received == [(HEAD % b"a.png") + PNG]


def test_a_body_is_stopped_as_soon_as_it_is_too_much():
    server = Server()
    assert put(UploadLimits(server), PNG + bytes(50_000)) == 413
    assert server.received == []


def test_a_visit_has_a_total_and_taking_a_file_away_makes_room():
    app = UploadLimits(Server())
    nine = PNG + bytes(9_000 - len(PNG))
    assert [put(app, nine, file=name) for name in "abc"] == [204, 204, 413]
    assert put(app, nine, file="c", session="another") == 204
    assert put(app, b"", file="a", method="DELETE") == 204
    assert put(app, nine, file="c") == 204
    assert put(app, nine, file="c") == 204  # the same again counts once


def test_many_small_files_count_in_full():
    app = UploadLimits(Server())
    small = PNG[:900]  # less than what may come around the files
    answers = [put(app, small, file=str(number)) for number in range(30)]
    assert answers[:20] == [204] * 20 and answers[-1] == 413


def test_a_file_that_streamlit_refuses_does_not_count():
    server = Server(status=400)
    app = UploadLimits(server)
    nine = PNG + bytes(9_000 - len(PNG))
    assert [put(app, nine, file=name) for name in "abcd"] == [400] * 4
    server.status = 204
    assert put(app, nine) == 204


@pytest.mark.parametrize("seconds, answer", [(1, 413), (179, 413), (181, 204)])
def test_a_visit_is_forgotten_only_when_it_can_come_back_no_more(monkeypatch, seconds, answer):
    active, clock = {"s", "other"}, [0.0]
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(is_active_session=active.__contains__))
    app = UploadLimits(Server(), now=lambda: clock[0])
    nine = PNG + bytes(9_000 - len(PNG))
    assert [put(app, nine, file=name) for name in "abc"] == [204, 204, 413]
    clock[0] = 10_000
    active.remove("s")  # the connection drops; Streamlit keeps the session and its files for two minutes
    assert put(app, nine, file="a", session="other") == 204  # somebody else's upload, when the first is seen to be gone
    clock[0] += seconds
    assert put(app, nine, file="a", session="other") == 204
    active.add("s")
    assert put(app, nine, file="c") == answer


def test_a_visit_that_comes_back_is_as_if_it_had_never_gone(monkeypatch):
    active, clock = {"s"}, [0.0]
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(is_active_session=active.__contains__))
    app = UploadLimits(Server(), now=lambda: clock[0])
    nine = PNG + bytes(9_000 - len(PNG))
    assert [put(app, nine, file=name) for name in "ab"] == [204, 204]
    for there in (set(), {"s"}, set()):
        active.clear()
        active |= there
        clock[0] += 100
        put(app, nine, file="x", session="other")
    active.add("s")
    assert put(app, nine, file="c") == 413


def test_sessions_that_streamlit_does_not_know_are_not_remembered(monkeypatch):
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(is_active_session=lambda session: False))
    app = UploadLimits(Server(status=400))
    assert [put(app, PNG, session=str(number)) for number in range(5)] == [400] * 5
    assert len(app._held) == 1


@pytest.mark.parametrize("content", [b"MZ" + bytes(900), b"<html></html>", b"", b"\x80\x04cos\nsystem\n"])
def test_what_no_reader_knows_is_turned_away(content):
    server = Server()
    assert put(UploadLimits(server), content, chunk=7) == 415
    assert server.received == []


@pytest.mark.parametrize("kind", list(hostile.good()))
def test_what_the_readers_know_passes(kind, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 10 << 20)
    monkeypatch.setattr(limits, "MAX_UPLOAD_BYTES", 10 << 20)
    [(name, content)] = hostile.good()[kind]
    assert put(UploadLimits(Server()), content, name=name.encode()) == 204


def test_the_other_half_of_a_pair_passes_by_its_name():
    assert put(UploadLimits(Server()), bytes(900), name=b"brain.img") == 204


def test_other_requests_are_left_alone():
    server = Server()
    scope = {"type": "http", "method": "PUT", "path": "/_stcore/health", "headers": []}

    async def receive():
        return {"type": "http.request", "body": bytes(50_000)}

    async def send(message):
        assert message.get("status", 204) == 204

    run(UploadLimits(server)(scope, receive, send))
    assert len(server.received[0]) == 50_000


def test_the_app_that_streamlit_serves_has_the_limits_before_it():
    import streamlit_app

    assert [one.cls for one in streamlit_app.app._user_middleware] == [UploadLimits]
