"""The web server process: gunicorn with gevent workers, each with a Store of its own. Started by the supervisor.

`python -m downhaul_server.serve DESCRIPTOR`: the settings come from the environment, the listening socket is inherited.
"""

# ruff: noqa: E402 - whatever makes a lock or a socket comes after the patch
from gevent import monkey

# The workers need this before anything is imported; processes and signals are gunicorn's, and stay the system's.
monkey.patch_all(os=False, signal=False)

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import gevent
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker
from prometheus_client.multiprocess import mark_process_dead

from downhaul_server import lifeline, limits, logs
from downhaul_server.app import create_app
from downhaul_server.listening import BACKLOG
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from downhaul_server.store import Board, Store
from downhaul_server.unreadable import refusal

GRACE_S = 5
"""Requests that are being answered when we are told to stop get this long; the supervisor waits a little longer."""
KEEP_ALIVE_S = 75
"""Longer than an SDK's pause between polls, and than the 60 s after which proxies commonly give up a connection."""
HANG_UP_PAUSE_S = 0.05


class Worker(GeventWorker):  # type: ignore[misc]
    """A gevent worker that hangs up on idle clients when it stops, instead of waiting for them to say something."""

    sockets: list[Any]
    """gunicorn's listeners until `patch`, gevent's sockets afterwards."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slot: int | None = None
        """Its place on the board."""
        self._idle: set[gevent.Greenlet] = set()

    def patch(self) -> None:
        """gunicorn would patch a second time here; that was done at the top, so only its sockets are left to do."""
        self.sockets = [
            socket.socket(listener.FAMILY, socket.SOCK_STREAM, fileno=listener.sock.detach())
            for listener in self.sockets
        ]

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for a client's next request."""
        client = gevent.getcurrent()
        self._idle.add(client)
        try:
            with super().timeout_ctx():
                yield
        finally:
            self._idle.discard(client)

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM."""
        super().handle_exit(number, frame)
        gevent.spawn(self._hang_up)

    def handle_error(self, request: Any, client: socket.socket, address: Any, error: BaseException) -> None:
        """What could not be read as a request, or failed outside of the application."""
        if isinstance(error, gevent.GreenletExit):
            return  # We hung up on an idle client.
        if not isinstance(error, ParseException):
            super().handle_error(request, client, address, error)
            return
        self.log.info("not a request: %s", error)
        with suppress(OSError):
            client.sendall(refusal(error))

    def _hang_up(self) -> None:
        while True:
            gevent.killall(list(self._idle), block=False)
            gevent.sleep(HANG_UP_PAUSE_S)


class Logger(GunicornLogger):  # type: ignore[misc]
    """What gunicorn has to say goes where all our logs go."""

    def setup(self, cfg: Any) -> None:
        """Called at start and at each reload."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True


class Web(BaseApplication):  # type: ignore[misc]
    """One per web server; every worker loads its own part after the fork."""

    def __init__(self, settings: Settings, descriptor: int) -> None:
        self._settings = settings
        self._descriptor = descriptor
        self._board = Board()
        self._store: Store | None = None
        super().__init__()

    def load_config(self) -> None:
        """Called at start and at each reload."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """In the worker, after the fork."""
        self._store = Store.open(self._settings, board=self._board)
        return create_app(Services(self._store, self._settings), self._settings)

    def _options(self) -> dict[str, Any]:
        return {
            "bind": [f"fd://{self._descriptor}"],
            "workers": self._settings.workers,
            "worker_class": Worker,
            "worker_connections": limits.connections_for(limits.descriptor_limit()),
            "backlog": BACKLOG,
            "keepalive": KEEP_ALIVE_S,
            "graceful_timeout": GRACE_S,
            "timeout": 30,
            "limit_request_line": 8190,
            "limit_request_fields": 64,
            "limit_request_field_size": 8190,
            "control_socket_disable": True,
            "proc_name": "downhaul-server",
            "logger_class": Logger,
            "loglevel": self._settings.log_level,
            "pre_fork": self._pre_fork,
            "post_fork": self._post_fork,
            "worker_exit": self._worker_exit,
            "child_exit": self._child_exit,
        }

    def _pre_fork(self, server: Arbiter, worker: Worker) -> None:
        worker.slot = self._board.reserve()

    def _post_fork(self, server: Arbiter, worker: Worker) -> None:
        lifeline.end_with_parent(worker.ppid)
        if worker.slot is not None:
            self._board.claim(worker.slot)

    def _worker_exit(self, server: Arbiter, worker: Worker) -> None:
        """In the worker at its end; in the master when a worker turns out to be gone."""
        if worker.pid != os.getpid():
            self._child_exit(server, worker)
        elif self._store is not None:
            self._store.close()

    def _child_exit(self, server: Arbiter, worker: Worker) -> None:
        """In the master."""
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
        if worker.slot is not None:
            self._board.release(worker.slot)


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings.from_environment().prepare()
    logs.configure(settings)
    Web(settings, int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
