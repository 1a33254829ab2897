"""A rolling restart, as a Deployment of Kubernetes makes it, with real nodes behind a real nginx: a new node is ready
before an old one is told to go, proxies hear of it first (that is what preStop is for), then comes SIGTERM. Meanwhile
flags are killed and restored, and every process obeys."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from faults.recording import Observation, read_observations
from support.nginx import FILES, Nginx
from support.redis import RealRedis
from support.server import ADMIN_TOKEN, Server
from support.waiting import wait_until

TESTS = Path(__file__).parents[1]
INSTANCES = 2
FLAG = "checkout/new-checkout"
PATIENCE_S = 60.0


class Deployment:
    """Some nodes on one Redis, and the edge in front of those that are in its list."""

    def __init__(self, folder: Path, redis: RealRedis, stack: ExitStack) -> None:
        self._folder = folder
        self._redis = redis
        self._stack = stack
        self._made = 0
        self.nodes = [self._ready_node(), self._ready_node()]
        self._edge = Nginx(folder / "nginx")
        upstream = {"    server 127.0.0.1:8080;\n": self._upstream()}
        port = self._edge.add("downhaul.conf", "443 ssl http2", upstream | _without_tls())
        self.url = f"http://127.0.0.1:{port}"
        stack.enter_context(self._edge)

    def roll(self) -> None:
        """Replace every node by a new one."""
        for old in list(self.nodes):
            self.nodes.append(self._ready_node())
            self.nodes.remove(old)
            self._tell_the_edge()
            assert old.stop() == 0, old.output

    def streams(self) -> int:
        """How many the nodes hold."""
        told = (requests.get(f"{node.url}/metrics", timeout=10).text for node in self.nodes)
        return sum(int(float(held)) for text in told for held in re.findall(r"^downhaul_streams (\S+)$", text, re.M))

    def _ready_node(self) -> Server:
        self._made += 1
        node = Server(
            self._folder / f"node-{self._made}",
            DOWNHAUL_REDIS_URL=self._redis.url,
            DOWNHAUL_WORKERS="1",
            DOWNHAUL_TRUSTED_PROXIES="127.0.0.1/32",
        )
        return self._stack.enter_context(node)

    def _upstream(self) -> str:
        return "".join(f"    server 127.0.0.1:{node.port};\n" for node in self.nodes)

    def _tell_the_edge(self) -> None:
        """It takes its list anew; what it had accepted before ends where it began."""
        path = self._edge.folder / "conf.d" / "downhaul.conf"
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("    server 127.0.0.1:")]
        at = kept.index("upstream downhaul {\n") + 1
        path.write_text("".join([*kept[:at], self._upstream(), *kept[at:]]))
        master = int((self._edge.folder / "nginx.pid").read_text())
        before = _workers(master)
        os.kill(master, signal.SIGHUP)
        wait_until(
            lambda: set(_workers(master)) - set(before) and all(_is_leaving(each) for each in before),
            "nginx's new workers have taken over",
            PATIENCE_S,
        )


def _without_tls() -> dict[str, str]:
    """What a file of the edge holds about TLS, which has tests of its own, and is not needed here."""
    lines = (FILES / "downhaul.conf").read_text().splitlines(keepends=True)
    return {line: "" for line in lines if line.lstrip().startswith("ssl_")}


def _workers(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def _is_leaving(worker: int) -> bool:
    try:
        return b"shutting down" in Path(f"/proc/{worker}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


class Fleet:
    """Processes with the SDK, which write down what they see."""

    def __init__(self, folder: Path, url: str, key: str, stack: ExitStack) -> None:
        folder.mkdir()
        self._records = [folder / f"instance-{number}.jsonl" for number in range(INSTANCES)]
        for record in self._records:
            record.touch()
            environ = {
                **{name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")},
                "DOWNHAUL_URL": url,
                "DOWNHAUL_KEY": key,
                "DOWNHAUL_SERVICE": "checkout",
                "DOWNHAUL_INSTANCE": record.stem,
                "PYTHONPATH": str(TESTS),
            }
            with open(record.with_suffix(".log"), "ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "faults.instance", record, json.dumps([FLAG.partition("/")[2]])],
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                )
            stack.callback(self._end, process)

    def seen(self) -> list[Sequence[Observation]]:
        """Of each instance, in order."""
        return [read_observations(record) for record in self._records]

    def streams(self) -> bool:
        """Whether all of them hold a stream now."""
        return all(seen and seen[-1].link == "stream" for seen in self.seen())

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


class Operator(threading.Thread):
    """Kills and restores one flag through the edge, again and again, each time until everybody has obeyed."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{url}/api/v1/services/checkout/flags/new-checkout"
        self._over = threading.Event()
        self.answers: list[tuple[str, int, dict[str, Any]]] = []

    def run(self) -> None:
        while not self._over.is_set():
            self._ask("kill")
            self._ask("restore")

    def stop(self) -> None:
        self._over.set()
        self.join(PATIENCE_S)
        assert not self.is_alive()

    def _ask(self, what: str) -> None:
        answer = requests.post(
            f"{self._url}/{what}",
            json={"reason": "a rolling restart", "wait": 30},
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            timeout=PATIENCE_S,
        )
        self.answers.append((what, answer.status_code, answer.json() if answer.ok else {"said": answer.text}))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _revisions(seen: Sequence[Observation]) -> list[int]:
    return [each.position[1] for each in seen if each.position is not None]


