"""The web server process: gunicorn with gevent workers, each with a Store of its own. Started by the supervisor.

`python -m downhaul_server.serve DESCRIPTOR`: the settings come from the environment, the listening socket is inherited.
"""

# ruff: noqa: E402 - whatever makes a lock or a socket comes after the patch
from gevent import monkey

# The workers need this before anything is imported; processes and signals are gunicorn's, and stay the system's.
monkey.patch_all(os=False, signal=False)

import logging
import os
import signal
import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger as GunicornLogger
from prometheus_client.multiprocess import mark_process_dead

from downhaul_server import lifeline, limits, logs
from downhaul_server.app import create_app
from downhaul_server.listening import BACKLOG
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings, SettingsError
from downhaul_server.store import Board, Store
from downhaul_server.workers import Worker

log = logging.getLogger(__name__)

GRACE_S = 7
"""The master waits this long for its workers, whose own end is shorter; the supervisor waits a little longer."""


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
        self._services: Services | None = None
        super().__init__()

    def load_config(self) -> None:
        """Called at start and at each reload."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """In the worker, after the fork."""
        self._store = Store.open(self._settings, board=self._board)
        self._services = Services(self._store, self._settings)
        return create_app(self._services, self._settings)

    def stop(self) -> None:
        """In a worker that is about to end: streams and waiting answers come to their end."""
        if self._services is not None:
            self._services.stop()

    def reload(self) -> None:
        """In the master, before it makes new workers: secrets in files may have changed."""
        try:
            self._settings = Settings.from_environment().prepare()
        except SettingsError as error:
            log.error("the settings stay as they are: %s", error)
        super().reload()

    def _options(self) -> dict[str, Any]:
        return {
            "bind": [f"fd://{self._descriptor}"],
            "workers": self._settings.workers,
            "worker_class": Worker,
            "worker_connections": limits.connections_of_worker(limits.descriptor_limit(), self._settings.max_streams),
            "backlog": BACKLOG,
            "keepalive": int(Worker.patience.idle),
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
        # Until the worker has a handler of its own, the master's would swallow this.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
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
