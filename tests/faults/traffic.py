"""Operators at work: random changes of all kinds, each repeated under one idempotency key until its fate is known."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from faults.cluster import ENVIRONMENT, FLAGS, Cluster
from faults.recording import Operation

PAUSE_S = 0.25
ATTEMPTS = 12
ATTEMPT_S = 6.0
"""Longer than any answer that does not wait for instances."""
SEGMENTS = ("pros", "friends")
FATE_UNKNOWN = (None, 500, 502, 503, 504)
Request = tuple[str, str, Any]
"""Method, path under /api/v1/, body."""


class Operator:
    """One thread that works through a random sequence, at whichever node it finds."""

    def __init__(self, cluster: Cluster, seed: int, number: int, *, kill_wait_s: float = 3.0) -> None:
        self.done: list[Operation] = []
        self._cluster = cluster
        self._random = random.Random(f"{seed}/{number}")
        self._name = f"operator-{number}"
        self._kill_wait_s = kill_wait_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)

    def start(self) -> Operator:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Lets it finish what it has begun."""
        self._over.set()
        self._thread.join(ATTEMPTS * (ATTEMPT_S + 1))
        assert not self._thread.is_alive()

    def _work(self) -> None:
        while not self._over.wait(self._random.uniform(0, PAUSE_S)):
            self.done.append(self._do(request(self._random, self._kill_wait_s)))

    def _do(self, wanted: Request) -> Operation:
        method, path, body = wanted
        key = f"{self._name}-{len(self.done)}"
        began, answer = time.monotonic(), None
        for attempt in range(ATTEMPTS):
            node = self._random.randrange(len(self._cluster.nodes))
            timeout = ATTEMPT_S + (body or {}).get("wait", 0) if isinstance(body, dict) else ATTEMPT_S
            answer = self._cluster.call(node, method, path, body, timeout=timeout, **{"Idempotency-Key": key})
            if (answer.status_code if answer is not None else None) not in FATE_UNKNOWN:
                break
            self._over.wait(min(0.1 * 2**attempt, 1.0))
        ended = time.monotonic()
        if answer is None:
            return Operation(key, method, _bare(path), body, began, ended)
        document = answer.json() if answer.content else {}
        return Operation(key, method, _bare(path), body, began, ended, answer.status_code, document)


def request(chance: random.Random, kill_wait_s: float) -> Request:
    """Any change that an operator could ask for; many are refused, because what they name is not there."""
    makers: dict[Callable[[random.Random], Request], int] = {
        _create: 3,
        _replace: 3,
        _rollout: 4,
        _switch: 4,
        _rules: 3,
        _delete: 1,
        _segment: 2,
        _delete_segment: 1,
        _restore: 3,
        _restore_all: 1,
        lambda chance: _kill(chance, kill_wait_s): 3,
        lambda chance: _kill_many(chance, kill_wait_s): 1,
    }
    ((make),) = chance.choices(list(makers), list(makers.values()))
    return make(chance)


def _flag(chance: random.Random) -> tuple[str, str]:
    names = [(service, name) for service, flags in FLAGS.items() for name in flags if "/" not in name]
    return chance.choice(names)


def _definition(chance: random.Random, service: str) -> dict[str, Any]:
    document: dict[str, Any] = {"description": f"made {chance.randrange(10**6)}", "tags": chance.sample(["a", "b"], 1)}
    if chance.random() < 0.7:
        document |= {"type": "boolean"}
    else:
        variants = {"none": "", "red": f"red {chance.randrange(100)}", "blue": "blue"}
        document |= {"type": "string", "variants": variants, "off_variant": "none"}
    if service == "checkout" and chance.random() < 0.3 and document["type"] == "boolean":
        document["requires"] = [{"flag": "payments/p0", "variants": ["on"]}]
    document["environments"] = {ENVIRONMENT: {"on": chance.random() < 0.8}}
    return document


def _create(chance: random.Random) -> Request:
    service, name = _flag(chance)
    return "POST", f"services/{service}/flags", {"key": name, **_definition(chance, service)}


def _replace(chance: random.Random) -> Request:
    service, name = _flag(chance)
    return "PUT", f"services/{service}/flags/{name}", _definition(chance, service)


def _delete(chance: random.Random) -> Request:
    service, name = _flag(chance)
    return "DELETE", f"services/{service}/flags/{name}?wait=0", None


def _state(chance: random.Random, body: dict[str, Any]) -> Request:
    service, name = _flag(chance)
    return "PATCH", f"services/{service}/flags/{name}/environments/{ENVIRONMENT}", body


def _rollout(chance: random.Random) -> Request:
    return _state(chance, {"rollout": chance.choice([0, 5, 20, 50, 80, 100]), "by": "user"})


def _switch(chance: random.Random) -> Request:
    return _state(chance, {"on": chance.random() < 0.7})


def _rules(chance: random.Random) -> Request:
    plan = {"attribute": "plan", "op": "in", "values": [chance.choice(["pro", "free"])]}
    when = chance.choice([plan, {"not": plan}, {"segment": chance.choice(SEGMENTS)}])
    return _state(
        chance, {"rules": [{"name": "some", "when": when, "serve": {"variant": chance.choice(["on", "red"])}}]}
    )


def _kill(chance: random.Random, wait_s: float) -> Request:
    service, name = _flag(chance)
    body = {"environment": ENVIRONMENT, "reason": "random"} | _wait(chance, wait_s)
    return "POST", f"services/{service}/flags/{name}/kill", body


def _restore(chance: random.Random) -> Request:
    service, name = _flag(chance)
    return "POST", f"services/{service}/flags/{name}/restore", {"environment": ENVIRONMENT, "reason": "random"}


def _kill_many(chance: random.Random, wait_s: float) -> Request:
    which = chance.choice([{"tags": ["a"]}, {"services": ["checkout"]}, {"flags": ["payments/p0", "checkout/c1"]}])
    return "POST", "kill", {"environment": ENVIRONMENT, **which} | _wait(chance, wait_s)


def _restore_all(chance: random.Random) -> Request:
    return "POST", "restore", {"environment": ENVIRONMENT, "services": list(FLAGS), "reason": "random"}


def _wait(chance: random.Random, wait_s: float) -> dict[str, Any]:
    return {"wait": wait_s} if chance.random() < 0.8 else {}


def _segment(chance: random.Random) -> Request:
    users = chance.sample(["u1", "u2", "u3"], chance.randrange(1, 3))
    return "PUT", f"segments/{chance.choice(SEGMENTS)}", {"when": {"attribute": "user", "op": "in", "values": users}}


def _delete_segment(chance: random.Random) -> Request:
    return "DELETE", f"segments/{chance.choice(SEGMENTS)}?wait=0", None


def _bare(path: str) -> str:
    return path.partition("?")[0]
