"""Attack a running server as a stranger would, and print what it costs.

    python -m tests.measure_server

About four minutes, two of them waiting. It prints the server's memory after each trick, in MB above its memory at
rest, and the slowest answer of the health check during floods of connections.
"""

import json
import multiprocessing
import os
import socket
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil

from tests.server_client import Visit, png, request
from views.app_process import running_server, wait_until_healthy

MB = 1 << 20
PIECE = png(49 * MB)


class Memory(threading.Thread):
    """Watches a process; `peak` is its highest resident memory in bytes."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.process, self.peak = psutil.Process(pid), 0
        self.rest = self.now()

    def now(self) -> int:
        return self.process.memory_info().rss

    def run(self) -> None:
        while self.process.is_running():
            self.peak = max(self.peak, self.now())
            time.sleep(0.05)


def slowest_health(address: str, seconds: float) -> float:
    """Return the slowest answer of the health check in milliseconds; an error counts as no answer."""
    slowest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        status, _, _ = request(address, "GET", "/_stcore/health")
        slowest = max(slowest, (time.perf_counter() - started) * 1000 if status == 200 else float("inf"))
        time.sleep(0.05)
    return round(slowest, 1)


def plain(visit: Visit) -> list[int]:
    return [visit.put(f"p{number}", PIECE)[0] for number in range(21)]


def refused_delete(visit: Visit) -> list[int]:
    statuses = []
    for number in range(21):
        statuses.append(visit.put(f"d{number}", PIECE)[0])
        visit.delete(f"d{number}", headers={"Cookie": visit.headers["Cookie"]})  # no token: Streamlit refuses
    return statuses


def refused_put(visit: Visit) -> list[int]:
    statuses = []
    for number in range(21):
        statuses.append(visit.put(f"r{number}", PIECE)[0])
        visit.put(f"r{number}", b"MZ" + bytes(1000))
    return statuses


def cut_off(visit: Visit) -> list[int]:
    for number in range(10):
        visit.cut_off(f"c{number}", 98 * MB)
    time.sleep(1)
    return [visit.put("small", png(6 * MB))[0]]


def one_id(visit: Visit) -> list[int]:
    with ThreadPoolExecutor(21) as pool:
        return [status for status, _ in pool.map(lambda _: visit.put("same", PIECE), range(21))]


def many_at_once(visit: Visit) -> list[int]:
    with ThreadPoolExecutor(21) as pool:
        return [status for status, _ in pool.map(lambda number: visit.put(f"m{number}", PIECE), range(21))]


def forty_visits(address: str) -> tuple[list[Visit], list[tuple[int, str]]]:
    visits = [Visit(address) for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        return visits, list(pool.map(lambda number: visits[number % 40].put(f"v{number}", PIECE), range(80)))


def flood(address: str) -> None:
    """Open 1,500 connections with half a header each, and keep them; runs in a process of its own."""
    host, port = address.split(":")
    opened = []
    for _ in range(1500):
        opened.append(socket.create_connection((host, int(port))))
        opened[-1].sendall(b"GET / HTTP/1.1\r\nHost: loc")
    time.sleep(3600)


def silent_connections(address: str) -> dict:
    """Watch the health check and a new visitor for a minute while 1,500 connections are silent."""
    flooding = multiprocessing.get_context("spawn").Process(target=flood, args=(address,))
    flooding.start()
    health = slowest_health(address, 50)
    started = time.perf_counter()
    Visit(address).close()
    served = time.perf_counter() - started
    port = int(address.split(":")[1])
    established = [one for one in psutil.net_connections("tcp") if one.status == "ESTABLISHED"]
    left = sum(1 for one in established if one.laddr and one.laddr.port == port)
    flooding.kill()
    return {"health_ms": health, "new_visitor_s": round(served, 2), "still_open": left}


def foreign_handshakes(address: str) -> dict:
    from websockets.sync.client import connect
    from websockets.typing import Origin, Subprotocol

    def shake(_: int) -> str:
        try:
            connect(
                f"ws://{address}/_stcore/stream",
                subprotocols=[Subprotocol("streamlit")],
                origin=Origin("http://evil.example"),
            ).close()
            return "accepted"
        except Exception as error:
            return str(error)

    with ThreadPoolExecutor(11) as pool:
        health = pool.submit(slowest_health, address, 6)
        answers = list(pool.map(shake, range(10)))
    return {"health_ms": health.result(), "answers": Counter(answers)}


def main() -> None:
    # a proxy that never answers stands for an outside that does not
    silent = socket.create_server(("127.0.0.1", 0))
    proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
    environment = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""}
    with running_server({**environment, **{key: os.environ[key] for key in ("UNET_DATA",) if key in os.environ}}) as (
        address,
        server,
    ):
        wait_until_healthy(address, server)
        Visit(address).close()
        time.sleep(5)
        memory = Memory(server.pid)
        memory.start()
        print("at rest", memory.rest // MB)
        for trick in (plain, refused_delete, refused_put, cut_off, one_id, many_at_once):
            visit = Visit(address)
            before, memory.peak = memory.now(), 0
            statuses = Counter(trick(visit))
            print(trick.__name__, dict(statuses), "MB:", (memory.peak - before) // MB, flush=True)
            visit.close()
            started = time.monotonic()
            while memory.now() > before + 30 * MB and time.monotonic() - started < 60:
                time.sleep(0.5)
            print("  freed after s:", round(time.monotonic() - started, 1), "MB left:", (memory.now() - before) // MB)
        memory.peak = 0
        visits, answers = forty_visits(address)
        print("forty_visits", dict(Counter(answers)), "MB above rest:", (memory.peak - memory.rest) // MB, flush=True)
        for visit in visits:
            visit.close()
        time.sleep(55)
        print("  55 s after the end, MB above rest:", (memory.now() - memory.rest) // MB, flush=True)
        quiet = statistics.median(slowest_health(address, 1) for _ in range(3))
        print("health at rest, slowest of a second, ms:", quiet)
        print("foreign", json.dumps(foreign_handshakes(address)), flush=True)
        print("silent", json.dumps(silent_connections(address)), flush=True)


if __name__ == "__main__":
    main()
