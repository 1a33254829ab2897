"""The connection under a request, for those who write to it themselves: gunicorn's, under gevent.

WSGI lets an application be asked for its next piece. To ask ten thousand of them costs a switch of greenlets each;
writing what is ready anyway to sockets that have room costs a system call each. Nothing here waits but `send`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
import gevent.socket

from downhaul_server.services.events import Event

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NEVER_WAIT = 0.0
CHUNKED = {"HTTP/1.1": True, "HTTP/1.0": False}


class Line:
    """One connection, whose answer's head has been sent by gunicorn."""

    __slots__ = ("_chunked", "_socket", "_watcher")

    def __init__(self, connection: Any, *, chunked: bool) -> None:
        self._socket = connection
        self._chunked = chunked
        self._watcher: Any = None

    @classmethod
    def under(cls, environ: WSGIEnvironment) -> Line | None:
        """The connection that a request came over; None where it is not one of gevent's that speaks HTTP/1."""
        connection, chunked = environ.get("gunicorn.socket"), CHUNKED.get(environ["SERVER_PROTOCOL"])
        if chunked is None or not isinstance(connection, gevent.socket.socket):
            return None
        return cls(connection, chunked=chunked)

    def send_now(self, event: Event) -> memoryview | None:
        """Send what there is room for; gives the rest. Raises OSError when the connection is broken."""
        data = event.chunk if self._chunked else event.text
        try:
            sent = self._socket.send(data, 0, NEVER_WAIT)
        except BlockingIOError:
            sent = 0
        return None if sent == len(data) else memoryview(data)[sent:]

    def send(self, item: Event | memoryview) -> None:
        """Send all of it. Raises OSError when the connection is broken: TimeoutError when the client has not taken it
        in time, and is there all the same."""
        if isinstance(item, Event):
            item = memoryview(item.chunk if self._chunked else item.text)
        try:
            self._socket.sendall(item)
        except ConnectionResetError:
            # This is also what our own connections raise when their patience is at an end.
            if self._peek() is None:
                raise TimeoutError("the client has not taken an event in time") from None
            raise

    def watch(self, gone: Callable[[OSError | None], object]) -> None:
        """Call `gone`, which must not wait, when the connection is broken: with None when the client hung up, else with
        what the system says. Until `release`."""
        if self._socket.family != socket.AF_UNIX:
            # Else a small event may wait for the acknowledgement of the one before.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), 1)
        self._watcher.start(self._readable, gone)

    def release(self) -> None:
        """Watch no more."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    def cut(self) -> None:
        """Nothing more can be sent, nor is being sent: what was broken off must not look as if it had ended."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EBADF):
                raise

    def _readable(self, gone: Callable[[OSError | None], object]) -> None:
        fault: OSError | None = None
        try:
            said = self._peek()
        except OSError as error:
            said, fault = b"", error
        if said is None:
            return
        # What a client says in the middle of a stream is read after it, as its next request.
        self.release()
        if not said:
            gone(fault)

    def _peek(self) -> bytes | None:
        """Whether there is anything to read: nothing (None), something, or the end (no bytes). Raises OSError."""
        try:
            # Not gevent's `recv`, which may wait; this is also called where nobody can.
            found: bytes = self._socket._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        return found
