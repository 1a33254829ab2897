"""Sockets that keep a promise of time: no request outlasts its deadline, whatever the other side does.

A timeout of `requests` or `urllib3` bounds one receive, so a server that drips a byte a second holds a client for ever.
Here every wait, of connecting, of the TLS handshake and of each send and receive, is given what is left of the
request's time, in slices, and between the slices the one thread does its other work. (Name resolution is the
exception: the operating system offers no way to bound it. Its own limit applies.)
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, TypeVar
from weakref import WeakSet

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.wait import wait_for_read, wait_for_write

Result = TypeVar("Result")


class OutOfTimeError(TimeoutError):
    """A wait has reached its limit. The message says which."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, of silence, and for a whole request; bytes of a whole answer.

    `slice`: seconds after which a wait is left for a moment to look after other things; `first` for the first time.
    """

    connect: float = 3.05
    silence: float = 5.0
    total: float = 10.0
    body: int = 32 << 20
    slice: float = 0.2
    first: float = 0.2


class Patience:
    """How long the request under way may still take, and what to do while it waits."""

    def __init__(self, limits: Limits, idle: Callable[[], None]) -> None:
        self.limits = limits
        self._idle = idle
        self._end = 0.0
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def watch(self, made: socket.socket) -> None:
        """A socket of ours from now on."""
        self._sockets.add(made)

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
        self._end = monotonic() + (self.limits.total if total is None else total)

    def wait(self, limit: float, doing: str, attempt: Callable[[float], Result]) -> Result:
        """Call `attempt(seconds)` until it does not time out. OutOfTimeError after `limit` or the deadline."""
        limit_end = monotonic() + limit
        part = self.limits.first
        while True:
            now = monotonic()
            if now >= self._end:
                raise OutOfTimeError(f"not finished within {self.limits.total:g} s")
            if now >= limit_end:
                raise OutOfTimeError(f"{doing} took longer than {limit:g} s")
            try:
                return attempt(min(part, self._end - now, limit_end - now))
            except TimeoutError:
                part = self.limits.slice
                self._idle()


class _Patient(socket.socket):
    """The waits of a connected socket, each within the request's patience. Shared by plain and TLS sockets."""

    patience: ClassVar[Patience]

    def recv_into(self, *args: Any) -> int:
        def attempt(seconds: float) -> int:
            self.settimeout(seconds)
            return super(_Patient, self).recv_into(*args)

        return self.patience.wait(self.patience.limits.silence, "waiting for an answer", attempt)

    def send(self, *args: Any) -> int:
        def attempt(seconds: float) -> int:
            self.settimeout(seconds)
            return super(_Patient, self).send(*args)

        return self.patience.wait(self.patience.limits.silence, "sending the request", attempt)

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, flags) :]


class _PlainSocket(_Patient):
    def connect(self, address: Any) -> None:
        self.setblocking(False)
        code = self.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            self.patience.wait(self.patience.limits.connect, "connecting", self._wait_until_connected)
            code = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.patience.watch(self)
        self.settimeout(self.patience.limits.slice)  # TLS refuses to shake hands over a socket that does not wait

    def _wait_until_connected(self, seconds: float) -> None:
        if not wait_for_write(self, seconds):
            raise TimeoutError


class _TLSSocket(_Patient, ssl.SSLSocket):
    def do_handshake(self, *args: Any) -> None:  # without arguments, where gevent has patched it
        self.patience.watch(self)

        def attempt(seconds: float) -> None:
            self.settimeout(seconds)
            super(_TLSSocket, self).do_handshake(*args)

        self.patience.wait(self.patience.limits.connect, "the TLS handshake", attempt)


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
