"""A kill is acknowledged by a real server of two workers, whichever of them hears of what."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from support.fleet import Instance
from support.redis import RealRedis
from support.server import Server
from support.waiting import wait_until

pytestmark = pytest.mark.redis

MANY = 12
FLAG = "services/checkout/flags/new-checkout"


class Reporter:
    """The instances of a service: each asks for the snapshot and reports it, on connections of its own."""

    def __init__(self, server: Server, key: str) -> None:
        self.instances = [Instance(f"checkout-{number}") for number in range(MANY)]
        self.mute: set[str] = set()
        """Names of those who do not report."""
        self._server = server
        self._headers = {"Authorization": f"Bearer {key}"}
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(MANY)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Reporter:
        self.report(self.snapshot())
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(10)
        self._pool.shutdown()

    def report(self, snapshot: dict[str, Any]) -> None:
        """Everybody, at the same time."""
        list(self._pool.map(lambda instance: self._report(instance, snapshot), self.instances))

    def _run(self) -> None:
        revision = None
        while not self._ended.wait(0.01):
            with suppress(requests.RequestException):
                snapshot = self.snapshot()
                if snapshot["revision"] != revision:
                    self.report(snapshot)
                    revision = snapshot["revision"]

    def snapshot(self) -> dict[str, Any]:
        url = f"{self._server.url}/sdk/v1/snapshot?service=checkout"
        answer = requests.get(url, headers=self._headers, timeout=5)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _report(self, instance: Instance, snapshot: dict[str, Any]) -> None:
        if instance.name not in self.mute:
            body = instance.body(snapshot["epoch"], snapshot["revision"])
            answer = requests.post(f"{self._server.url}/sdk/v1/report", json=body, headers=self._headers, timeout=5)
            assert answer.status_code == 200, answer.text


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RealRedis]:
    server = RealRedis(tmp_path / "redis").start()
    yield server
    server.stop()


@pytest.fixture
def fleet(redis: RealRedis, data_dir: Path) -> Iterator[tuple[Server, Reporter]]:
    """A server with a flag, and instances that obey."""
    with Server(data_dir, DOWNHAUL_REDIS_URL=redis.url) as server:
        server.made("services", {"key": "checkout"})
        server.made("services/checkout/flags", {"key": "new-checkout", "type": "boolean"})
        key = server.made("keys", {"kind": "sdk", "name": "instances", "environment": "production"})
        reporter = Reporter(server, key["token"]).start()
        yield server, reporter
        reporter.stop()


def kill(server: Server, wait: float = 20) -> dict[str, Any]:
    return server.made(f"{FLAG}/kill", {"wait": wait})


def restore(server: Server) -> None:
    server.made(f"{FLAG}/restore", {"reason": "and again"})


def test_a_kill_is_confirmed_and_whoever_is_mute_is_the_only_straggler(fleet: tuple[Server, Reporter]) -> None:
    server, reporter = fleet
    for _ in range(4):  # one worker or the other takes it
        found = kill(server)
        assert (found["instances"], found["applied"], found["confirmed"]) == (MANY, MANY, True)
        assert found["latency_ms"]["max"] < 10_000
        restore(server)
    reporter.mute = {"checkout-7"}
    for _ in range(2):
        found = kill(server, 1)
        assert (found["instances"], found["applied"], found["confirmed"]) == (MANY, MANY - 1, False)
        assert [straggler["instance"] for straggler in found["stragglers"]] == ["checkout-7"]
        restore(server)


def test_a_restart_of_redis_and_of_the_workers_forgets_nobody(fleet: tuple[Server, Reporter], redis: RealRedis) -> None:
    server, reporter = fleet
    reporter.mute = {instance.name for instance in reporter.instances}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(kill, server, 8)
        wait_until(lambda: server.made(f"{FLAG}/kill", {})["changed"] is False, "it is killed")
        redis.kill()
        redis.start()
        assert not asked.done()
        reporter.mute = set()
        reporter.report(reporter.snapshot())
        assert asked.result()["confirmed"]
    reporter.mute = {instance.name for instance in reporter.instances}
    master = next(pid for pid in _children(server, server.pid) if _children(server, pid))
    for worker in _children(server, master):
        os.kill(worker, signal.SIGKILL)
    wait_until(
        lambda: server.call("POST", f"/api/v1/{FLAG}/restore", {"reason": "again"}).ok, "there are workers again"
    )
    found = kill(server, 0.2)
    assert (found["instances"], found["applied"], found["confirmed"]) == (MANY, 0, False)


def test_a_server_that_stops_answers_who_waits(fleet: tuple[Server, Reporter]) -> None:
    server, reporter = fleet
    reporter.mute = {"checkout-7"}
    asked = ThreadPoolExecutor(1).submit(kill, server, 60)
    time.sleep(0.5)
    assert not asked.done()
    began = time.monotonic()
    server.send(signal.SIGTERM)
    found = asked.result(55)
    assert time.monotonic() - began < 45
    assert [straggler["instance"] for straggler in found["stragglers"]] == ["checkout-7"]
    server.stop()


def _children(server: Server, parent: int) -> list[int]:
    """Processes of the server that this one has started."""
    found = []
    for pid in server.processes():
        with suppress(OSError):
            if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(pid)
    return found
