"""A proxy that listens: whatever a process asks of the outside arrives here, and is refused."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listening_proxy() -> Iterator[tuple[dict[str, str], list[bytes]]]:
    """Yield the environment of a process whose only way outside is the proxy, and the requests that have arrived.

    A request to this machine itself goes there directly.
    """
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # closed
                    return
                with connection:
                    connection.settimeout(1)
                    requests.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment: dict[str, str] = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
        yield environment | dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"), requests
        server.shutdown(socket.SHUT_RDWR)  # wakes the thread
