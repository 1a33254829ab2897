"""A real service, and real programs that use its flags: who is in the fleet, and who obeys."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import requests
from downhaul_server.store.keys import fleet_key
from support.server import Server
from support.waiting import PATIENCE_S, wait_until

PROGRAMS = Path(__file__).parents[1] / "processes" / "programs"
FLAG = "box"
PROMPT_S = 10.0
"""In which a program that was told to end has to have ended; usually it takes a fraction of a second."""


@dataclass(frozen=True)
class Household:
    """One service of the house, with one flag, which is on."""

    server: Server
    service: str
    key: str

    @property
    def environ(self) -> dict[str, str]:
        """What a program of this service is told: three variables, and nothing more."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
        return {
            **ours,
            "DOWNHAUL_URL": self.server.url,
            "DOWNHAUL_KEY": self.key,
            "DOWNHAUL_SERVICE": self.service,
            "PYTHONPATH": str(PROGRAMS),
        }

    def live(self) -> set[int]:
        """The processes that are live in the fleet, by their ids; those that every worker of the server knows.

        One worker hears of a process first. What is in Redis was told to all before any later question of theirs.
        """
        answer = self.server.call("GET", f"/api/v1/services/{self.service}/fleet?state=live&limit=500")
        with redis.Redis.from_url(self.server.redis_url) as client:
            told = {process.decode() for process in client.hkeys(fleet_key(f"{self.service}@production"))}
        return {item["pid"] for item in answer.json()["items"] if item["process"] in told}

    def kill(self) -> dict[str, Any]:
        """And wait until everybody has obeyed."""
        return self.server.made(f"services/{self.service}/flags/{FLAG}/kill", {"wait": 15})

    def nobody_is_left(self) -> None:
        """Who has ended is not live any more: at once after a goodbye, else an interval after its stream was closed."""
        wait_until(lambda: not self.live(), "the fleet is empty", 2 * PATIENCE_S)


def move_in(server: Server, service: str) -> Household:
    """A new service in the house."""
    server.made("services", {"key": service, "name": service})
    server.made(
        f"services/{service}/flags",
        {"key": FLAG, "type": "boolean", "environments": {"production": {"on": True}}},
    )
    key = server.made("keys", {"kind": "sdk", "name": service, "environment": "production", "services": [service]})
    return Household(server, service, key["token"])


@contextmanager
def running(
    command: list[str], environ: Mapping[str, str], output: Path, folder: Path = PROGRAMS, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A program, in a process group of its own; whatever is left of it at the end is killed."""
    with open(output, "wb") as log:
        told: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options}
        process = subprocess.Popen(command, env=environ, cwd=folder, text=True, start_new_session=True, **told)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ends_promptly(process: subprocess.Popen[str], output: Path) -> int:
    """Told to end, it does; gives its exit status."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(PROMPT_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it did not end within {PROMPT_S:.0f} s:\n{output.read_text('utf-8')}") from None


def answers(port: int, number: int = 40) -> dict[int, str]:
    """What each worker process of a web server says, by its id."""

    def ask(_: int) -> tuple[int, str]:
        pid, state = requests.get(f"http://127.0.0.1:{port}/", timeout=10).text.split()
        return int(pid), state

    with ThreadPoolExecutor(6) as askers:  # side by side, or one worker would answer them all
        return dict(askers.map(ask, range(number)))


def listens(port: int) -> bool:
    """Whether anybody answers there."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=2).ok
    except requests.RequestException:
        return False
