"""Redis for tests: a real one that can be killed and started again, a fake one, and a line between that can be cut."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from downhaul_server.store.connections import Connections
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin
from support.waiting import PATIENCE_S, wait_until

FAKE_BLOCK_S = 0.02
REAL_BLOCK_S = 0.05
FIRST_PORT, LAST_PORT = 20_000, 32_000
PLACES = 16
_given: deque[int] = deque(maxlen=300)


def redis_binary() -> str:
    """A Redis server on this machine. Without one: skips the test on a laptop, fails it in CI."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary:
        return binary
    message = "NO REDIS: this test needs a redis-server or valkey-server on PATH (`make redis` installs one)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class RealRedis:
    """A redis-server process on a free loopback port, with the durable configuration, its files in `folder`."""

    def __init__(self, folder: Path, *arguments: str, port: int | None = None, binary: Path | None = None) -> None:
        """`arguments` are appended to the command line, so they win: `"--appendonly", "no"`."""
        self.folder = folder
        self.port = port or free_port()
        self._binary = str(binary or redis_binary())
        self.arguments: tuple[str, ...] = arguments
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended (it may be paused)."""
        return self._process is not None

    def client(self) -> redis.Redis:
        """A client of the test's own."""
        return redis.Redis(port=self.port, protocol=2, socket_timeout=5)

    def connections(self, block_s: float = REAL_BLOCK_S) -> Connections:
        """What a Store uses, with a follower that looks around more often, so that tests end sooner."""
        return Connections.to(self.url, block_s=block_s)

    def start(self) -> RealRedis:
        """Start it, from its append-only file if there is one, and wait until it answers."""
        configuration = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        arguments = [part for name, value in configuration.items() for part in (f"--{name}", value)]
        with open(self.folder / "log", "ab") as output:
            self._process = subprocess.Popen(
                [self._binary, *arguments, *self.arguments], stdout=output, stderr=output, start_new_session=True
            )
        with self.client() as client:
            wait_until(lambda: self._answers(client), "Redis answers")
        return self

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order. Idempotent."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """It is there and does not answer any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It answers again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def forget_everything(self) -> None:
        """Remove its files; it must be down. The next start is an empty Redis."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def _answers(self, client: redis.Redis) -> bool:
        """Whether this very process answers, and not another one that has taken the port."""
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"Redis did not start: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            return bool(client.info("server")["process_id"] == self._process.pid)
        except redis.RedisError:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(timeout=PATIENCE_S)
            self._process = None


class FakeRedis:
    """fakeredis behind the same interface, for what needs no real one."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()

    def client(self) -> redis.Redis:
        return fakeredis.FakeRedis(server=self._server)

    def connections(self, block_s: float = FAKE_BLOCK_S) -> Connections:
        return Connections(self.client(), self.client(), self.client(), block_s=block_s)

    def stop(self) -> None:
        """Nothing to stop."""


class TcpProxy:
    """A line between a client and a Redis that can lose the answer to a request that Redis has carried out."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lines: list[socket.socket] = []
        self._marker = b""
        self._then = ""
        self.lost = 0
        """Answers lost so far."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def lose_answer_to(self, marker: bytes, then: str) -> None:
        """The next request that holds `marker` reaches Redis, its answer is lost; the line goes `silent` or `cut`."""
        assert then in ("silent", "cut")
        self._then, self._marker = then, marker

    def close(self) -> None:
        """Cut all lines, accept no more."""
        for line in (self._listener, *self._lines):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                target = socket.create_connection(("127.0.0.1", self._target_port))
                self._lines += [client, target]
                threading.Thread(target=self._serve, args=(client, target), daemon=True).start()

    def _serve(self, client: socket.socket, target: socket.socket) -> None:
        """Request, answer, request, answer: redis-py does not pipeline a script call."""
        answers = threading.Thread(target=self._answers, args=(client, target, loses := threading.Event()), daemon=True)
        answers.start()
        with suppress(OSError):
            while request := client.recv(1 << 20):
                if self._marker and self._marker in request:
                    self._marker = b""
                    loses.set()
                target.sendall(request)
            target.shutdown(socket.SHUT_RDWR)

    def _answers(self, client: socket.socket, target: socket.socket, loses: threading.Event) -> None:
        with suppress(OSError):
            while answer := target.recv(1 << 20):
                if not loses.is_set():
                    client.sendall(answer)
                    continue
                self.lost += 1
                if self._then == "cut":
                    break
            client.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    """A loopback port that nobody uses at the moment.

    Below the range from which the system gives ports to outgoing connections: a server that is down for a while must
    find its port free when it comes back. For the same reason, tests that run side by side
    draw from ranges of their own.
    """
    place = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PLACES
    while True:
        port = random.randrange(FIRST_PORT + place, LAST_PORT, PLACES)
        # Whoever was given one may not listen yet.
        if port not in _given:
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                _given.append(port)
                return port


def _give_fakeredis_sha1hex() -> None:
    """fakeredis lacks `redis.sha1hex`, which every real server has and which our scripts use."""
    original = ScriptingCommandsMixin._get_server_runtime

    def runtime(self: ScriptingCommandsMixin, server: fakeredis.FakeServer) -> Any:
        lua = original(self, server)
        lua.globals().redis.sha1hex = lambda text: hashlib.sha1(text).hexdigest().encode()  # noqa: S324
        return lua

    ScriptingCommandsMixin._get_server_runtime = runtime


_give_fakeredis_sha1hex()
