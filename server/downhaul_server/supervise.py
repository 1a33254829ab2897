"""The processes that make up a running Downhaul: started in order, started again when they die, ended together."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import NoReturn

from downhaul_server import lifeline
from downhaul_server.store import Embedded, EmbeddedError

log = logging.getLogger(__name__)

ENDS = (signal.SIGTERM, signal.SIGINT)
PAUSE_S = 0.1
STOP_S = 8.0
"""Longer than the web server's own graceful time, and with Redis's part about ten seconds."""
SAME_SIGNAL_S = 0.5
"""`make` hands on what the terminal or a container has sent us already: that is no second wish."""
QUICK_S = 5.0
"""A process that lives shorter than this could not start."""
QUICK_DEATHS = 3
LONGEST_PAUSE_S = 5.0


class Stopped(BaseException):
    """A signal asked us to end."""


class ChildFailedError(Exception):
    """A process cannot be kept running. One sentence."""


@dataclass
class Child:
    """A program of ours and how it is started; one process of it at a time."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)
    """All of its environment: it holds secrets."""
    descriptors: tuple[int, ...] = ()
    """Open files that it inherits under the same numbers."""
    reloads: bool = False
    """SIGHUP tells it to take its settings anew, as soon as it has started; before, it is deaf to that."""
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _quick_deaths: int = 0

    @property
    def pid(self) -> int | None:
        """Its process id; None when it is not running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it, in a session of its own: Control-C in the terminal is for the supervisor."""
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            pass_fds=self.descriptors,
            start_new_session=True,
            preexec_fn=lifeline.before_exec(deaf_to=(signal.SIGHUP,) if self.reloads else ()),
        )

    def ensure_running(self) -> None:
        """Start it again when it has died. Raises ChildFailedError when it keeps dying right after its start."""
        if self._process is None or self._process.poll() is None:
            return
        quick = time.monotonic() - self._started < QUICK_S
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        ended = f"{self.name} ended ({_how(self._process.returncode)})"
        if self._quick_deaths >= QUICK_DEATHS:
            raise ChildFailedError(f"{ended} {QUICK_DEATHS} times right after its start")
        log.error("%s; starting it again", ended)
        self.start()

    def send(self, how: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self.pid is not None and self._process is not None:
            self._process.send_signal(how)

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; at the deadline (monotonic) it is killed, with all that it started."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("%s did not end in time; killing it", self.name)
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it and all that it started at once; does not wait. Safe in a signal handler."""
        if self.pid is not None:
            os.killpg(self.pid, signal.SIGKILL)


class Supervisor:
    """Holds the embedded Redis and the children, from `with` until a signal. The first one ends all in order and in
    about ten seconds, the second one at once. SIGHUP says that the terminal is gone, and is such a signal; where there
    is no terminal, it is the wish that the children that can do so reload."""

    def __init__(self) -> None:
        self._redis: Embedded | None = None
        self._children: list[Child] = []
        self._listeners: list[socket.socket] = []
        self._redis_pause = PAUSE_S
        self._redis_due = 0.0
        self._stopped = 0.0
        self._reload_wanted = False
        # With nohup, too, there is no terminal that matters.
        hangs_up = has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        self._ends = (*ENDS, signal.SIGHUP) if hangs_up else ENDS

    def __enter__(self) -> Supervisor:
        signal.signal(signal.SIGHUP, self._want_reload)
        for number in self._ends:
            signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._expect_second_signal()
        self._end()
        return isinstance(error, Stopped)

    def close_at_end(self, listener: socket.socket) -> None:
        """A socket that children inherit: once they are told to end, nobody may wait on it any more."""
        self._listeners.append(listener)

    def start_redis(self, redis: Embedded) -> str:
        """Start it and keep it running; gives its URL. Raises EmbeddedError."""
        url = redis.start()
        self._redis = redis
        return url

    def start(self, child: Child) -> None:
        """Start it and keep it running."""
        self._children.append(child)
        child.start()

    def watch(self) -> NoReturn:
        """Keep all of them running, until a signal. Raises ChildFailedError."""
        while True:
            self.look()
            time.sleep(PAUSE_S)

    def look(self) -> None:
        """Start again whatever has died; reload if that was wished for. Raises ChildFailedError."""
        for child in self._children:
            child.ensure_running()
        if self._reload_wanted:
            self._reload_wanted = False
            self._reload()
        if self._redis is not None and time.monotonic() >= self._redis_due:
            self._revive(self._redis)

    def _reload(self) -> None:
        for child in self._children:
            if child.reloads:
                log.info("%s reloads", child.name)
                child.send(signal.SIGHUP)

    def _revive(self, redis: Embedded) -> None:
        # Without Redis the server still answers every read, so a disk that is full must not end it.
        try:
            redis.ensure_running()
            self._redis_pause = PAUSE_S
        except EmbeddedError as error:
            self._redis_pause = min(self._redis_pause * 2, LONGEST_PAUSE_S)
            self._redis_due = time.monotonic() + self._redis_pause
            log.error("%s; trying again in %.1f s", error, self._redis_pause)

    def _end(self) -> None:
        for listener in self._listeners:
            listener.close()
        for child in self._children:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in self._children:
            child.wait(deadline)
        if self._redis is not None:
            self._redis.stop()

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        # Raised wherever we are, also while Redis takes its time to load.
        self._expect_second_signal()
        raise Stopped(signal.Signals(number).name)

    def _want_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload_wanted = True

    def _expect_second_signal(self) -> None:
        self._stopped = time.monotonic()
        for number in self._ends:
            signal.signal(number, self._end_at_once)

    def _end_at_once(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() - self._stopped < SAME_SIGNAL_S:
            return
        for child in self._children:
            child.kill()
        if self._redis is not None and self._redis.pid is not None:
            # What it has acknowledged is on disk: a kill loses nothing.
            os.kill(self._redis.pid, signal.SIGKILL)
        os._exit(128 + number)


def has_terminal() -> bool:
    """Whether a terminal controls this process, and sends SIGHUP when it is closed."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