def breaks(seen: Sequence[Observation]) -> int:
    """How often an instance had a stream no more."""
    return sum(before.link == "stream" != after.link for before, after in pairwise(seen))


@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rolling_restart_loses_no_kill_and_no_stream(tmp_path: Path, stack: ExitStack) -> None:
    redis = RealRedis(tmp_path / "redis").start()
    stack.callback(redis.kill)
    deployment = Deployment(tmp_path, redis, stack)
    first = list(deployment.nodes)
    first[0].made("services", {"key": "checkout"})
    state = {"on": True, "otherwise": {"variant": "on"}}
    first[0].made(
        "services/checkout/flags", {"key": "new-checkout", "type": "boolean", "environments": {"production": state}}
    )
    key = first[0].made(
        "keys", {"kind": "sdk", "name": "checkout", "environment": "production", "services": ["checkout"]}
    )
    fleet = Fleet(tmp_path / "fleet", deployment.url, key["token"], stack)
    wait_until(fleet.streams, "every instance holds a stream", PATIENCE_S)
    operator = Operator(deployment.url)
    operator.start()
    wait_until(lambda: deployment.streams() == INSTANCES, "the nodes that will go hold all streams", PATIENCE_S)
    wait_until(lambda: len(operator.answers) >= 4, "flags are killed and restored", PATIENCE_S)

    deployment.roll()

    wait_until(lambda: fleet.streams() and deployment.streams() == INSTANCES, "the new ones hold all", PATIENCE_S)
    operator.stop()
    assert all(node.ended() for node in first)
    refused = [answer for answer in operator.answers if answer[1] != 200]
    assert refused == [], "no kill and no restore is refused by whoever goes"
    # A node that goes answers who waits with what is known; asked again, the kill that stands is confirmed.
    unsure = [answer for _, _, answer in operator.answers if not answer["confirmed"]]
    assert len(unsure) <= len(first)
    assert all(answer["instances"] == INSTANCES for _, _, answer in operator.answers if answer["confirmed"])
    newest = max(answer["revision"] for _, _, answer in operator.answers)
    wait_until(lambda: all(_revisions(seen)[-1] == newest for seen in fleet.seen()), "everybody has the last change")
    for seen in fleet.seen():
        assert _revisions(seen) == sorted(_revisions(seen))
        assert {each.error for each in seen} == {None}, "each stream ended as streams do, and was taken up elsewhere"
        assert breaks(seen) <= len(first), "and no oftener than nodes went"
