"""Real SDK processes and a real server of two workers: a kill arrives by stream, and whoever kills sees it arrive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.server import Server
from support.waiting import wait_until

pytestmark = pytest.mark.redis

PROGRAM = """
import sys
from downhaul import flags

assert flags.wait_ready(20)
flags.on_change(lambda names: print("checkout" if flags.enabled("new-checkout") else "old checkout", flush=True))
print("here", flush=True)
sys.stdin.read()
"""
KILL = "/api/v1/services/checkout/flags/new-checkout"


class Instance:
    """A process that uses the flag, and says what it sees."""

    def __init__(self, name: str, server: Server, token: str) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
        environ |= {"DOWNHAUL_URL": server.url, "DOWNHAUL_KEY": token, "DOWNHAUL_SERVICE": "checkout"}
        environ |= {"DOWNHAUL_INSTANCE": name}
        command = [sys.executable, "-c", PROGRAM]
        self._process = subprocess.Popen(
            command, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1
        )

    def says(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def send(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def end(self) -> int:
        """In order; gives the exit status."""
        self._process.send_signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("end-to-end") / "data") as made:
        made.made("services", {"key": "checkout", "name": "Checkout"})
        state = {"production": {"on": True, "otherwise": {"variant": "on"}}}
        made.made("services/checkout/flags", {"key": "new-checkout", "type": "boolean", "environments": state})
        yield made


@pytest.fixture
def instances(server: Server) -> Iterator[list[Instance]]:
    """Three that are live in the fleet, by stream."""
    key = {"kind": "sdk", "name": "checkout", "environment": "production", "services": ["checkout"]}
    token = server.made("keys", key)["token"]
    made = [Instance(f"web-{number}", server, token) for number in (1, 2, 3)]
    for each in made:
        while each.says() != "here":
            pass
    wait_until(lambda: {each["link"] for each in live(server)} == {"stream"} and len(live(server)) == 3, "all are live")
    yield made
    assert [each.end() for each in made] == [0, 0, 0]


def live(server: Server) -> list[dict[str, Any]]:
    found = server.call("GET", "/api/v1/services/checkout/fleet?environment=production").json()["items"]
    return [each for each in found if each["state"] == "live" and each["revision"] is not None]


def change(server: Server, verb: str, wait: float) -> dict[str, Any]:
    body = {"environment": "production", "reason": "a test", "wait": wait}
    answer: dict[str, Any] = server.call("POST", f"{KILL}/{verb}", body).json()
    return answer


def test_a_kill_is_confirmed_by_all_and_a_stopped_process_is_the_one_straggler(
    server: Server, instances: list[Instance]
) -> None:
    began = time.monotonic()
    killed = change(server, "kill", 45)
    assert time.monotonic() - began < 40, "nobody had to poll for it"
    assert (killed["confirmed"], killed["instances"], killed["applied"], killed["stragglers"]) == (True, 3, 3, [])
    assert [each.says() for each in instances] == ["old checkout"] * 3
    assert change(server, "restore", 10)["confirmed"] is True
    assert [each.says() for each in instances] == ["checkout"] * 3

    instances[1].send(signal.SIGSTOP)
    killed = change(server, "kill", 1)
    assert (killed["confirmed"], killed["applied"]) == (False, 2)
    assert [each["instance"] for each in killed["stragglers"]] == ["web-2"]
    instances[1].send(signal.SIGCONT)
    assert [each.says() for each in instances] == ["old checkout"] * 3, "the straggler too, once it runs"
    wait_until(lambda: all(each["applied"] for each in live(server)), "it has said so")
    assert change(server, "restore", 10)["confirmed"] is True


def test_who_leaves_is_not_waited_for(server: Server, instances: list[Instance]) -> None:
    first, *_ = instances
    first.end()
    wait_until(lambda: len(live(server)) == 2, "it has said that it leaves")
    killed = change(server, "kill", 10)
    assert (killed["confirmed"], killed["instances"]) == (True, 2)
    assert change(server, "restore", 10)["confirmed"] is True


def test_evaluations_are_counted(server: Server, instances: list[Instance]) -> None:
    """What a process has counted comes with its last word at the latest."""
    change(server, "kill", 10)
    change(server, "restore", 10)
    for each in instances:
        each.end()

    def counted() -> int:
        answer = server.call("GET", f"{KILL}/evaluations?environment=production").json()
        return sum(sum(hour["counts"].values()) for hour in answer["items"])

    wait_until(lambda: counted() >= 6, "every look of every process")
