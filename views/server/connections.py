"""Limits for connections that have sent no whole request yet.

Uvicorn ends a connection that is idle after a request, and waits without end for a first one. `streamlit run` makes
its own configuration of Uvicorn and takes no protocol class, so the class that it uses is changed in place.
"""

import asyncio
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

HEADER_SECONDS = 10.0  # from the first byte of a request, or the connection, to the end of its headers
CROWDED_SECONDS = 0.5  # the same where an address has too many connections


@dataclass
class _Connections:
    """The open connections of one address."""

    silent: dict[asyncio.Transport, asyncio.TimerHandle] = field(default_factory=dict)  # no whole request yet
    busy: set[asyncio.Transport] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.silent) + len(self.busy)


class ConnectionGuard:
    """Closes connections that are silent for too long, and those of an address that has too many.

    A connection too many gets a short time for its headers, and then the place of a silent one: hundreds are accepted
    before the first is read, and a visitor who shares the address with a silent client has to get in. No step takes
    longer where there are more connections: thousands come at once.

    Args:
        per_address: connections that one address may have.
        proxies: addresses without this limit, because many visitors come from them.
        header_seconds: time for a request's headers.
    """

    def __init__(self, per_address: int, proxies: Iterable[str] = (), header_seconds: float = HEADER_SECONDS) -> None:
        self._per_address, self._proxies, self._seconds = per_address, frozenset(proxies), header_seconds
        self._open: dict[str, _Connections] = {}  # by address

    def admit(self, transport: asyncio.Transport) -> None:
        """Count a new connection and start the time for its headers.

        Close it where all that its address may have are busy.
        """
        connections = self._open.setdefault(_address(transport), _Connections())
        crowded = len(connections) >= self._allowed(transport)
        if crowded and not connections.silent:
            transport.abort()
            return
        self.wait_for_request(transport, CROWDED_SECONDS if crowded else None)

    def wait_for_request(self, transport: asyncio.Transport, seconds: float | None = None) -> None:
        """Start the time for the headers, if it does not run yet."""
        connections = self._open.setdefault(_address(transport), _Connections())
        if transport not in connections.silent and not transport.is_closing():
            connections.busy.discard(transport)
            loop = asyncio.get_running_loop()
            connections.silent[transport] = loop.call_later(seconds or self._seconds, transport.abort)

    def got_request(self, transport: asyncio.Transport) -> None:
        """Stop the time for the headers; where the address has too many connections, close its oldest silent one."""
        connections = self._open.get(_address(transport), _Connections())
        timer = connections.silent.pop(transport, None)
        if timer is None:
            return
        timer.cancel()
        connections.busy.add(transport)
        if connections.silent and len(connections) > self._allowed(transport):
            oldest = next(iter(connections.silent))
            connections.silent.pop(oldest).cancel()
            oldest.abort()

    def forget(self, transport: asyncio.Transport) -> None:
        """Stop counting a connection that has ended."""
        address = _address(transport)
        if connections := self._open.get(address):
            connections.busy.discard(transport)
            if timer := connections.silent.pop(transport, None):
                timer.cancel()
            if not connections:
                del self._open[address]

    def _allowed(self, transport: asyncio.Transport) -> float:
        return float("inf") if _address(transport) in self._proxies else self._per_address


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername") or ("unknown",)
    return peer[0].removeprefix("::ffff:")  # an IPv4 address on a socket for both


def guard_connections(protocol: type[Any], guard: ConnectionGuard) -> None:
    """Make an HTTP protocol class of Uvicorn tell a guard of its connections and requests."""
    made, received, lost = protocol.connection_made, protocol.data_received, protocol.connection_lost

    @functools.wraps(made)
    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        guard.admit(transport)

    @functools.wraps(received)
    def data_received(self: Any, data: bytes) -> None:
        received(self, data)
        speaker = self.transport.get_protocol()
        if upgraded := speaker is not self:  # a web socket from now on, whose end this class does not hear of
            speaker.connection_lost = _after(speaker.connection_lost, functools.partial(guard.forget, self.transport))
        if upgraded or (self.cycle is not None and not self.cycle.response_complete):
            guard.got_request(self.transport)
        else:
            guard.wait_for_request(self.transport)

    @functools.wraps(lost)
    def connection_lost(self: Any, error: Exception | None) -> None:
        lost(self, error)
        guard.forget(self.transport)

    protocol.connection_made, protocol.data_received = connection_made, data_received
    protocol.connection_lost = connection_lost


def _after(method: Callable[..., None], then: Callable[[], None]) -> Callable[..., None]:
    """Return a method that does something more afterwards."""

    @functools.wraps(method)
    def both(*args: Any) -> None:
        try:
            method(*args)
        finally:
            then()

    return both
