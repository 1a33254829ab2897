"""Random faults of several Redis, their Sentinels and our nodes at once, while operators kill and instances obey.

What may be lost is what did not say `failover`. Nobody goes backwards, and in the end everybody has the newest, once an
operator has decided where something was lost. Short in a test run; `make faults` goes on with new seeds for as long as
it is told to, and DOWNHAUL_FAULTS_SEED repeats one.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from faults.checker import CONVERGED_S, never_backwards, no_storm
from faults.cluster import Cluster, seeded
from faults.history import read_life
from support.proxy import BOTH, DOWN, Hold, Reset, Silence
from support.redis import RealRedis
from support.server import command
from support.topology import Replicated
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

MINUTES = float(os.environ.get("DOWNHAUL_FAULTS_MINUTES", "0"))
SEED = os.environ.get("DOWNHAUL_FAULTS_SEED", "")
SHORT_S, LONG_S = 8.0, 60.0
PATIENCE_S = 90.0
FLAGS = ("c0", "c1", "c2")


@dataclass
class Answered:
    """A change that was answered with 200."""

    key: str
    survives: str


@dataclass
class Responder:
    """Somebody who kills and restores flags, each under one key until it is answered."""

    cluster: Cluster
    name: str
    chance: random.Random
    answered: list[Answered] = field(default_factory=list)

    def __enter__(self) -> Responder:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE_S)

    def _work(self) -> None:
        for number in range(100_000):
            verb, flag = self.chance.choice(("kill", "restore")), self.chance.choice(FLAGS)
            path, key = f"services/checkout/flags/{flag}/{verb}", f"{self.name}-{number}"
            while not self._over.wait(self.chance.uniform(0.02, 0.2)):
                node = self.chance.randrange(len(self.cluster.nodes))
                answer = self.cluster.call(node, "POST", path, {"reason": key}, timeout=8, **{"Idempotency-Key": key})
                if answer is not None and answer.ok:
                    if answer.json()["changed"]:
                        self.answered.append(Answered(key, answer.json()["durability"]["survives"]))
                    break
            if self._over.is_set():
                return


@dataclass
class Storm:
    """One or two things go wrong at a time; each is mended after a while, as an operator or a supervisor would."""

    cluster: Cluster
    redises: Replicated
    chance: random.Random
    decisions: int = 0
    """How often an operator had to decide, because something was lost."""

    def rage(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with ExitStack() as mended:
                for what, strike, mend in {id(one): one for one in self._pick()}.values():
                    print(f"  {time.monotonic():.3f} {what}")
                    strike()
                    mended.callback(mend)
                time.sleep(self.chance.uniform(0.3, 5.0))
            if self.chance.random() < 0.5:
                self.decisions += decide(self.cluster)

    def _pick(self) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
        makers = [self._redis] * 4 + [self._sentinel, self._worker, self._line]
        return [make() for make in self.chance.sample(makers, self.chance.choice((1, 1, 2)))]

    def _redis(self) -> tuple[str, Callable[[], object], Callable[[], object]]:
        primary = None
        with suppress(StopIteration):
            primary = self.redises.primary()
        member = primary if primary and self.chance.random() < 0.6 else self.chance.choice(self.redises.members)
        name = f"redis {self.redises.members.index(member)}{' (primary)' if member is primary else ''}"
        if self.chance.random() < 0.5:
            return f"{name} killed", member.kill, partial(self._back, member)
        return f"{name} paused", partial(_pause, member), partial(self._back, member)

    def _back(self, member: RealRedis) -> None:
        """It runs again, and follows whoever is the primary by now, as its own configuration file would tell it."""
        if member.is_running:
            member.resume()
            return
        with suppress(StopIteration):
            primary = self.redises.primary()
            if primary is not member:
                member.arguments = (*self.redises.common, "--replicaof", f"127.0.0.1 {primary.port}")
        member.start()
        member.arguments = self.redises.common

    def _sentinel(self) -> tuple[str, Callable[[], object], Callable[[], object]]:
        sentinel = self.chance.choice(self.redises.sentinels)
        return "a Sentinel paused", partial(sentinel.send, signal.SIGSTOP), partial(sentinel.send, signal.SIGCONT)

    def _worker(self) -> tuple[str, Callable[[], object], Callable[[], object]]:
        node = self.chance.randrange(len(self.cluster.nodes))
        pid = self.chance.choice(self.cluster.workers(node) or [0])
        how = self.chance.choice((signal.SIGKILL, signal.SIGSTOP))
        return (
            f"{how.name} for a worker of node {node}",
            partial(_signal, pid, how),
            partial(_signal, pid, signal.SIGCONT),
        )

    def _line(self) -> tuple[str, Callable[[], object], Callable[[], object]]:
        instance = self.chance.choice(self.cluster.instances)
        fault = self.chance.choice((Reset(), Silence(ways=BOTH), Silence(ways=DOWN), Hold(ways=BOTH)))
        return f"{fault} for {instance.name}", partial(instance.proxy.set, fault), instance.proxy.clear


def _pause(member: RealRedis) -> None:
    if member.is_running:
        member.pause()


def _signal(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        if pid:
            os.kill(pid, how)


def hold(folder: Path, seed: int, seconds: float) -> None:
    chance = seeded(seed)
    told = {"DOWNHAUL_REDIS_REPLICAS": "2", "DOWNHAUL_WORKERS": "2"}
    with Replicated(folder / "redises") as redises:
        told["DOWNHAUL_REDIS_URL"] = redises.url
        with Cluster(folder, instances={"checkout": 3}, redis_settings=told) as cluster:
            people = [Responder(cluster, f"responder-{n}", random.Random(f"{seed}/{n}")) for n in range(2)]
            with people[0], people[1]:
                (storm := Storm(cluster, redises, chance)).rage(seconds)
            redises.heal()
            decided = storm.decisions + settle(cluster)
            newest = the_last_kill(cluster)
            with redises.primary().client() as client:
                life = read_life(client)
            logged = {str(entry.operation.partition(":")[2]) for entry in life.entries}
            answered = [each for one in people for each in one.answered]
            lost = [each for each in answered if each.key not in logged]
            print(
                f"  {len(answered)} changes, {len(lost)} lost, {decided} decisions, {newest['applied']} obey in the end"
            )
            assert [each for each in lost if each.survives == "failover"] == []
            assert decided or not lost, "what is lost is not lost silently"
            wait_until(
                lambda: {last.values["c0"][0] for each in cluster.instances if (last := each.last())} == {False},
                "everybody obeys in the end",
                CONVERGED_S,
            )
            lives = [each.biography() for each in cluster.instances]
            faults = [fault for check in (never_backwards, no_storm) for each in lives for fault in check(each)]
            assert faults == [], f"seed {seed}: {faults}"


def the_last_kill(cluster: Cluster) -> dict[str, Any]:
    """It is taken within seconds, by a cluster that is well; refusals are shown."""
    answers: list[Any] = []

    def taken() -> bool:
        body, headers = {"reason": "the last one", "wait": 30}, {"Idempotency-Key": "the-last-one"}
        answers.append(cluster.call(0, "POST", "services/checkout/flags/c0/kill", body, timeout=40, **headers))
        if answers[-1] is not None and not answers[-1].ok:
            print(f"  {time.monotonic():.3f} {answers[-1].status_code} {answers[-1].text}")
        return answers[-1] is not None and answers[-1].ok

    wait_until(taken, "a last kill is taken", PATIENCE_S)
    found: dict[str, Any] = answers[-1].json()
    return found


def decide(cluster: Cluster) -> int:
    """An operator looks at each node, and decides for what it has served where something was lost; how often."""
    diverged = [node for node in cluster.nodes if "diverged" in node.text("/readyz")]
    words = ("recover", "--from", "checkpoint", "--reason", "a failover", "--yes")
    return sum(command(*words, environ=node.environ).returncode == 0 for node in diverged)


def settle(cluster: Cluster) -> int:
    """Until all nodes are well; how often an operator had to decide for that."""
    decisions = 0

    def well() -> bool:
        nonlocal decisions
        decisions += decide(cluster)
        return cluster.is_well()

    wait_until(well, "all nodes are well again", PATIENCE_S)
    return decisions


@pytest.mark.timeout(400)
def test_what_says_failover_is_kept_whatever_happens(tmp_path: Path) -> None:
    hold(tmp_path, int(SEED or 1), seconds=LONG_S if SEED else SHORT_S)


if MINUTES:

    def test_it_holds_for_long(tmp_path: Path) -> None:
        end, seed = time.monotonic() + MINUTES * 60, int(time.time())
        while time.monotonic() < end:
            (folder := tmp_path / str(seed)).mkdir()
            hold(folder, seed, seconds=LONG_S)
            seed += 1
