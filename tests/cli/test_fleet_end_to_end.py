"""A real server, real processes that run the SDK, and one of them stopped: it is named, and nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from support.cli import Shell
from support.server import Server
from support.waiting import wait_until

pytestmark = pytest.mark.redis

PROGRAM = """
import sys
from downhaul import flags
flags.wait_ready(20)
print("ready", flush=True)
for name in sys.stdin:
    print(flags.enabled(name.strip()), flush=True)
"""
KILL = ("kill", "checkout/new-checkout", "--wait")


class Process:
    """A microservice that answers on its standard output what its flags are."""

    def __init__(self, server: Server, key: str, name: str) -> None:
        self.name = name
        told = {
            "URL": server.url,
            "KEY": key,
            "SERVICE": "checkout",
            "INSTANCE": name,
            "BUILD": "2.1.0",
        }
        ours = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
        self._popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**ours, **{f"DOWNHAUL_{name}": value for name, value in told.items()}},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> Process:
        assert self._read() == "ready"
        return self

    def enabled(self, flag: str) -> bool:
        assert self._popen.stdin is not None
        print(flag, file=self._popen.stdin, flush=True)
        return self._read() == "True"

    def send(self, how: signal.Signals) -> None:
        self._popen.send_signal(how)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Like a process that hangs: its connections stay open."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def _read(self) -> str:
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().strip()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.communicate(timeout=20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("fleet") / "data", DOWNHAUL_WORKERS="2") as server:
        server.made("services", {"key": "checkout"})
        server.made("services/checkout/flags", {"key": "new-checkout", "type": "boolean"})
        yield server


@pytest.fixture(scope="module")
def processes(server: Server) -> Iterator[list[Process]]:
    key = {"kind": "sdk", "name": "test", "environment": "production", "services": ["checkout"]}
    token = server.made("keys", key)["token"]
    with ExitStack() as stack:
        found = [stack.enter_context(Process(server, token, f"checkout-{number}")) for number in (1, 2, 3)]
        yield [process.ready() for process in found]


@pytest.fixture
def sh(server: Server, processes: list[Process], shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command; the flag is on, and everybody knows it."""
    monkeypatch.setenv("DOWNHAUL_URL", server.url)
    monkeypatch.setenv("DOWNHAUL_TOKEN", server.token)
    wait_until(lambda: len(shell("fleet", "checkout", "--state", "live", "--json").json) == 3, "all have reported")
    assert shell("restore", "checkout/new-checkout", "--reason", "test").code == 0
    on = shell("flags", "set", "checkout/new-checkout", "-e", "production", "--on", "--wait", "20")
    assert on.code == 0, on.out + on.err
    assert all(process.enabled("new-checkout") for process in processes)
    return shell


def test_a_kill_that_is_confirmed_is_a_kill_everywhere(sh: Shell, processes: list[Process]) -> None:
    result = sh(*KILL, "20")

    assert (result.code, result.err) == (0, "")
    assert "Confirmed by all 3 processes" in result.out
    assert not any(process.enabled("new-checkout") for process in processes)
    assert sh("restore", "checkout/new-checkout", "--reason", "fixed", "--wait", "20").code == 0
    assert all(process.enabled("new-checkout") for process in processes)


def test_a_stopped_process_is_the_named_straggler_and_the_only_one(sh: Shell, processes: list[Process]) -> None:
    one, two, three = processes
    with two.stopped():
        result = sh(*KILL, "2")

        assert result.code == 3
        assert "NOT CONFIRMED: 2 of 3 processes have applied it. Still missing:" in result.out
        _, _, _, *missing = result.out.splitlines()
        assert [line.split()[0] for line in missing] == ["checkout-2"]
        assert not one.enabled("new-checkout") and not three.enabled("new-checkout")
        assert [each["instance"] for each in sh(*KILL, "0", "--json").json["stragglers"]] == ["checkout-2"]

    later = sh(*KILL, "20")

    assert later.code == 0
    assert "was already killed" in later.out and "Confirmed by all 3 processes" in later.out
    assert not two.enabled("new-checkout")


def test_a_process_that_goes_on_while_it_is_waited_for_confirms(sh: Shell, processes: list[Process]) -> None:
    with processes[0].stopped():
        continued = threading.Timer(1.0, processes[0].send, [signal.SIGCONT])
        continued.start()
        result = sh(*KILL, "20", "--json")
        continued.join()

    assert (result.code, result.json["confirmed"], result.json["applied"]) == (0, True, 3)
    assert result.json["latency_ms"]["max"] > 500


def test_a_drill_measures_and_names(sh: Shell, processes: list[Process]) -> None:
    result = sh("drill", "--wait", "20")

    assert result.code == 0
    assert "checkout: Confirmed by all 3 processes in " in result.out
    with processes[2].stopped():
        failed = sh("drill", "--wait", "1")
        assert failed.code == 3 and "checkout-3" in failed.out and "checkout-1" not in failed.out
        assert sh("drill", "--last").code == 3
    assert all(process.enabled("new-checkout") for process in processes)


def test_a_kill_is_watched_through_a_restart_of_the_service(
    server: Server, sh: Shell, processes: list[Process]
) -> None:
    with processes[1].stopped():
        timers = [
            threading.Timer(0.5, server.send, [signal.SIGHUP]),
            threading.Timer(3.0, processes[1].send, [signal.SIGCONT]),
        ]
        for timer in timers:
            timer.start()
        result = sh(*KILL, "40", "--json")
        for timer in timers:
            timer.join()

    assert (result.code, result.json["confirmed"], result.json["applied"]) == (0, True, 3)


def test_the_log_goes_on_while_others_act(server: Server, sh: Shell) -> None:
    command = [
        sys.executable,
        "-m",
        "downhaul.cli",
        "log",
        "--follow",
        "--limit",
        "1",
        "--action",
        "flag.kill",
        "--json",
    ]
    environment = {**os.environ, "DOWNHAUL_URL": server.url, "DOWNHAUL_TOKEN": server.token}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        json.loads(following.stdout.readline())
        began = time.monotonic()
        sh("kill", "checkout/new-checkout", "--reason", "seen at once")
        assert json.loads(following.stdout.readline())["reason"] == "seen at once"
        assert time.monotonic() - began < 10
        following.terminate()


def test_a_kill_in_the_middle_of_a_restart_is_made_and_confirmed(
    server: Server, sh: Shell, processes: list[Process]
) -> None:
    server.stop()
    back = threading.Timer(1.0, server.start)
    back.start()

    result = sh(*KILL, "40", "--json")
    back.join()

    assert result.err.count("NO ANSWER YET") == 1
    assert (result.code, result.json["confirmed"], result.json["instances"]) == (0, True, 3)
    assert not any(process.enabled("new-checkout") for process in processes)
