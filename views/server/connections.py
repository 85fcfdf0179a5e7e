"""Limits for connections that have sent no whole request yet.

Uvicorn ends a connection that is idle after a request, and waits without end for a first one. `streamlit run` makes
its own configuration of Uvicorn and takes no protocol class, so the class that it uses is changed in place.
"""

import asyncio
import functools
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

HEADER_SECONDS = 10.0  # from the first byte of a request, or the connection, to the end of its headers
CROWDED_SECONDS = 0.5  # the same where an address has too many connections


class ConnectionGuard:
    """Closes connections that are silent for too long, and those of an address that has too many.

    A connection too many gets a short time for its headers, and then the place of a silent one: hundreds are accepted
    before the first is read, and a visitor who shares the address with a silent client has to get in.

    Args:
        per_address: connections that one address may have.
        proxies: addresses without this limit, because many visitors come from them.
        header_seconds: time for a request's headers.
    """

    def __init__(self, per_address: int, proxies: Iterable[str] = (), header_seconds: float = HEADER_SECONDS):
        self._per_address, self._proxies, self._seconds = per_address, frozenset(proxies), header_seconds
        self._open: dict[str, list[asyncio.Transport]] = {}  # by address, oldest first
        self._timers: WeakKeyDictionary[asyncio.Transport, asyncio.TimerHandle] = WeakKeyDictionary()

    def admit(self, transport: asyncio.Transport) -> None:
        """Count a new connection and start the time for its headers.

        Close it where all that its address may have are busy.
        """
        connections = self._open_from(transport)
        crowded = len(connections) >= self._allowed(transport)
        if crowded and all(one not in self._timers for one in connections):
            transport.abort()
            return
        connections.append(transport)
        self.wait_for_request(transport, CROWDED_SECONDS if crowded else None)

    def wait_for_request(self, transport: asyncio.Transport, seconds: float | None = None) -> None:
        """Start the time for the headers, if it does not run yet."""
        if transport not in self._timers and not transport.is_closing():
            loop = asyncio.get_running_loop()
            self._timers[transport] = loop.call_later(seconds or self._seconds, self._close, transport)

    def got_request(self, transport: asyncio.Transport) -> None:
        """Stop the time for the headers; where the address has too many connections, close its oldest silent one."""
        timer = self._timers.pop(transport, None)
        if timer is None:
            return
        timer.cancel()
        connections = self._open_from(transport)
        silent = [one for one in connections if one in self._timers]
        if silent and len(connections) > self._allowed(transport):
            self._close(silent[0])

    def _close(self, transport: asyncio.Transport) -> None:
        self._timers.pop(transport).cancel()
        transport.abort()

    def _allowed(self, transport: asyncio.Transport) -> float:
        return float("inf") if _address(transport) in self._proxies else self._per_address

    def _open_from(self, transport: asyncio.Transport) -> list[asyncio.Transport]:
        """Return the open connections of a connection's address, oldest first; forget closed ones of all addresses."""
        for address, connections in list(self._open.items()):
            connections[:] = [one for one in connections if not one.is_closing()]
            if not connections:
                del self._open[address]
        return self._open.setdefault(_address(transport), [])


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername") or ("unknown",)
    return peer[0].removeprefix("::ffff:")  # an IPv4 address on a socket for both


def guard_connections(protocol: type[Any], guard: ConnectionGuard) -> None:
    """Make an HTTP protocol class of Uvicorn tell a guard of its connections and requests."""
    made, received = protocol.connection_made, protocol.data_received

    @functools.wraps(made)
    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        guard.admit(transport)

    @functools.wraps(received)
    def data_received(self: Any, data: bytes) -> None:
        received(self, data)
        upgraded = self.transport.get_protocol() is not self
        if upgraded or (self.cycle is not None and not self.cycle.response_complete):
            guard.got_request(self.transport)
        else:
            guard.wait_for_request(self.transport)

    protocol.connection_made, protocol.data_received = connection_made, data_received
