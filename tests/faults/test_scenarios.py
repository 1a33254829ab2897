"""Single faults, each as a story: what the people of an incident would see."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.checker import DEAD_S
from faults.cluster import Cluster, Instance, paused
from support.proxy import DOWN, Hold, Reset, Silence
from support.server import command
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

PROMPTLY_S = 2.5
"""A second is promised; the rest is for a busy machine."""
CLEARLY_S = 5.0
OFF, ON = [False] * 4, [True] * 4


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all stories: each ends well."""
    with Cluster(
        tmp_path_factory.mktemp("company"), DOWNHAUL_CACHE_DIR=str(tmp_path_factory.mktemp("cache"))
    ) as cluster:
        yield cluster


@pytest.fixture
def cluster(company: Cluster) -> Iterator[Cluster]:
    """Everybody is ready, `checkout/c0` is on everywhere; and so it is left."""
    wait_until(lambda: all(each.last().state == "ready" for each in company.instances), "everybody is ready", 40)
    company.restore()
    wait_until(lambda: all(_sees(each, ON) for each in _checkouts(company)), "the flag is on")
    yield company
    for each in (*company.lines, *(instance.proxy for instance in company.instances)):
        each.clear()


def test_a_kill_through_one_node_reaches_the_streams_of_the_other(cluster: Cluster) -> None:
    for node, (instance, server) in enumerate(zip(_checkouts(cluster), cluster.nodes, strict=True)):
        _only_through(instance, server.port)
        assert node == cluster.nodes.index(server)
    for node in range(2):
        found = cluster.kill(node=node)
        assert (found["instances"], found["applied"], found["confirmed"]) == (2, 2, True)
        assert found["latency_ms"]["max"] < CLEARLY_S * 1000
        cluster.restore()
    for instance in _checkouts(cluster):
        _only_through(instance, *(server.port for server in cluster.nodes))


def test_a_process_that_is_stopped_is_the_only_straggler_and_named(cluster: Cluster) -> None:
    stopped = cluster.instance("checkout-2")
    assert stopped.process is not None
    with paused(stopped.process.pid):
        for node in range(2):
            found = cluster.kill(node=node, wait=1)
            assert (found["instances"], found["applied"], found["confirmed"]) == (2, 1, False)
            assert [each["instance"] for each in found["stragglers"]] == ["checkout-2"]
    found = cluster.kill()
    assert (found["changed"], found["applied"], found["confirmed"]) == (False, 2, True)
    wait_until(lambda: _sees(stopped, OFF), "it has obeyed")


def test_whatever_is_silent_is_found_out_in_time(cluster: Cluster) -> None:
    half_open, hung, cut_off = (
        cluster.instance("checkout-1"),
        cluster.instance("checkout-2"),
        cluster.instance("payments-1"),
    )
    _only_through(hung, cluster.nodes[1].port)
    wait_until(lambda: _streams(half_open) and _streams(cut_off), "they stream", 40)
    hung.proxy.targets = tuple(node.port for node in cluster.nodes)
    with ExitStack() as stack:
        for worker in cluster.workers(1):
            stack.enter_context(paused(worker))
        half_open.proxy.set(Silence(ways=DOWN))
        half_open.proxy.clear()  # its new connections are sound; its stream is lost, and the socket does not say so
        cut_off.proxy.set(Hold(ways=DOWN))
        began = time.monotonic()
        found = cluster.kill(wait=0.5)
        assert (found["instances"], found["applied"], found["confirmed"]) == (2, 0, False)
        assert {each["instance"] for each in found["stragglers"]} == {"checkout-1", "checkout-2"}
        for each in (half_open, hung):
            wait_until(lambda each=each: _sees(each, OFF), f"{each.name} has noticed, and asked", DEAD_S + CLEARLY_S)
        for each in (half_open, hung):
            deaf = (seen for seen in each.biography().seen if seen.until > began + DEAD_S and seen.values["c0"] == ON)
            assert all(seen.state != "ready" for seen in deaf)
        wait_until(lambda: cut_off.last().state != "ready", "it does not say that it is ready", DEAD_S)
    cut_off.proxy.clear()
    _confirmed(cluster)


