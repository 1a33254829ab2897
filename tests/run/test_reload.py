"""SIGHUP: the web server's workers are replaced one and all, and nobody who kills a flag meanwhile notices."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from support.server import ADMIN_TOKEN, Server
from support.waiting import wait_until
from support.webserver import workers_of

pytestmark = pytest.mark.redis

RELOADS = 3
HABITS = ((0.02, False), (0.2, False), (0.02, True), (0.3, True), (2.0, True))
"""Of each operator the longest pause, and whether its connection is kept."""


@dataclass
class Operator:
    """Kills and restores a flag of its own, again and again, until it is told to stop."""

    url: str
    flag: str
    pause_s: float
    keeps_alive: bool
    acknowledged: list[int] = field(default_factory=list)
    """Revisions."""
    failures: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        line = requests.Session()
        verb = "kill"
        while not self.done.wait(random.uniform(0, self.pause_s)):
            if not self.keeps_alive:
                line = requests.Session()
            try:
                self._act(line, verb)
            except (requests.RequestException, AssertionError) as error:
                self.failures.append(f"{time.time():.3f} {verb} {error!r}")
            verb = "restore" if verb == "kill" else "kill"

    def _act(self, line: requests.Session, verb: str) -> None:
        answer = line.post(
            f"{self.url}/api/v1/services/busy/flags/{self.flag}/{verb}",
            json={"reason": "a test"},
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        self.acknowledged.append(answer.json()["revision"])


def replaced(server: Server) -> None:
    """Reload, and wait until all workers are other ones."""
    before = workers_of(server)
    server.send(signal.SIGHUP)
    wait_until(lambda: len(now := workers_of(server)) == 2 and not now & before, "both workers are new ones")


def logged(server: Server) -> set[int]:
    """Revisions of the log."""
    found, cursor = set(), None
    while True:
        page = server.call("GET", "/api/v1/log?limit=500" + (f"&cursor={cursor}" if cursor else "")).json()
        found |= {entry["revision"] for entry in page["items"]}
        if not (cursor := page["next"]):
            return found


@pytest.fixture
def server(data_dir: Path) -> Iterator[Server]:
    """In a session of its own: whoever runs the tests may have a terminal."""
    with Server(data_dir, prepare=os.setsid) as server:
        yield server


def test_no_kill_is_lost_and_no_client_is_cut_off_while_the_workers_are_replaced(server: Server) -> None:
    server.made("services", {"key": "busy"})
    operators = [
        Operator(server.url, f"flag-{number}", pause_s, keeps_alive)
        for number, (pause_s, keeps_alive) in enumerate(HABITS)
    ]
    for operator in operators:
        server.made("services/busy/flags", {"key": operator.flag, "type": "boolean"})
    threads = [threading.Thread(target=operator.work) for operator in operators]
    for thread in threads:
        thread.start()
    try:
        for _ in range(RELOADS):
            replaced(server)
    finally:
        for operator in operators:
            operator.done.set()
        for thread in threads:
            thread.join()
    assert [failure for operator in operators for failure in operator.failures] == []
    acknowledged = {revision for operator in operators for revision in operator.acknowledged}
    assert len(acknowledged) > 20
    assert acknowledged <= logged(server)
    assert "Traceback" not in server.output


def test_a_hang_up_during_the_start_ends_nothing(data_dir: Path) -> None:
    server = Server(data_dir, prepare=os.setsid, DOWNHAUL_WORKERS="1").start()
    try:
        wait_until(lambda: "downhaul_server.serve" in " ".join(server.processes().values()), "the web server starts")
        for _ in range(3):
            server.send(signal.SIGHUP)
        server.ready()
        assert "starting it again" not in server.output
    finally:
        server.stop()


def test_a_secret_in_a_file_is_read_again_and_a_wrong_one_is_not_taken(data_dir: Path, tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text(ADMIN_TOKEN, "ascii")
    told = {"DOWNHAUL_ADMIN_TOKEN": "", "DOWNHAUL_ADMIN_TOKEN_FILE": str(kept)}
    with Server(data_dir, prepare=os.setsid, **told) as server:
        server.token = ADMIN_TOKEN
        kept.write_text(" ", "ascii")
        replaced(server)
        assert "DOWNHAUL_ADMIN_TOKEN_FILE: expected a file with a value in it" in server.output
        assert server.call("GET", "/api/v1/status").status_code == 200
        kept.write_text(f"{ADMIN_TOKEN}-renewed", "ascii")
        replaced(server)
        assert server.call("GET", "/api/v1/status").status_code == 401
        server.token = f"{ADMIN_TOKEN}-renewed"
        assert server.call("GET", "/api/v1/status").status_code == 200


def test_with_a_terminal_its_closing_ends_the_server(data_dir: Path) -> None:
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    with Server(data_dir, prepare=take_terminal, DOWNHAUL_WORKERS="1") as server:
        os.close(ours)
        wait_until(server.ended, "it has ended")
        assert not server.processes()
    os.close(theirs)
