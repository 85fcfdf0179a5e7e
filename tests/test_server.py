"""What the middleware refuses while a request arrives, without a server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from tests import hostile
from tests.server_client import HEAD, PNG, TOKEN
from views.server import closed_visits, connections, uploads
from views.server.connections import ConnectionGuard
from views.server.file_types import FileTypes
from views.server.headers import ClosedMetrics, SecurityHeaders, script_hashes
from views.server.hosts import HostCheck
from views.server.owners import UploadOwner
from views.server.refusals import Refusals
from views.server.settings import ServerSettings
from views.server.slow_bodies import BodyTimeout
from views.server.stored_files import StoredFiles
from views.server.uploads import UploadLimits

NINE = PNG + bytes(9_000 - len(PNG))


class Streamlit:
    """Streamlit's place: takes whole bodies and keeps them in a real file manager, or refuses all."""

    def __init__(self, status: int = 204):
        self.status, self.files, self.scopes = status, StoredFiles("/"), []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if self.status == 204 and scope["method"] == "PUT":
            session, file = scope["path"].split("/")[-2:]
            self.files.add_file(session, UploadedFileRec(file, "a.png", "", body))
        elif self.status == 204 and scope["method"] == "DELETE":
            self.files.remove_file(*scope["path"].split("/")[-2:])
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def run(coroutine):
    """Run a coroutine in a thread: the browser tests leave an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def scope(path="/", method="GET", type="http", **headers: str) -> dict:
    headers = {"host": "localhost:8501", **headers}
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": type, "method": method, "path": path, "headers": pairs}


async def ask(app, request: dict, chunks=(b"",), cut_off=False) -> tuple[int, str, dict]:
    """Send a request whose body comes in chunks; return status, words and headers."""
    chunks, answers = list(chunks), []

    async def receive():
        await asyncio.sleep(0)
        if request["type"] == "websocket":
            return {"type": "websocket.connect"}
        if not chunks:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks) or cut_off}

    async def send(message):
        answers.append(message)

    await Refusals(app)(request, receive, send)
    first = answers[0]
    return first.get("status", 0), answers[-1].get("body", b"").decode(), dict(first.get("headers", []))


async def put_file(app, content=NINE, file="f", session="s", method="PUT", name=b"a.png", chunk=1000, **options):
    body = (HEAD % name) + content
    chunks = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    path = f"/_stcore/upload_file/{session}/{file}"
    return (await ask(app, scope(path, method, **options.pop("headers", {})), chunks, **options))[0]


def put(app, *args, **options) -> int:
    return run(put_file(app, *args, **options))


@pytest.fixture
def streamlit():
    return Streamlit()


@pytest.fixture
def limits(monkeypatch, streamlit):
    """The limits of uploads, a thousandth of their size or less."""
    monkeypatch.setattr(uploads, "MAX_FILE_BYTES", 10_000)
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 20_000)
    monkeypatch.setattr(uploads, "MULTIPART_BYTES", 1_000)
    return UploadLimits(streamlit, lambda: streamlit.files, server_bytes=50_000)


# --- bytes of uploads


def test_a_picture_passes_unchanged(limits, streamlit):
    assert put(limits, PNG) == 204
    assert streamlit.files.file_storage["s"]["f"].data == (HEAD % b"a.png") + PNG


def test_a_body_is_stopped_as_soon_as_it_is_too_much(limits, streamlit):
    assert put(limits, PNG + bytes(50_000)) == 413
    assert put(limits, PNG, headers={"content_length": "50000"}) == 413
    assert streamlit.files.file_storage == {}


def test_a_visit_has_a_total_and_a_deleted_file_makes_room(limits):
    assert [put(limits, file=name) for name in "abc"] == [204, 204, 413]
    assert put(limits, file="c", session="another") == 204
    assert put(limits, b"", file="a", method="DELETE") == 204
    assert put(limits, file="c") == 204


def test_many_small_files_count_in_full(limits):
    answers = [put(limits, PNG[:900], file=str(number)) for number in range(30)]
    assert answers[:20] == [204] * 20 and answers[-1] == 413


def test_the_number_of_files_is_limited(limits, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_FILES", 2)
    assert [put(limits, PNG, file=name) for name in "abc"] == [204, 204, 413]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_streamlit_refuses_makes_no_room(limits, streamlit, method):
    assert [put(limits, file=name) for name in "ab"] == [204, 204]
    streamlit.status = 403
    assert put(limits, PNG, file="a", method=method) == 403
    streamlit.status = 204
    assert put(limits, file="c") == 413


def test_a_refused_or_cut_off_file_does_not_count(limits, streamlit):
    streamlit.status = 400
    assert [put(limits, file=name) for name in "abcd"] == [400] * 4
    streamlit.status = 204
    for name in "abcd":
        with pytest.raises(ConnectionError):
            put(limits, file=name, cut_off=True)
    assert put(limits) == 204


def test_the_whole_server_has_a_total(limits):
    answers = [put(limits, session=str(number)) for number in range(6)]
    assert answers == [204] * 5 + [503]


def test_bodies_on_their_way_count_for_the_visit_and_the_server(limits, streamlit):
    async def at_once(keys):
        return await asyncio.gather(*(put_file(limits, session=session, file=file) for session, file in keys))

    assert set(run(at_once([("s", file) for file in "abcdef"]))) == {204, 413}
    assert uploads.held_bytes(streamlit.files) <= 21_000
    streamlit.files.remove_session_files("s")
    assert set(run(at_once([(session, "f") for session in "tuvwxyz"]))) == {204, 503}
    assert uploads.held_bytes(streamlit.files) <= 50_000


def test_a_file_is_uploaded_once_at_a_time(limits):
    async def twice():
        return await asyncio.gather(put_file(limits, PNG, chunk=10), put_file(limits, PNG, chunk=10))

    assert sorted(run(twice())) == [204, 409]


def test_a_visit_sends_few_files_at_once_and_the_others_wait(limits, monkeypatch):
    together, most = 0, 0

    class Counting(Streamlit):
        async def __call__(self, *args):
            nonlocal together, most
            together += 1
            most = max(most, together)
            await super().__call__(*args)
            together -= 1

    app = UploadLimits(counting := Counting(), lambda: counting.files)

    async def many():
        return await asyncio.gather(*(put_file(app, PNG[:100], file=str(number)) for number in range(20)))

    assert run(many()) == [204] * 20
    assert most == 6


# --- what kind of file


@pytest.mark.parametrize("content", [b"MZ" + bytes(900), b"<html></html>", b"", b"\x80\x04cos\nsystem\n"])
def test_what_no_reader_knows_is_refused(content, streamlit):
    assert put(FileTypes(streamlit), content, chunk=7) == 415
    assert streamlit.files.file_storage == {}


@pytest.mark.parametrize("kind", list(hostile.good()))
def test_what_the_readers_know_passes(kind, streamlit):
    for name, content in hostile.good()[kind]:
        assert put(FileTypes(streamlit), content, name=name.encode()) == 204
        streamlit.files.file_storage.clear()


def test_the_other_half_of_a_pair_passes_by_its_name(streamlit):
    assert put(FileTypes(streamlit), bytes(900), name=b"brain.img") == 204


def test_a_form_field_does_not_stand_for_the_file(streamlit):
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + PNG + b"\r\n" + HEAD % b"a.exe" + b"MZ"
    assert run(ask(FileTypes(streamlit), scope("/_stcore/upload_file/s/f", "PUT"), [field]))[0] == 400


# --- who may send


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_only_the_browser_that_opened_a_visit_changes_its_files(streamlit, method):
    token, other = generate_xsrf_token_string(bytes(16)), generate_xsrf_token_string(b"x" * 16)
    app = UploadOwner(streamlit, lambda session: {TOKEN: token} if session == "s" else {})
    again = generate_xsrf_token_string(bytes(16))  # the same token under another mask

    def asked(cookie: str, session="s") -> int:
        return put(app, PNG, session=session, method=method, headers={"cookie": f"{TOKEN}={cookie}"})

    assert (asked(token), asked(again), asked(other), asked(""), asked(token, "closed")) == (204, 204, 403, 403, 403)


# --- names


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("localhost:8501", "http://localhost:8501", True),
        ("127.0.0.1:8501", None, True),
        ("[::1]:8501", "http://[::1]:8501", True),
        ("LOCALHOST.:8501", None, True),
        ("app.example.org", "https://app.example.org", True),
        ("localhost:8501", "https://app.example.org", True),
        ("a.wild.example.org", "https://a.wild.example.org", True),
        ("wild.example.org", None, False),
        ("evil.example", "http://evil.example", False),
        ("localhost:8501", "http://evil.example", False),
        ("localhost:8501", "http://localhost:3000", False),
        ("localhost:8501", "null", False),
        ("localhost:8501", "http://localhost:8501@evil.example", False),
        ("localhost@evil.example", None, False),
        ("localhost:port", None, False),
        ("", None, False),
    ],
)
@pytest.mark.parametrize("type", ["http", "websocket"])
def test_foreign_names_are_refused(streamlit, host, origin, allowed, type):
    app = HostCheck(streamlit, ("app.example.org", "*.wild.example.org"))
    headers = {"host": host} | ({"origin": origin} if origin else {})
    run(ask(app, scope(type=type, **headers)))
    assert len(streamlit.scopes) == allowed


def test_a_host_that_allows_every_name_still_names_the_other_origins(streamlit):
    app = HostCheck(streamlit, ("*",))
    assert run(ask(app, scope(host="any.example", origin="http://any.example")))[0] == 204
    assert run(ask(app, scope(host="any.example", origin="http://evil.example")))[0] == 403


def test_streamlit_never_sees_an_origin_that_it_would_look_up(streamlit):
    run(ask(HostCheck(streamlit, ("app.example.org",)), scope(type="websocket", origin="https://app.example.org")))
    assert b"origin" not in dict(streamlit.scopes[0]["headers"])


def test_the_health_check_answers_to_every_name(streamlit):
    assert run(ask(HostCheck(streamlit), scope("/_stcore/health", host="10.0.0.7:8501")))[0] == 204


# --- headers and closed paths


def test_every_answer_has_the_headers_and_the_frame_is_a_setting(streamlit):
    headers = run(ask(SecurityHeaders(streamlit, "https://a.example"), scope()))[2]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"same-origin"
    assert headers[b"content-security-policy"].endswith(b"; frame-ancestors https://a.example")


def test_inline_scripts_are_allowed_by_their_hash():
    # the example of the specification, CSP3, section 8.3
    html = "<script src='a'></script><script>alert('Hello, world.');</script>"
    assert script_hashes(html) == ["'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"]


@pytest.mark.parametrize(("is_open", "status"), [(False, 404), (True, 204)])
@pytest.mark.parametrize("path", ["/_stcore/metrics", "/base/_stcore/metrics/"])
def test_metrics_are_closed_unless_asked_for(streamlit, path, is_open, status):
    assert run(ask(ClosedMetrics(streamlit, is_open), scope(path)))[0] == status


# --- time


def test_a_body_that_stops_coming_is_refused(streamlit):
    async def stopped():
        answers = []

        async def receive():
            return await asyncio.sleep(60, {"type": "http.request"})

        async def send(message):
            answers.append(message)

        await Refusals(BodyTimeout(streamlit, seconds=0.01))(scope(method="PUT"), receive, send)
        return answers[0]["status"]

    assert run(stopped()) == 408


class Transport(asyncio.Transport):
    def __init__(self, address: str):
        super().__init__()
        self.address, self.closed = address, False

    def get_extra_info(self, name, default=None):
        return self.address, 1

    def is_closing(self):
        return self.closed

    def abort(self):
        self.closed = True


def test_an_address_has_few_connections_and_who_asks_takes_the_place_of_a_silent_one():
    async def connect():
        guard = ConnectionGuard(per_address=2, proxies=["10.0.0.1"])
        first, second, third, fourth, other = (Transport("::ffff:192.0.2.1") for _ in range(5))
        other.address = "192.0.2.2"
        for one in (first, second, other, third):
            guard.admit(one)
        before = [one.closed for one in (first, second, third, other)]
        guard.got_request(first)
        guard.got_request(third)
        after = [one.closed for one in (first, second, third, other)]
        guard.admit(fourth)
        proxied = [Transport("10.0.0.1") for _ in range(5)]
        for one in proxied:
            guard.admit(one)
        return before, after, fourth.closed, [one.closed for one in proxied]

    assert run(connect()) == ([False] * 4, [False, True, False, False], True, [False] * 5)


def test_a_silent_connection_too_many_is_closed_sooner(monkeypatch):
    monkeypatch.setattr(connections, "CROWDED_SECONDS", 0.01)

    async def wait():
        guard = ConnectionGuard(per_address=1)
        first, second = Transport("192.0.2.1"), Transport("192.0.2.1")
        guard.admit(first)
        guard.admit(second)
        await asyncio.sleep(0.1)
        return first.closed, second.closed

    assert run(wait()) == (False, True)


def test_a_connection_without_a_request_is_closed_in_time():
    async def wait():
        guard = ConnectionGuard(per_address=9, header_seconds=0.01)
        silent, asking = Transport("192.0.2.1"), Transport("192.0.2.1")
        guard.admit(silent)
        guard.admit(asking)
        guard.got_request(asking)
        await asyncio.sleep(0.1)
        return silent.closed, asking.closed

    assert run(wait()) == (True, False)


# --- what a closed visit leaves, settings


def test_only_the_files_of_closed_visits_are_removed(streamlit, monkeypatch):
    monkeypatch.setattr(closed_visits, "streamlit_files", lambda: streamlit.files)
    for session in ("open", "closed"):
        put(streamlit, PNG, session=session)
    assert closed_visits.free_files({"open"}) == 1
    assert list(streamlit.files.file_storage) == ["open"]


def test_settings_come_from_the_environment(monkeypatch):
    for name in ("ALLOWED_HOSTS", "FRAME_ANCESTORS", "METRICS", "UPLOADS_MB", "CONNECTIONS", "PROXIES"):
        monkeypatch.delenv(f"UNET_{name}", raising=False)
    assert ServerSettings.from_environment() == ServerSettings((), "'self'", False, 8 << 30, 100, ())
    monkeypatch.setenv("UNET_ALLOWED_HOSTS", "a.example, b.example")
    monkeypatch.setenv("UNET_METRICS", "on")
    monkeypatch.setenv("UNET_UPLOADS_MB", "3")
    settings = ServerSettings.from_environment()
    assert (settings.allowed_hosts, settings.metrics, settings.upload_bytes) == (
        ("a.example", "b.example"),
        True,
        3 << 20,
    )
    monkeypatch.setenv("UNET_CONNECTIONS", "many")
    with pytest.raises(ValueError, match="UNET_CONNECTIONS is 'many'"):
        ServerSettings.from_environment()


@pytest.mark.parametrize("word", ["", "off", "yes please", "0"])
def test_metrics_stay_closed_by_any_other_word(monkeypatch, word):
    monkeypatch.setenv("UNET_METRICS", word)
    assert not ServerSettings.from_environment().metrics
