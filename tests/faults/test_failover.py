"""Redis fails over under two nodes and their instances; what docs/operations.md says to do is done, word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.checker import never_backwards
from faults.cluster import Cluster, Instance
from support.redis import RealRedis
from support.server import Server
from support.topology import Replicated
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text("utf-8")
OFF, ON = [False] * 4, [True] * 4
PATIENCE_S = 60.0
FLAG = "services/checkout/flags/c0"


def blocks(title: str) -> list[str]:
    """What a section of the guide tells to type, a text for each of its blocks."""
    section = re.split(r"^#+ ", GUIDE.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found, f"the guide tells nothing to type under {title!r}"
    return ["\n".join(line.removeprefix("$ ") for line in block.splitlines()) for block in found]


@pytest.fixture(scope="module")
def redises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with Replicated(tmp_path_factory.mktemp("sentinel")) as made:
        yield made


@pytest.fixture(scope="module")
def company(redises: Replicated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes and two instances for all stories. In the end, nobody has ever gone back."""
    told = {"DOWNHAUL_REDIS_URL": redises.url, "DOWNHAUL_REDIS_REPLICAS": "1", "DOWNHAUL_WORKERS": "1"}
    with Cluster(tmp_path_factory.mktemp("company"), instances={"checkout": 2}, redis_settings=told) as cluster:
        yield cluster
        for instance in cluster.instances:
            assert list(never_backwards(instance.biography())) == []


@pytest.fixture
def cluster(company: Cluster, redises: Replicated) -> Cluster:
    """All is well, and `checkout/c0` is on everywhere."""
    redises.heal()
    wait_until(company.is_well, "both nodes are ready", PATIENCE_S)
    if not all(_sees(each, ON) for each in company.instances):
        _done(company, "restore", {"reason": "a test"})
    wait_until(lambda: all(_sees(each, ON) for each in company.instances), "the flag is on", PATIENCE_S)
    return company


@pytest.fixture(scope="module")
def backups(company: Cluster) -> Path:
    folder = company.folder / "backups"
    folder.mkdir()
    return folder


@pytest.fixture
def typed(cluster: Cluster, backups: Path) -> Callable[..., str]:
    """Types what the guide says, on the first node; gives what is printed. Fails when any of it does."""

    def type_it(commands: str, **more: str) -> str:
        node = cluster.nodes[0]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environ = {**node.environ, "PATH": path, "DOWNHAUL_URL": node.url, "BACKUPS": str(backups), **more}
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands], env=environ, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, f"{commands}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    return type_it


def test_kills_go_on_when_the_primary_is_lost(cluster: Cluster, redises: Replicated, typed: Callable[..., str]) -> None:
    old = redises.primary()
    old.kill()
    answer = _done(cluster, "kill", {"reason": "an incident"}, node=1)
    assert all(node.get("/readyz") == 200 for node in cluster.nodes)
    wait_until(lambda: all(_sees(each, OFF) for each in cluster.instances), "all instances obey", PATIENCE_S)
    assert answer.json()["durability"]["replicas_wanted"] == 1
    assert answer.headers["Downhaul-Durability"].endswith(
        f"replicas={answer.json()['durability']['replicas']};wanted=1"
    )
    redises.failed_over(old)  # one that comes back in the middle of it may undo it, and what was made meanwhile
    redises.heal()
    wait_until(lambda: _done(cluster, "kill", {"environment": "staging"}).json(), "changes are taken", PATIENCE_S)
    (command,) = blocks("The primary was lost, and another took its place")

    def promised() -> bool:
        """Told by the last change: one that nobody has confirmed in time is followed by others."""
        _done(cluster, "restore", {"environment": "staging", "reason": "a test"})
        _done(cluster, "kill", {"environment": "staging"})
        return "every acknowledged write" in typed(command)

    wait_until(promised, "the promise holds again", PATIENCE_S)
    wait_until(lambda: "A failover keeps" in cluster.nodes[0].text("/welcome"), "its page says so too", PATIENCE_S)


@pytest.mark.parametrize(("way", "stays"), [(0, OFF), (1, ON)], ids=["what was served", "what Redis holds"])
def test_a_kill_that_the_new_primary_lacks_is_not_undone_but_by_an_operator(
    cluster: Cluster, redises: Replicated, typed: Callable[..., str], way: int, stays: list[bool]
) -> None:
    old = redises.primary()
    for member in redises.members:
        if member is not old:
            member.pause()
    with old.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    answer = _done(cluster, "kill", {"reason": "an incident"})
    assert answer.json()["durability"] == {"survives": "crash", "replicas": 0, "replicas_wanted": 1}
    assert answer.headers["Downhaul-Durability"] == "crash;replicas=0;wanted=1"
    at_risk = re.compile("what the replicas had received|nothing: no replica is connected")
    wait_until(lambda: at_risk.search(cluster.nodes[0].text("/welcome")), "its page says what is at risk", PATIENCE_S)
    wait_until(lambda: all(_sees(each, OFF) for each in cluster.instances), "all instances obey", PATIENCE_S)
    wait_until(lambda: all(_remembers(node, answer.json()["revision"]) for node in cluster.nodes), "it is remembered")
    old.kill()
    for member in redises.members:
        if member is not old:
            member.resume()
    redises.failed_over(old)
    for node in cluster.nodes:
        wait_until(lambda node=node: "diverged" in node.text("/readyz"), "it says so", PATIENCE_S)
    refused = cluster.call(0, "POST", f"{FLAG}/restore", {"reason": "a test"})
    assert refused.status_code == 503
    assert all(_sees(each, OFF) for each in cluster.instances)
    epochs = {position[0] for position in cluster.positions().values() if position}

    typed(blocks("The new primary lacks changes")[way])

    wait_until(cluster.is_well, "both nodes have taken it over", PATIENCE_S)
    wait_until(
        lambda: all(position and position[0] not in epochs for position in cluster.positions().values()),
        "all instances are in the new epoch",
        PATIENCE_S,
    )
    assert all(_sees(each, stays) for each in cluster.instances)


