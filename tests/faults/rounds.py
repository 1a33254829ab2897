"""One round: a cluster, operators, a nemesis; then peace, and the recording of it all."""

from __future__ import annotations

import time
from pathlib import Path

from faults.checker import CONVERGED_S, Recording
from faults.cluster import Cluster, seeded
from faults.history import newest
from faults.nemesis import Nemesis
from faults.recording import Biography, Convergence
from faults.traffic import Operator
from support.waiting import wait_until

OPERATORS = 2


def play(folder: Path, seed: int, *, seconds: float, longest_fault_s: float = 2.5, disaster: bool = False) -> Recording:
    """`disaster`: once, Redis loses everything."""
    chance = seeded(seed)
    with Cluster(folder, seed=seed) as cluster:
        nemesis = Nemesis(cluster, chance, longest_fault_s)
        operators = [Operator(cluster, seed, number).start() for number in range(OPERATORS)]
        try:
            if disaster:
                nemesis.rage(seconds / 2)
                nemesis.lose_redis()
            nemesis.rage(seconds / 2 if disaster else seconds)
            healed_at = time.monotonic()
        finally:
            for operator in operators:
                operator.stop()
        wait_until(cluster.is_well, "the nodes are well again", CONVERGED_S)
        cluster.redis.kill()
        cluster.redis.start()
        cluster.read_history()
        convergence = _converge(cluster, healed_at)
        return Recording(
            history=cluster.history,
            operations=[operation for operator in operators for operation in operator.done],
            instances=[instance.biography() for instance in cluster.instances],
            convergence=convergence,
        )


def _converge(cluster: Cluster, healed_at: float) -> Convergence:
    def biographies() -> list[Biography]:
        return [instance.biography() for instance in cluster.instances]

    wanted = {each.group: newest(cluster.history.truths(each.group)) for each in biographies()}
    took: dict[str, float | None] = {instance.name: None for instance in cluster.instances}
    while None in took.values() and time.monotonic() < healed_at + CONVERGED_S:
        for each in biographies():
            last = each.seen[-1]
            if took[each.name] is None and last.position == wanted[each.group] and last.state == "ready":
                took[each.name] = max(0.0, last.at - healed_at)
        time.sleep(0.05)
    return Convergence(healed_at, took)