def test_while_redis_hangs_a_kill_is_refused_in_time(cluster: Cluster) -> None:
    cluster.redis.pause()
    try:
        for node in range(2):
            began = time.monotonic()
            answer = cluster.call(node, "POST", "services/checkout/flags/c0/kill", {"wait": 20})
            assert time.monotonic() - began < PROMPTLY_S
            assert answer.status_code == 503
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "Redis" in answer.json()["detail"]
    finally:
        cluster.redis.resume()
    wait_until(cluster.is_well, "Redis is there again")
    _confirmed(cluster)


def test_a_kill_that_waits_while_redis_hangs_names_the_stragglers(cluster: Cluster) -> None:
    stopped = cluster.instance("checkout-2")
    assert stopped.process is not None
    with paused(stopped.process.pid), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(cluster.kill, wait=3)
        wait_until(lambda: _sees(cluster.instance("checkout-1"), OFF), "the other one has obeyed")
        cluster.redis.pause()
        try:
            found = asked.result(3 + PROMPTLY_S)
        finally:
            cluster.redis.resume()
    assert not found["confirmed"]
    assert "checkout-2" in [each["instance"] for each in found["stragglers"]]
    wait_until(cluster.is_well, "Redis is there again")
    _confirmed(cluster)


def test_kills_during_a_rolling_restart_are_all_taken(cluster: Cluster) -> None:
    before = set(cluster.workers(0))
    cluster.nodes[0].send(signal.SIGHUP)
    kills = 0
    while kills < 4 or before & set(cluster.workers(0)) or len(cluster.workers(0)) < 2:
        assert cluster.kill(node=kills % 2, wait=2)["applied"] <= 2
        cluster.restore(node=kills % 2)
        kills += 1
    _confirmed(cluster)
    assert all(_sees(each, OFF) for each in _checkouts(cluster))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=lambda how: how.name)
def test_without_a_master_kills_arrive_all_the_same(cluster: Cluster, how: signal.Signals) -> None:
    master = cluster.master(0)
    assert master is not None
    os.kill(cluster.workers(1)[0], signal.SIGKILL)
    os.kill(master, how)
    try:
        wait_until(lambda: _killed_somewhere(cluster), "somebody takes the kill", 30)
        wait_until(lambda: all(_sees(each, OFF) for each in _checkouts(cluster)), "everybody obeys", 30)
    finally:
        if how is signal.SIGSTOP:
            os.kill(master, signal.SIGCONT)
    wait_until(cluster.is_well, "the node is well again", 30)
    _confirmed(cluster)


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0 * 400])
def test_a_step_of_the_wall_clock_changes_nothing(cluster: Cluster, step_s: float) -> None:
    cluster.clock.step(step_s)
    try:
        found = cluster.kill()
        assert (found["instances"], found["applied"], found["confirmed"]) == (2, 2, True)
        assert found["latency_ms"]["max"] < CLEARLY_S * 1000
        assert all(each.last().state == "ready" for each in _checkouts(cluster))
    finally:
        cluster.clock.step(0.0)


def test_a_process_that_starts_while_the_service_is_down_has_its_flags_from_the_cache(
    cluster: Cluster, tmp_path: Path
) -> None:
    late = cluster.add("checkout-late", DOWNHAUL_CACHE_DIR=str(tmp_path))
    try:
        late.start()
        wait_until(lambda: _sees(late, ON) and list(tmp_path.glob("*.json")), "it keeps what it has got")
        cluster.wait_until_known()
        _stopped(late)
        for fault in (Reset(), Silence(), Hold()):
            late.stop()
            late.record.unlink()
            late.proxy.set(fault)
            late.start()
            wait_until(lambda: _sees(late, ON), "it has its flags")
            assert (late.last().source, late.last().state) in (("cache", "starting"), ("cache", "stale"))
        wait_until(lambda: late.last().state == "stale", "it says that nobody has confirmed them")
        late.proxy.clear()
        wait_until(lambda: late.last().state == "ready" and late.last().source == "service", "it is ready", 30)
        late.proxy.reset()  # also those that were half-open
        wait_until(lambda: _streams(late), "it streams", 30)
        _stopped(late)
    finally:
        late.stop()
        late.proxy.close()
        cluster.instances.remove(late)


if os.environ.get("DOWNHAUL_FAULTS_MINUTES"):  # it takes longer than a test run has

    def test_where_only_one_node_has_lost_redis_its_instances_hear_of_a_kill_from_the_other(cluster: Cluster) -> None:
        deaf = cluster.instance("checkout-1")
        _only_through(deaf, cluster.nodes[1].port)
        deaf.proxy.targets = tuple(node.port for node in cluster.nodes)
        cluster.lines[1].set(Hold())
        cluster.kill(wait=0)
        wait_until(lambda: _sees(deaf, OFF), "it has asked the other one", 2 * DEAD_S + 2 * CLEARLY_S)
        cluster.lines[1].clear()
        wait_until(cluster.is_well, "the node is well again", 30)


