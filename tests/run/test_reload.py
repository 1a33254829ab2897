"""SIGHUP: the web server's workers are replaced one and all, and nobody who kills a flag meanwhile notices."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from support.server import ADMIN_TOKEN, Server
from support.waiting import wait_until

pytestmark = pytest.mark.redis

RELOADS = 3


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


def workers(server: Server) -> set[int]:
    """The processes of the web server that serve."""
    web = {pid for pid, line in server.processes().items() if "downhaul_server.serve" in line}
    return {pid for pid in web if _parent(pid) in web}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def replaced(server: Server) -> None:
    """Reload, and wait until all workers are other ones."""
    before = workers(server)
    server.send(signal.SIGHUP)
    wait_until(lambda: len(now := workers(server)) == 2 and not now & before, "both workers are new ones")


def logged(server: Server) -> set[int]:
    """Revisions of the log."""
    found, cursor = set(), None
    while True:
        page = server.call("GET", "/api/v1/log?limit=500" + (f"&cursor={cursor}" if cursor else "")).json()
        found |= {entry["revision"] for entry in page["items"]}
        if not (cursor := page["next"]):
            return found


def test_no_kill_is_lost_and_no_client_is_cut_off_while_the_workers_are_replaced(server: Server) -> None:
    server.made("services", {"key": "busy"})
    operators = [
        Operator(server.url, f"flag-{number}", pause_s, keeps_alive)
        for number, (pause_s, keeps_alive) in enumerate([(0.02, False), (0.2, False), (0.02, True), (0.3, True), (2.0, True)])
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
