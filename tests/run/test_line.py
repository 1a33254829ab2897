"""The line, end to end: a server with a Redis of its own, a flag, a process with the SDK, a kill that lands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.server import Server
from support.waiting import wait_until

pytestmark = pytest.mark.redis

INSTANCE = """
import json, sys, time
from downhaul import flags
flags.wait_ready(10)
while True:
    why = flags.explain("new-cart", user="ada")
    print(json.dumps({"enabled": flags.enabled("new-cart", user="ada"), "reason": why.reason}), flush=True)
    time.sleep(0.05)
"""


class Instance:
    """A process with the SDK that says what it serves, again and again."""

    def __init__(self, server: Server, key: str, output: Path) -> None:
        self._output = output
        told = {
            "DOWNHAUL_URL": server.url,
            "DOWNHAUL_KEY": key,
            "DOWNHAUL_SERVICE": "line",
            "DOWNHAUL_POLL_INTERVAL": "0.2",
        }
        with open(output, "wb") as file:
            self._process = subprocess.Popen([sys.executable, "-c", INSTANCE], env={**os.environ, **told}, stdout=file)

    def says(self) -> dict[str, object]:
        lines = self._output.read_text("utf-8").splitlines()
        found: dict[str, object] = json.loads(lines[-1]) if lines else {}
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def key(lasting_server: Server) -> str:
    """Of a service `line` with a flag `new-cart` that is on in production."""
    lasting_server.made("services", {"key": "line"})
    lasting_server.made(
        "services/line/flags", {"key": "new-cart", "type": "boolean", "environments": {"production": {"on": True}}}
    )
    made = lasting_server.made(
        "keys", {"kind": "sdk", "name": "test", "environment": "production", "services": ["line"]}
    )
    return str(made["token"])


def test_a_process_sees_its_flag_and_obeys_a_kill_and_a_restore(
    lasting_server: Server, key: str, tmp_path: Path
) -> None:
    instance = Instance(lasting_server, key, tmp_path / "instance")
    try:
        wait_until(lambda: instance.says().get("enabled") is True, "the instance serves the flag")
        lasting_server.made("services/line/flags/new-cart/kill", {})
        wait_until(lambda: instance.says() == {"enabled": False, "reason": "KILLED"}, "the kill lands")
        lasting_server.made("services/line/flags/new-cart/restore", {"reason": "fine again"})
        wait_until(lambda: instance.says().get("enabled") is True, "the flag is back")
    finally:
        instance.end()


def test_a_write_is_readable_at_once_whichever_worker_answers(lasting_server: Server) -> None:
    lasting_server.made("services", {"key": "busy"})
    for number in range(25):
        lasting_server.made("services/busy/flags", {"key": f"flag-{number}", "type": "boolean"})
        answers = {
            lasting_server.call("GET", f"/api/v1/services/busy/flags/flag-{number}").status_code for _ in range(3)
        }
        assert answers == {200}