def test_a_redis_that_comes_back_empty_is_not_adopted_until_an_operator_has_decided(cluster: Cluster) -> None:
    before = cluster.kill()
    positions = cluster.positions()
    wait_until(lambda: all(_remembers(node.data_dir, before["revision"]) for node in cluster.nodes), "it is remembered")
    cluster.redis.kill()
    cluster.redis.forget_everything()
    cluster.redis.start()
    for node in cluster.nodes:
        wait_until(lambda node=node: node.get("/readyz") == 503, "it is noticed")
    answer = cluster.call(0, "POST", "services/checkout/flags/c0/restore", {"reason": "a test"})
    assert answer.status_code == 503, answer.text
    assert cluster.positions() == positions and all(_sees(each, OFF) for each in _checkouts(cluster))

    cluster.lines[1].set(Hold())  # this node does not hear of the decision
    done = command("recover", "--from", "checkpoint", "--reason", "lost", "--yes", environ=cluster.nodes[0].environ)
    assert done.returncode == 0, done.stderr
    first, _ = _checkouts(cluster)
    given_up = positions[first.name][0]
    first.proxy.targets = (cluster.nodes[0].port,)
    first.proxy.reset()
    wait_until(lambda: first.last().position[0] != given_up, "an instance is in the new epoch", 30)
    wait_until(lambda: cluster.call(0, "POST", "services/checkout/flags/c0/restore", {"reason": "on"}).ok, "it writes")
    wait_until(lambda: _sees(first, ON), "it goes on")
    first.proxy.targets = (cluster.nodes[1].port,)
    first.proxy.reset()
    wait_until(lambda: "which succeeds it" in str(first.last().error), "it asks the other node", 30)
    wait_until(lambda: first.last().state != "ready", "it does not call that ready for long", 30)
    assert _sees(first, ON), "nobody goes back to what was given up"
    cluster.lines[1].clear()
    first.proxy.targets = tuple(node.port for node in cluster.nodes)
    wait_until(cluster.is_well, "both nodes have taken it over", 30)
    wait_until(lambda: all(_sees(each, ON) for each in _checkouts(cluster)), "everybody is there", 45)
    _confirmed(cluster)


def _checkouts(cluster: Cluster) -> list[Instance]:
    return [cluster.instance("checkout-1"), cluster.instance("checkout-2")]


def _streams(instance: Instance) -> bool:
    last = instance.last()
    return last is not None and (last.state, last.link) == ("ready", "stream")


def _sees(instance: Instance, values: list[bool]) -> bool:
    last = instance.last()
    return last is not None and last.values["c0"] == values


def _only_through(instance: Instance, *ports: int) -> None:
    """Its line leads there, and what was open is reset; it streams from there when this returns."""
    since = time.monotonic()
    instance.proxy.targets = ports
    instance.proxy.reset()
    wait_until(lambda: instance.proxy.connections[-1] > since, "it comes again", 30)
    since = instance.proxy.connections[-1]
    wait_until(lambda: _streams(instance) and instance.last().at > since, "it streams from there", 30)


def _stopped(instance: Instance) -> None:
    """It has ended, and the service has seen that it hung up: who is lost without a word is a straggler for long."""
    instance.stop()
    wait_until(lambda: instance.proxy.open_lines() == 0, "its connections have ended")


def _confirmed(cluster: Cluster, patience_s: float = 30) -> None:
    """A kill is confirmed, if not at once then soon."""
    deadline = time.monotonic() + patience_s
    while not (found := cluster.kill(wait=5))["confirmed"]:
        assert time.monotonic() < deadline, f"{found}; instances have {cluster.positions()}"


def _killed_somewhere(cluster: Cluster) -> bool:
    answers = (cluster.call(node, "POST", "services/checkout/flags/c0/kill", {}, timeout=2) for node in range(2))
    return any(answer is not None and answer.ok for answer in answers)


def _remembers(data_dir: Path, revision: int) -> bool:
    text = (data_dir / "checkpoint.json").read_text("ascii") if (data_dir / "checkpoint.json").exists() else ""
    return f'"revision":{revision},' in text