def test_a_redis_that_is_empty_gets_the_backup_or_what_was_served(
    cluster: Cluster, redises: Replicated, typed: Callable[..., str], tmp_path: Path
) -> None:
    make, exercise = blocks("Backup and restore")
    typed(make)
    _done(cluster, "kill", {"reason": "after the backup"})
    wait_until(lambda: all(_sees(each, OFF) for each in cluster.instances), "all instances obey", PATIENCE_S)
    from_checkpoint, from_backup = blocks("Redis came back empty")
    for commands, sees in ((from_checkpoint, OFF), (from_backup, ON)):
        wait_until(lambda: _remembers(cluster.nodes[0], _newest(cluster)), "it is remembered")
        with redises.primary().client() as client:
            client.flushall()
        for node in cluster.nodes:
            wait_until(lambda node=node: node.get("/readyz") == 503, "it says so", PATIENCE_S)
        typed(commands)
        wait_until(cluster.is_well, "both nodes have taken it over", PATIENCE_S)
        wait_until(lambda sees=sees: all(_sees(each, sees) for each in cluster.instances), "so it is", PATIENCE_S)

    empty = RealRedis(tmp_path / "empty").start()
    try:
        told = typed(exercise, EMPTY_REDIS_URL=empty.url)
    finally:
        empty.kill()
    assert "its hash chain is whole" in told


def test_a_living_store_goes_back_to_a_backup_by_one_word(cluster: Cluster, typed: Callable[..., str]) -> None:
    typed(blocks("Backup and restore")[0].replace("downhaul-server backup", "downhaul-server backup --force"))
    _done(cluster, "kill", {"reason": "a mistake"})
    (look, commands) = (
        blocks("What to do in each case")[0],
        blocks("Something went wrong with the flags themselves")[0],
    )
    assert "hash chain is whole" in typed(look)
    typed(commands)
    wait_until(lambda: all(_sees(each, ON) for each in cluster.instances), "it is as it was", PATIENCE_S)
    wait_until(cluster.is_well, "both nodes have taken it over", PATIENCE_S)


def test_nodes_come_and_go_while_changes_are_made(cluster: Cluster, redises: Replicated, tmp_path: Path) -> None:
    """A kill through any node is in the streams of all; and no change fails because another node comes or goes."""
    told = {"DOWNHAUL_REDIS_URL": redises.url, "DOWNHAUL_REDIS_REPLICAS": "1", "DOWNHAUL_WORKERS": "1"}
    third = Server(tmp_path / "node-3", **told)
    nodes = {0: cluster.nodes[0], 2: third}
    moving = cluster.add("checkout-moving", nodes=nodes)
    moving.proxy.targets = (third.port,)
    try:
        with third:
            moving.start()
            wait_until(lambda: _sees(moving, ON), "it has its flags from the third node", PATIENCE_S)
            cluster.wait_until_known()
            answer = _done(cluster, "kill", {"reason": "a test", "wait": 20}, node=1).json()
            assert answer["confirmed"] and answer["instances"] == 3, answer
            assert _sees(moving, OFF)
            moving.proxy.targets = (third.port, cluster.nodes[0].port)
            _done(cluster, "restore", {"reason": "a test"})
        wait_until(lambda: _sees(moving, ON), "it goes on at another node", PATIENCE_S)
        answer = _done(cluster, "kill", {"reason": "a test", "wait": 20}).json()
        assert answer["applied"] == 3, answer
        assert list(never_backwards(moving.biography())) == []
    finally:
        moving.stop()
        moving.proxy.close()
        cluster.instances.remove(moving)


def _done(cluster: Cluster, verb: str, body: dict[str, Any], *, node: int = 0) -> Any:
    """A kill or a restore, repeated under one key until it is answered, as the guide says."""
    key = f"{verb}-{time.monotonic_ns()}"
    found: list[Any] = []

    def answered() -> bool:
        found.append(cluster.call(node, "POST", f"{FLAG}/{verb}", body, timeout=40, **{"Idempotency-Key": key}))
        return found[-1] is not None and found[-1].ok

    wait_until(answered, f"the {verb} is answered", PATIENCE_S)
    return found[-1]


def _sees(instance: Instance, values: list[bool]) -> bool:
    last = instance.last()
    return last is not None and last.values["c0"] == values


def _newest(cluster: Cluster) -> int:
    return int(cluster.made("GET", "status")["revision"])


def _remembers(node: Server, revision: int) -> bool:
    path = node.data_dir / "checkpoint.json"
    return path.exists() and f'"revision":{revision},' in path.read_text("ascii")
