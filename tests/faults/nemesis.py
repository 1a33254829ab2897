"""What goes wrong: random faults, a few seconds each, of lines, processes, Redis, clocks; in the end all is healed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from faults.cluster import Cluster, Instance
from support.proxy import BOTH, DOWN, UP, Corrupt, Cut, Delay, Drip, Fault, Hold, Reset, Silence
from support.server import command
from support.waiting import wait_until

RECOVERED_S = 30.0
STEPS_S = (-86_400.0, -3_600.0, -7.0, 7.0, 3_600.0, 86_400.0 * 400)
HTTP_FAULTS: tuple[Fault, ...] = (
    Reset(),
    Silence(ways=BOTH),
    Silence(ways=UP),
    Silence(ways=DOWN),
    Hold(ways=BOTH),
    Hold(ways=DOWN),
    Delay(seconds=0.3),
    Drip(),
    Cut(ways=BOTH, most_bytes=2000),
    Cut(ways=DOWN, most_bytes=300),
    Corrupt(ways=DOWN),
    Corrupt(ways=UP, one_in=100),
)
REDIS_FAULTS: tuple[Fault, ...] = (
    Reset(),
    Silence(ways=BOTH),
    Silence(ways=DOWN),
    Hold(ways=BOTH),
    Hold(ways=DOWN),
    Delay(seconds=0.1),
    Drip(pause_s=0.0005),
    Cut(ways=BOTH, most_bytes=3000),
)
"""Nothing is corrupted here: nothing but TCP, or TLS, protects what is said to Redis, as with every client of Redis."""


@dataclass(frozen=True)
class Blow:
    """A fault, before it is one. Two at a time are never in the same place."""

    place: str
    what: str
    strike: Callable[[], None]
    heal: Callable[[], None]


@dataclass(frozen=True)
class Incident:
    """Something that went wrong."""

    what: str
    began: float
    ended: float


@dataclass
class Nemesis:
    """Injects one or two faults at a time."""

    cluster: Cluster
    chance: random.Random
    longest_s: float = 2.5
    incidents: list[Incident] = field(default_factory=list)

    def rage(self, seconds: float) -> None:
        """For so long (and a little longer)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._strike()

    def lose_redis(self) -> None:
        """Redis loses everything; nobody adopts that; an operator recovers what a node remembers."""
        cluster, began = self.cluster, time.monotonic()
        print(f"  {began:.3f} Redis loses everything")
        cluster.redis.kill()
        cluster.redis.start()  # whatever was acknowledged is there again, and is written down
        cluster.read_history()
        cluster.redis.kill()
        cluster.redis.forget_everything()
        cluster.redis.start()
        for node in cluster.nodes:
            wait_until(
                lambda node=node: node.get("/readyz") == 503, "a node has noticed that it is another Redis", RECOVERED_S
            )
        with cluster.redis.client() as client:
            assert not client.exists("{downhaul}:meta"), "somebody has adopted an empty Redis"
        refused = cluster.call(0, "POST", "services", {"key": "refused"})
        assert refused is not None and refused.status_code == 503, refused
        node = self.chance.choice(cluster.nodes)
        wait_until(lambda: _recover(node.environ), "the operator has recovered it", RECOVERED_S)
        wait_until(cluster.is_well, "the nodes have taken it over", RECOVERED_S)
        self.incidents.append(Incident("Redis lost everything", began, time.monotonic()))

    def _strike(self) -> None:
        """One fault, or two in different places, for a while."""
        struck = {blow.place: blow for blow in (self._blow() for _ in range(self.chance.choice((1, 1, 2))))}
        for blow in struck.values():
            print(f"  {time.monotonic():.3f} {blow.what}")
            blow.strike()
        began = time.monotonic()
        time.sleep(self.chance.uniform(0.2, self.longest_s))
        for blow in struck.values():
            blow.heal()
            self.incidents.append(Incident(blow.what, began, time.monotonic()))
        time.sleep(self.chance.uniform(0, 0.5))

    def _blow(self) -> Blow:
        lines = (self._instance_line,) * 6 + (self._redis_line,) * 3
        processes = (self._instance_paused, self._worker, self._worker, self._master, self._redis, self._redis)
        return self.chance.choice((*lines, *processes, self._clock))()

    def _instance_line(self) -> Blow:
        instance, fault = self.chance.choice(self.cluster.instances), self.chance.choice(HTTP_FAULTS)
        began: list[float] = []

        def strike() -> None:
            began.append(time.monotonic())
            instance.proxy.set(fault)

        def heal() -> None:
            if isinstance(fault, Reset | Silence | Hold) and fault.ways != UP:
                instance.severed.append((began[0], time.monotonic()))
            instance.proxy.clear()

        return Blow(instance.name, f"{fault} between {instance.name} and the service", strike, heal)

    def _redis_line(self) -> Blow:
        number, fault = self.chance.randrange(len(self.cluster.lines)), self.chance.choice(REDIS_FAULTS)
        line = self.cluster.lines[number]
        return Blow(f"line {number}", f"{fault} between node {number} and Redis", lambda: line.set(fault), line.clear)

    def _redis(self) -> Blow:
        redis = self.cluster.redis
        if self.chance.random() < 0.5:
            return Blow("Redis", "Redis killed", redis.kill, lambda: (redis.start(), None)[1])
        return Blow("Redis", "Redis paused", redis.pause, redis.resume)

    def _instance_paused(self) -> Blow:
        instance: Instance = self.chance.choice(self.cluster.instances)
        what, heal = f"{instance.name} paused", partial(instance.send, signal.SIGCONT)
        return Blow(instance.name, what, partial(instance.send, signal.SIGSTOP), heal)

    def _worker(self) -> Blow:
        node = self.chance.randrange(len(self.cluster.nodes))
        found = self.cluster.workers(node)
        return self._process(f"a worker of node {node}", self.chance.choice(found) if found else None)

    def _master(self) -> Blow:
        node = self.chance.randrange(len(self.cluster.nodes))
        return self._process(f"the master of node {node}", self.cluster.master(node))

    def _process(self, name: str, pid: int | None) -> Blow:
        how = self.chance.choice((signal.SIGKILL, signal.SIGSTOP))
        return Blow(name, f"{how.name} for {name}", partial(_signal, pid, how), partial(_signal, pid, signal.SIGCONT))

    def _clock(self) -> Blow:
        step = self.chance.choice(STEPS_S)
        return Blow("clock", f"wall clocks are {step:+.0f} s off", partial(self.cluster.clock.step, step), _nothing)


def _signal(pid: int | None, how: signal.Signals) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, how)


def _nothing() -> None:
    """A clock that was stepped stays so."""


def _recover(environ: dict[str, str]) -> bool:
    ended = command("recover", "--from", "checkpoint", "--reason", "the disk is lost", "--yes", environ=environ)
    return ended.returncode == 0
