"""A small company: one Redis, two nodes, some instances, every line between them through a proxy of its own."""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from faults.history import History, read_life
from faults.recording import Biography, Observation, Position, read_observations
from support.proxy import Proxy
from support.redis import RealRedis
from support.server import ADMIN_TOKEN, Server
from support.waiting import wait_until
from support.webserver import master_of, workers_of

ENVIRONMENT = "production"
SERVICES = ("checkout", "payments")
FLAGS: Mapping[str, tuple[str, ...]] = {
    "checkout": ("c0", "c1", "c2", "c3", "payments/p0"),
    "payments": ("p0", "p1"),
}
"""What the instances of each service ask for; operators make, change and delete them."""
POLL_INTERVAL_S = 0.3
TIMEOUT_S = 2.0
STARTED_S = 30.0
HERE = Path(__file__).parent


class WallClock:
    """By how much the wall clocks of the servers and instances are wrong, in seconds; steps at any time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "clock"
        self._path.write_bytes(struct.pack("d", 0.0))
        with open(self._path, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)

    @property
    def environ(self) -> dict[str, str]:
        """For a Python process that shall have this clock; `faults` can be imported there too."""
        places = [str(HERE / "clock"), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": os.pathsep.join(places), "FAULTS_CLOCK": str(self._path)}

    def step(self, offset_s: float) -> None:
        """From now on."""
        struct.pack_into("d", self._shared, 0, offset_s)


@dataclass
class Instance:
    """A process that runs the SDK, on a line of its own, which leads to any of the nodes."""

    name: str
    service: str
    folder: Path
    proxy: Proxy
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    known_at: float = 0.0
    severed: list[tuple[float, float]] = field(default_factory=list)

    @property
    def record(self) -> Path:
        return self.folder / f"{self.name}.jsonl"

    @property
    def output(self) -> str:
        """What its log says."""
        return (self.folder / f"{self.name}.log").read_text("utf-8", "replace")

    def start(self) -> Instance:
        self.record.touch()
        with open(self.folder / f"{self.name}.log", "ab") as log:
            command = [sys.executable, "-m", "faults.instance", str(self.record), json.dumps(FLAGS[self.service])]
            self.process = subprocess.Popen(
                command, env=self.environ, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def send(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)

    def stop(self) -> None:
        """Idempotent."""
        if self.process is not None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
                self.process.wait(5)
            self.process = None

    def last(self) -> Observation | None:
        """What it saw last."""
        seen = read_observations(self.record)
        return seen[-1] if seen else None

    def biography(self) -> Biography:
        return Biography(
            name=self.name,
            service=self.service,
            environment=ENVIRONMENT,
            seen=read_observations(self.record),
            known_at=self.known_at,
            requests=tuple(sorted([at for at, _ in self.proxy.requests] + self.proxy.connections)),
            severed=tuple(self.severed),
        )


class Cluster:
    """Use it with `with`: everything is there and knows of each other at its beginning, nothing is left at its end."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        nodes: int = 2,
        instances: Mapping[str, int] | None = None,
        redis_settings: Mapping[str, str] | None = None,
        **settings: str,
    ) -> None:
        """`instances`: how many of each service. `settings`: environment variables of the instances.

        `redis_settings`: environment variables of the nodes that name a Redis which somebody else runs; then there is
        none of its own, and no line to it.
        """
        self.folder = folder
        self.clock = WallClock(folder)
        self.redis = RealRedis(folder / "redis")
        self._runs_redis = redis_settings is None
        self.lines = [Proxy(self.redis.port, seed=seed + number) for number in range(nodes if self._runs_redis else 0)]
        """From each node to Redis."""
        told = [redis_settings or {"DOWNHAUL_REDIS_URL": self.lines[number].redis_url} for number in range(nodes)]
        self.nodes = [
            Server(folder / f"node-{number}", **{**self.clock.environ, **each}) for number, each in enumerate(told)
        ]
        self.history = History()
        self.instances: list[Instance] = []
        self._wanted = {"checkout": 2, "payments": 1} if instances is None else instances
        self._settings = settings
        self._seed = seed
        self.key = ""

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for instance in self.instances:
            instance.stop()
            instance.proxy.close()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(_end, self.nodes))
        for line in self.lines:
            line.close()
        self.redis.kill()

    def call(self, node: int, method: str, path: str, body: Any = None, timeout: float = 10, **headers: str) -> Any:
        """As the administrator; the answer, or None where none came. `path` is under /api/v1/."""
        try:
            return requests.request(
                method,
                f"{self.nodes[node].url}/api/v1/{path}",
                json=body,
                headers={"Authorization": f"Bearer {ADMIN_TOKEN}", **headers},
                timeout=timeout,
            )
        except requests.RequestException:
            return None

    def made(self, method: str, path: str, body: Any = None, *, node: int = 0) -> dict[str, Any]:
        """The document that is answered; it must be."""
        answer = self.call(node, method, path, body, timeout=70)
        assert answer is not None and answer.ok, answer and answer.text
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def kill(self, flag: str = "checkout/c0", *, node: int = 0, wait: float = 10) -> dict[str, Any]:
        """Kill a flag, and wait."""
        service, _, key = flag.partition("/")
        return self.made("POST", f"services/{service}/flags/{key}/kill", {"reason": "a test", "wait": wait}, node=node)

    def restore(self, flag: str = "checkout/c0", *, node: int = 0) -> dict[str, Any]:
        """Lift it."""
        service, _, key = flag.partition("/")
        return self.made("POST", f"services/{service}/flags/{key}/restore", {"reason": "a test"}, node=node)

    def instance(self, name: str) -> Instance:
        """By its name."""
        return next(each for each in self.instances if each.name == name)

    def add(
        self, name: str, service: str = "checkout", *, nodes: Mapping[int, Server] | None = None, **settings: str
    ) -> Instance:
        """One more; it is not started. `settings`: environment variables. Its line leads to all nodes, or to these."""
        targets = [node.port for node in (nodes.values() if nodes else self.nodes)]
        proxy = Proxy(*targets, seed=self._seed + 100 + len(self.instances))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
        environ |= self.clock.environ | {
            "DOWNHAUL_URL": proxy.url,
            "DOWNHAUL_KEY": self.key,
            "DOWNHAUL_SERVICE": service,
            "DOWNHAUL_INSTANCE": name,
            "DOWNHAUL_POLL_INTERVAL": str(POLL_INTERVAL_S),
            "DOWNHAUL_TIMEOUT": str(TIMEOUT_S),
            **self._settings,
            **settings,
        }
        self.instances.append(Instance(name, service, self.folder, proxy, environ))
        return self.instances[-1]

    def wait_until_known(self) -> None:
        """Until the fleet knows of every instance that runs, at every worker of every node."""
        for instance in self.instances:
            if instance.process is not None and not instance.known_at:
                wait_until(lambda each=instance: self._knows(each), f"the fleet knows of {instance.name}", STARTED_S)
                instance.known_at = time.monotonic()

    def workers(self, node: int) -> list[int]:
        return sorted(workers_of(self.nodes[node]))

    def master(self, node: int) -> int | None:
        """None while there is none."""
        with suppress(ValueError):
            return master_of(self.nodes[node])
        return None

    def is_well(self) -> bool:
        """Whether every node takes writes and is ready."""
        return all(node.get("/readyz") == 200 for node in self.nodes)

    def read_history(self) -> History:
        """The log as Redis has it now, and the lives before."""
        with self.redis.client() as client:
            self.history.add(read_life(client))
        return self.history

    def positions(self) -> dict[str, Position | None]:
        """What each instance has now."""
        return {each.name: last.position if (last := each.last()) else None for each in self.instances}

    def _start(self) -> None:
        if self._runs_redis:
            self.redis.start()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.ready()
        for service in SERVICES:
            self.made("POST", "services", {"key": service})
        for service, names in FLAGS.items():
            for name in names:
                if "/" not in name:
                    self.made(
                        "POST",
                        f"services/{service}/flags",
                        {"key": name, "type": "boolean", "environments": {ENVIRONMENT: {"on": True}}},
                    )
        key = {"kind": "sdk", "name": "instances", "environment": ENVIRONMENT, "services": list(SERVICES)}
        self.key = str(self.made("POST", "keys", key)["token"])
        for service, number in self._wanted.items():
            for index in range(number):
                self.add(f"{service}-{index + 1}", service).start()
        for instance in self.instances:
            wait_until(lambda each=instance: _is_ready(each), f"{instance.name} is ready", STARTED_S)
        self.wait_until_known()

    def _knows(self, instance: Instance) -> bool:
        answer = self.call(0, "GET", f"services/{instance.service}/fleet?environment={ENVIRONMENT}")
        if answer is None or not answer.ok:
            return False
        return any(each["instance"] == instance.name and each["state"] == "live" for each in answer.json()["items"])


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def seeded(seed: int) -> random.Random:
    """Say which, for whoever wants to see it again."""
    print(f"seed {seed}")
    return random.Random(seed)


def _is_ready(instance: Instance) -> bool:
    assert instance.process is not None and instance.process.poll() is None, instance.output
    last = instance.last()
    return last is not None and last.state == "ready"


def _end(node: Server) -> None:
    # At once: how it ends in order is tested elsewhere.
    for pid in (node.pid, *node.processes()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.stop()
