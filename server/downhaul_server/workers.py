"""What gunicorn runs in each process of the web server: gevent's worker, with bounds on its clients and on its end."""

from __future__ import annotations

import heapq
import os
import socket
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from types import FrameType
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http.errors import ParseException
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker
from werkzeug.exceptions import BadRequest, HTTPException

from downhaul_server.clients import Client, Patience, TooSlowError
from downhaul_server.unreadable import refusal

GRACE_S = 5.0
"""Requests that are being answered when we are told to stop get this long."""
STALLED_S = 2.0
"""A client that has not taken a write for so long when we end is not waited for: no stream holds up the end."""
QUIET_S = 1.0
"""A client that has asked for nothing for so long is idle: its next request is not on its way already."""
WARNING_EVERY_S = 60.0
TICK_S = 0.2
STOP_TICK_S = 0.05
SKIP_BYTES = 65536


class Listener(StreamServer):  # type: ignore[misc]
    """Accepts clients as long as the worker has room for them; the others wait, or another worker takes them."""

    def __init__(self, *args: Any, patience: Patience, **named: Any) -> None:
        super().__init__(*args, **named)
        self._patience = patience

    def do_read(self) -> tuple[Client, Any] | None:
        """A client that waits to be accepted."""
        try:
            descriptor, address = self.socket._accept()
        except BlockingIOError:
            return None  # Another worker was faster.
        family, kind, protocol = self.socket.family, self.socket.type, self.socket.proto
        return Client(family, kind, protocol, descriptor, patience=self._patience), address


class Worker(GeventWorker):  # type: ignore[misc]
    """One process of the web server."""

    sockets: list[Any]
    """gunicorn's listeners until `patch`, gevent's sockets afterwards."""
    alive: bool
    patience = Patience()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slot: int | None = None
        """Its place on the board."""
        self._clients: set[Client] = set()
        self._next_warning = 0.0

    def patch(self) -> None:
        """gunicorn would patch a second time here; that was done by `serve`, so only its sockets are left to do."""
        self.sockets = [
            socket.socket(listener.FAMILY, socket.SOCK_STREAM, fileno=listener.sock.detach())
            for listener in self.sockets
        ]

    def run(self) -> None:
        """Serve until SIGTERM, and then until the requests that are under way are answered."""
        pool = Pool(self.worker_connections)
        listeners = [self._listen(each, pool) for each in self.sockets]
        while self.alive:
            self.notify()
            self._make_room(self.worker_connections // 8 - pool.free_count())
            gevent.sleep(TICK_S)
        for listener in listeners:
            listener.close()
        self._finish(pool)

    def notify(self) -> None:
        """The sign of life for the master. A worker whose master is gone comes to its end, in order."""
        AsyncWorker.notify(self)
        if self.ppid != os.getppid():
            self._leave()

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM."""
        self._leave()

    def handle(self, listener: socket.socket, client: Client, address: Any) -> None:
        """A connection, from its first byte to its end."""
        self._clients.add(client)
        try:
            super().handle(listener, client, address)
        finally:
            self._clients.discard(client)

    def handle_request(self, listener_name: Any, request: Any, client: Client, address: Any) -> None:
        """A request. Raises StopIteration when it was the last one of its connection."""
        client.serve(request)
        request.body.reader = _BodyReader(request)
        # Not gevent's, which would wait for the next request after the end has cut off this one.
        AsyncWorker.handle_request(self, listener_name, request, client, address)
        _skip_rest(request)
        client.rest()

    def timeout_ctx(self) -> AbstractContextManager[None]:
        """Around the wait for the next request, which is the client's own to bound."""
        return nullcontext()

    def handle_error(self, request: Any, client: socket.socket, address: Any, error: BaseException) -> None:
        """What could not be read as a request, or failed outside of the application."""
        if isinstance(error, gevent.GreenletExit):
            return  # It was not answered in time, before our end.
        if not isinstance(error, ParseException | TooSlowError):
            super().handle_error(request, client, address, error)
            return
        self.log.info("not a request: %s", error)
        with suppress(OSError):
            client.sendall(refusal(error))

    def _listen(self, listener: socket.socket, pool: Pool) -> Listener:
        listener.setblocking(True)
        made = Listener(listener, partial(self.handle, listener), spawn=pool, patience=self.patience)
        if self.cfg.workers > 1:
            made.max_accept = 1
        made.start()
        return made

    def _make_room(self, wanted: int) -> None:
        """Hang up on the `wanted` clients that have kept us waiting the longest, so that others find room."""
        if wanted <= 0:
            return
        now = time.monotonic()
        if now >= self._next_warning:
            self._next_warning = now + WARNING_EVERY_S
            self.log.warning("nearly all %s connections are used: hanging up on idle clients", self.worker_connections)
        waited = ((client.waited(now) or 0.0, client) for client in self._clients)
        idle = (pair for pair in waited if pair[0] >= QUIET_S)
        for _, client in heapq.nlargest(wanted, idle, key=lambda pair: pair[0]):
            client.hang_up()

    def _leave(self) -> None:
        if self.alive:
            self.alive = False
            # Not here: this may be a signal's handler, in the middle of anything.
            gevent.spawn(self.app.stop)

    def _finish(self, pool: Pool) -> None:
        for client in self._clients:
            client.close_after_answer()
        began = time.monotonic()
        while len(pool) and time.monotonic() - began < GRACE_S:
            self.notify()
            self._hang_up()
            gevent.sleep(STOP_TICK_S)
        if len(pool):
            self.log.warning("%s requests were not answered in time", len(pool))
            pool.kill(timeout=1.0)

    def _hang_up(self) -> None:
        """On clients that ask for nothing, and on those that do not read; the others get their answer first."""
        now = time.monotonic()
        for client in list(self._clients):
            if (client.at_rest(now) or 0.0) >= QUIET_S:
                client.hang_up()
            elif (client.stalled(now) or 0.0) >= STALLED_S:
                client.cut()


class _BodyReader:
    """Reads a body; what is wrong with its chunks is the client's fault, and is answered so by the application."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._reader = request.body.reader

    def read(self, size: int) -> bytes:
        """The next bytes; none at the end. Raises BadRequest, TooSlowError, OSError."""
        try:
            data: bytes = self._reader.read(size)
        except ParseException as error:
            self._request.force_close()
            raise BadRequest(f"the body is not what HTTP takes: {error}") from None
        return data


def _skip_rest(request: Any) -> None:
    """What the application left unread of a body must not be taken for the next request. Raises StopIteration."""
    try:
        while request.body.read(SKIP_BYTES):
            pass
    except (HTTPException, OSError):
        raise StopIteration from None
