"""A real `streamlit run`, attacked as a stranger would."""

import socket
import time
from contextlib import suppress

import pytest

from tests.listening_proxy import listening_proxy
from tests.server_client import PNG, Visit, png, request
from unet.data.patients import DEMO_FOLDER
from views.app_process import running_server, wait_until_healthy


@pytest.fixture(scope="module")
def address():
    with listening_proxy() as (environment, requests):
        environment |= {"UNET_DATA": str(DEMO_FOLDER), "UNET_UPLOADS_MB": "5", "UNET_CONNECTIONS": "20"}
        with running_server(environment) as (address, server):
            wait_until_healthy(address, server)
            yield address
    assert requests == []  # Streamlit would ask for the public address, at a foreign Origin


@pytest.fixture
def visit(address):
    visit = Visit(address)
    yield visit
    visit.close()


def test_a_file_is_taken_and_deleted(visit):
    assert visit.put("a", PNG)[0] == 204
    assert visit.delete("a") == 204


def test_another_browser_that_knows_the_ids_changes_nothing(address, visit):
    stranger = Visit(address)
    assert visit.put("a", PNG)[0] == 204
    assert visit.put("a", PNG, headers=stranger.headers)[0] == 403
    assert visit.delete("a", headers=stranger.headers) == 403
    stranger.close()


def test_the_server_is_full_by_what_streamlit_holds_and_empty_after_the_visit(address):
    visit, other = Visit(address), Visit(address)
    assert [visit.put(name, png(2 << 20))[0] for name in "ab"] == [204, 204]
    visit.cut_off("c", 900_000)
    assert visit.put("a", b"MZ" + bytes(1000))[0] == 415
    assert visit.delete("a", headers={"Cookie": visit.headers["Cookie"]}) == 403
    status, words = visit.put("d", png(2 << 20))
    assert (status, words) == (503, "The server has no room for more uploads. Try again in a minute.")
    visit.close()
    until = time.monotonic() + 60
    while (status := other.put("e", png(2 << 20))[0]) == 503 and time.monotonic() < until:
        time.sleep(1)
    assert status == 204
    other.close()


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_foreign_names_are_refused_in_words(address, headers):
    status, answer, words = request(address, "GET", "/", headers=headers)
    assert status in (400, 403) and b"UNET_ALLOWED_HOSTS" in words
    assert answer["x-content-type-options"] == "nosniff"


def test_a_foreign_page_cannot_open_the_socket(address):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect
    from websockets.typing import Origin, Subprotocol

    with pytest.raises(InvalidStatus, match="403"):
        connect(
            f"ws://{address}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin("http://evil.example"),
        )


def test_silent_connections_keep_nobody_out_and_are_closed(address):
    host, port = address.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(60)]
    for connection in silent:
        with suppress(OSError):  # closed already
            connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    Visit(address).close()
    for connection in silent:
        connection.settimeout(30)
        with suppress(ConnectionError):
            assert connection.recv(1) == b""
        connection.close()


def test_metrics_are_closed(address):
    assert request(address, "GET", "/_stcore/metrics")[0] == 404
