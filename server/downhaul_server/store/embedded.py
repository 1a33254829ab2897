"""A private Redis of our own, for whoever has none: it keeps every acknowledged write, and nobody else can reach it."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from downhaul_server import lifeline
from downhaul_server.store import programs
from downhaul_server.store.checkpoint import FileLock

log = logging.getLogger(__name__)

SOCKET_PATH_MAX = 100
"""The kernel's limit is 107 bytes on Linux and 103 on macOS."""
START_TIMEOUT_S = 60.0
"""A large append-only file takes its time to load; a Redis that died is noticed at once."""
STOP_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 3.0
PAUSE_S = 0.02


class EmbeddedError(RuntimeError):
    """The embedded Redis cannot run. One sentence that says what to do about it."""


class Embedded:
    """A `redis-server` (or `valkey-server`) child process on a Unix socket, its files in `<data>/redis/`."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is touched before `start()`."""
        self._data_dir = data_dir
        self._folder = data_dir / "redis"
        self._lock = FileLock(data_dir / "server.lock")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`unix://...`, for `Store.open(redis_url=...)`."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """Process id of Redis; None when it is not running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> str:
        """Lock the data folder, end an orphan of an earlier life, start Redis, wait until it answers; gives `url`.

        Call it in the thread that lives as long as the server (on Linux the child dies with that thread).
        Raises EmbeddedError: no binary anywhere, folder in use by another server, Redis did not come up.
        """
        _make(self._data_dir)
        if not self._locked():
            raise EmbeddedError(
                f"another Downhaul server uses the data folder {self._data_dir}: stop it, or set DOWNHAUL_DATA_DIR"
            )
        try:
            _make(self._folder)
            if self._socket.parent != self._folder:
                _make_private(self._socket.parent)
            self._end_orphan()
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self.url

    def _locked(self) -> bool:
        # The workers of a server that was killed need a moment to notice.
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not self._lock.acquire():
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_S)
        return True

    def ensure_running(self) -> bool:
        """Start Redis again when it has died. True when it had to. For the supervisor's loop; raises EmbeddedError."""
        if self.pid is not None:
            return False
        status = self._process.returncode if self._process else None
        log.error("embedded Redis is gone (exit status %s); starting it again", status)
        self._launch()
        return True

    def stop(self) -> None:
        """Shut Redis down cleanly and unlock the data folder. Idempotent; only for the process that started it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self._lock.release()

    @property
    def _socket(self) -> Path:
        path = self._folder / "redis.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            return path
        # Always the same place for the same folder, so that an orphan is found again.
        name = hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"downhaul-{os.getuid()}-{name}" / "redis.sock"

    def _launch(self) -> None:
        program = self._program()
        with open(self._folder / "redis.log", "ab") as output:
            self._process = subprocess.Popen(
                [str(program.path), *self._configuration()],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Control-C in the terminal is for the server, which stops Redis when it needs it no more.
                start_new_session=True,
                preexec_fn=lifeline.before_exec(),
            )
        self._await_answer()

    def _program(self) -> programs.Program:
        try:
            return programs.find(programs.written_in(self._folder))
        except OSError as error:
            raise EmbeddedError(f"{self._folder} cannot be read: {error.strerror or error}") from error
        except programs.NoProgramError as error:
            raise EmbeddedError(str(error)) from error

    def _configuration(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            "daemonize": "no",
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def _await_answer(self) -> None:
        assert self._process is not None  # noqa: S101 - only called once it was made
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None:
                raise EmbeddedError(f"embedded Redis did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"embedded Redis did not answer within {START_TIMEOUT_S:.0f} s: {self._last_words()}"
                )
            time.sleep(PAUSE_S)

    def _answers(self) -> bool:
        with self._client() as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def _end_orphan(self) -> None:
        """We hold the lock, so whoever answers on our socket was left behind by a server that is no more."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._shut_down():
            if time.monotonic() > deadline:
                raise EmbeddedError(f"a Redis left behind on {self._socket} does not end: stop it by hand")
            time.sleep(PAUSE_S)

    def _shut_down(self) -> bool:
        """Ask whoever answers on the socket to end. False when nobody does."""
        with self._client() as client:
            try:
                client.ping()
            except BusyLoadingError:
                pass
            except RedisError:
                return False
            try:
                client.shutdown(nosave=True)
            except RedisError as error:
                log.debug("embedded Redis: SHUTDOWN was answered with %s", error)
        return True

    def _client(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self._socket), socket_timeout=2.0, protocol=2, retry=Retry(NoBackoff(), 0)
        )

    def _last_words(self) -> str:
        lines = (self._folder / "redis.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-3:]) or "it said nothing"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise EmbeddedError(f"{folder} cannot be used: {error.strerror or error}") from error


def _make_private(folder: Path) -> None:
    """Make it where everybody may make one. Raises EmbeddedError when somebody else was faster."""
    _make(folder)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise EmbeddedError(f"{folder} is not a folder of our own that nobody else may enter: remove it")
