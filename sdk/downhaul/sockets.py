"""Sockets that keep a promise of time: no request outlasts its deadline, whatever the other side does.

A timeout of `requests` or `urllib3` bounds one receive, so a server that drips a byte a second holds a client for ever.
Here no socket ever blocks: every wait, of connecting, of the TLS handshake and of each send and receive, is one of
`Patience`, which knows what is left of the request's time, and lets the one thread do its other work in between. (Name
resolution is the exception: the operating system offers no way to bound it. Its own limit applies.)
"""

from __future__ import annotations

import errno
import math
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Protocol, TypeVar
from weakref import WeakSet

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.wait import wait_for_read, wait_for_write

from downhaul.waiting import wait_for

Result = TypeVar("Result")


class OutOfTimeError(TimeoutError):
    """A wait has reached its limit. The message says which."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, of silence, and for a whole request; bytes of a whole answer.

    `lull`: seconds of silence in a stream that has begun.
    """

    connect: float = 3.05
    silence: float = 5.0
    total: float = 10.0
    lull: float = 12.5
    body: int = 32 << 20


class Watch(Protocol):
    """What the thread does besides, while a request waits."""

    def go_on(self) -> None:
        """Called before anything is sent or received. Raises if the thread has to end."""
        ...

    def look(self) -> None:
        """Do what is due. What it raises ends the request."""
        ...

    def pause(self) -> float:
        """Seconds until there is something to do."""
        ...

    def descriptors(self) -> Iterable[int]:
        """What brings something to do before, when it can be read."""
        ...


class Patience:
    """How long the request under way may still take, and what to do while it waits."""

    def __init__(self, limits: Limits, watch: Watch) -> None:
        self.limits = limits
        self._watch = watch
        self._end = 0.0
        self._total = 0.0
        self._silence = limits.silence
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def made(self, connected: socket.socket) -> None:
        """A socket of ours from now on."""
        self._sockets.add(connected)

    def descriptors(self) -> list[int]:
        """Those of the sockets that are open."""
        return [found for each in list(self._sockets) if (found := each.fileno()) >= 0]

    def heard(self) -> bool:
        """Whether something has come on one of the sockets that nobody has read yet."""
        return any(each.fileno() >= 0 and wait_for_read(each, 0) for each in list(self._sockets))

    def abandon(self) -> None:
        """Close the sockets in this process only: another process still uses the same connections."""
        for each in list(self._sockets):
            with suppress(OSError):
                os.close(each.detach())

    def begin(self, total: float | None = None) -> None:
        """A request begins; it may take `total` seconds, or what the limits say."""
        self._total = self.limits.total if total is None else total
        self._end = monotonic() + self._total
        self._silence = self.limits.silence

    def begin_stream(self) -> None:
        """What comes from now on comes now and then, and without an end."""
        self._end = math.inf
        self._silence = self.limits.lull

    def transfer(self, over: socket.socket, doing: str, attempt: Callable[[], Result]) -> Result:
        """Wait as below, as long as may be silence."""
        return self.wait(over, self._silence, doing, attempt)

    def wait(self, waiting: socket.socket, limit: float, doing: str, attempt: Callable[[], Result]) -> Result:
        """Call `attempt()` until it does not want to wait. OutOfTimeError after `limit` seconds or the deadline."""
        limit_end = monotonic() + limit
        while True:
            self._watch.go_on()
            try:
                return attempt()
            except (BlockingIOError, ssl.SSLWantReadError):
                reading, writing = [waiting.fileno()], []
            except (_WantWriteError, ssl.SSLWantWriteError):
                reading, writing = [], [waiting.fileno()]
            self._check(limit, limit_end, doing)
            self._watch.look()
            pause = min(self._end, limit_end) - monotonic()
            wait_for((*reading, *self._watch.descriptors()), min(pause, self._watch.pause()), writing=writing)

    def _check(self, limit: float, limit_end: float, doing: str) -> None:
        now = monotonic()
        if now >= self._end:
            raise OutOfTimeError(f"not finished within {self._total:g} s")
        if now >= limit_end:
            raise OutOfTimeError(f"{doing} took longer than {limit:g} s")


class _WantWriteError(Exception):
    """A plain socket has no room."""


class _Patient(socket.socket):
    """The waits of a connected socket, each within the request's patience. Shared by plain and TLS sockets."""

    patience: ClassVar[Patience]

    def recv_into(self, *args: Any) -> int:
        def attempt() -> int:
            self._never_block()
            return super(_Patient, self).recv_into(*args)

        return self.patience.transfer(self, "waiting for an answer", attempt)

    def send(self, data: Any, *args: Any) -> int:
        def attempt() -> int:
            self._never_block()
            try:
                sent = super(_Patient, self).send(data, *args)
            except BlockingIOError:
                raise _WantWriteError from None
            if not sent and len(data):  # how TLS sockets say so that gevent has patched
                raise _WantWriteError
            return sent

        return self.patience.transfer(self, "sending the request", attempt)

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, flags) :]

    def _never_block(self) -> None:
        if self.gettimeout() != 0.0:  # urllib3 sets it
            self.settimeout(0.0)


class _PlainSocket(_Patient):
    def connect(self, address: Any) -> None:
        self.setblocking(False)
        code = self.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            self.patience.wait(self, self.patience.limits.connect, "connecting", self._check_connected)
            code = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.patience.made(self)
        self.settimeout(self.patience.limits.silence)  # TLS refuses to shake hands over a socket that does not wait

    def _check_connected(self) -> None:
        if not wait_for_write(self, 0):
            raise _WantWriteError


class _TLSSocket(_Patient, ssl.SSLSocket):
    def do_handshake(self, *args: Any) -> None:  # without arguments, where gevent has patched it
        self.patience.made(self)

        def attempt() -> None:
            self._never_block()
            super(_TLSSocket, self).do_handshake(*args)

        self.patience.wait(self, self.patience.limits.connect, "the TLS handshake", attempt)


@dataclass(frozen=True, slots=True)
class Pools:
    """What urllib3 has to be given so that all its connections are made of patient sockets."""

    by_scheme: dict[str, type[HTTPConnectionPool]]
    ssl_context: ssl.SSLContext


def patient_pools(patience: Patience) -> Pools:
    """Connection pools whose every wait asks `patience`."""
    plain_socket = type("PlainSocket", (_PlainSocket,), {"patience": patience})
    connection = {"_new_conn": lambda self: _connected(self, plain_socket)}
    http = type("PatientHTTPConnection", (HTTPConnection,), connection)
    https = type("PatientHTTPSConnection", (HTTPSConnection,), connection)
    ssl_context = create_urllib3_context()
    ssl_context.sslsocket_class = type("TLSSocket", (_TLSSocket,), {"patience": patience})
    return Pools(
        {
            "http": type("PatientHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
            "https": type("PatientHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
        },
        ssl_context,
    )


def _connected(connection: HTTPConnection, make: type[socket.socket]) -> socket.socket:
    """A connected socket: what urllib3's `HTTPConnection._new_conn` does, errors included, with a socket of ours."""
    try:
        return _first_that_connects(connection, make)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, str(error)) from error
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error


def _first_that_connects(connection: HTTPConnection, make: type[socket.socket]) -> socket.socket:
    last: OSError = OSError("the host has no address")
    host = connection._dns_host.strip("[]")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM):
        try:
            made = make(family, kind, protocol)
        except OSError as error:
            last = error
            continue
        try:
            for option in connection.socket_options or ():
                made.setsockopt(*option)
            made.connect(address)
        except OSError as error:
            made.close()
            last = error
        else:
            return made
    raise last
