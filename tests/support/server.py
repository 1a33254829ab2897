"""A real `downhaul-server` for tests: its own data folder, its own port, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from downhaul_server.store.embedded import Embedded
from support.redis import free_port, redis_binary
from support.waiting import wait_until

ADMIN_TOKEN = "a-token-of-the-tests-for-the-administrator"
COMMAND = (sys.executable, "-m", "downhaul_server.cli")
PATIENCE_S = 60.0


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """What a server of the tests is told; nothing of this machine's own settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
    return {**ours, "DOWNHAUL_DATA_DIR": str(data_dir), "DOWNHAUL_ADMIN_TOKEN": ADMIN_TOKEN, **more}


def command(
    *arguments: str, environ: Mapping[str, str], prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `downhaul-server` with these arguments to its end. `prepare` runs in the new process, before it is that."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        preexec_fn=prepare,
    )


class Server:
    """`downhaul-server run` (or `demo`) on a free port. Use it with `with`, which ends it and looks for leftovers."""

    def __init__(
        self,
        data_dir: Path,
        *,
        verb: str = "run",
        port: int | None = None,
        prepare: Callable[[], None] | None = None,
        **settings: str,
    ) -> None:
        """`settings` are environment variables: `DOWNHAUL_WORKERS="3"`. `prepare` runs in the new process, before it
        is the server."""
        redis_binary()
        self.port = port or free_port()
        self.data_dir = data_dir
        self.environ = environment(data_dir, **{"DOWNHAUL_BIND": f"127.0.0.1:{self.port}", **settings})
        self.token = self.environ["DOWNHAUL_ADMIN_TOKEN"]
        self._verb = verb
        self._prepare = prepare
        self._process: subprocess.Popen[bytes] | None = None
        self._output = data_dir.parent / f"{data_dir.name}.output"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def redis_url(self) -> str:
        """Of its embedded Redis."""
        return Embedded(self.data_dir).url

    @property
    def output(self) -> str:
        """All that it has printed, logs too."""
        return self._output.read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        """Of the process that was started: the supervisor."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Server:
        """Start it; does not wait."""
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(
                [*COMMAND, self._verb],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=self._prepare,
            )
        return self

    def ready(self) -> Server:
        """Wait until it serves."""
        wait_until(lambda: self.ended() or self.get("/readyz") == 200, "the server is ready", PATIENCE_S)
        assert not self.ended(), self.output
        return self

    def get(self, path: str) -> int | None:
        """The status of an answer without a token; None when nobody answers."""
        try:
            return requests.get(f"{self.url}{path}", timeout=20).status_code
        except requests.RequestException:
            return None

    def text(self, path: str) -> str:
        """What a page without a token says, whatever its status; nothing when nobody answers."""
        try:
            return requests.get(f"{self.url}{path}", timeout=5).text
        except requests.RequestException:
            return ""

    def call(self, method: str, path: str, document: Any = None) -> requests.Response:
        """As the administrator, on a connection of its own: either worker may answer."""
        return requests.request(
            method, f"{self.url}{path}", json=document, headers={"Authorization": f"Bearer {self.token}"}, timeout=90
        )

    def made(self, path: str, document: Any) -> dict[str, Any]:
        """POST, which must succeed; gives the answer."""
        answer = self.call("POST", f"/api/v1/{path}", document)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process is not None and self._process.poll() is not None

    def send(self, how: signal.Signals) -> None:
        """A signal for the supervisor."""
        os.kill(self.pid, how)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it in order; gives the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self.send(how)
        return self._process.wait(timeout=PATIENCE_S)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """All of its processes are stopped: it takes connections, and answers nothing."""
        pids = list(self.processes())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def processes(self) -> dict[int, str]:
        """Every process that belongs to it, wherever it was moved to: pid -> command line."""
        return {pid: line for pid, line in _processes() if self._is_ours(pid)}

    def _is_ours(self, pid: int) -> bool:
        # Children cannot lose both: Redis writes over its environment, and works in a folder of its own.
        folder = os.fsencode(self.data_dir)
        try:
            told = Path(f"/proc/{pid}/environ").read_bytes()
            where = os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
        except OSError:
            return False
        return folder in told or where.startswith(folder)

    def __enter__(self) -> Server:
        return self.start().ready()

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


def _processes() -> list[tuple[int, str]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue
        if line:
            found.append((int(folder.name), line))
    return found
