"""On a Cluster: everything is in one slot, and the store finds whoever has it now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.settings import Settings
from downhaul_server.store import Store, StoreDiverged, StoreUnavailable
from downhaul_server.store.backup import write
from downhaul_server.store.connections import Connections
from downhaul_server.store.restore import restore
from support.redis import RealRedis
from support.store import FLAG, change, everything, well
from support.topology import Clustered
from support.waiting import wait_until
from support.writing import Writing, acknowledged

pytestmark = [pytest.mark.redis, pytest.mark.timeout(300)]

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def redises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clustered]:
    """One for all tests of this module; each leaves it whole, with another primary perhaps."""
    with Clustered(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def test_all_that_the_store_does_works_on_a_cluster(redises: Clustered, open_one: Any, tmp_path: Path) -> None:
    store, other = open_one(replicas=1), open_one(replicas=1)
    wait_until(
        lambda: acknowledged(store, change(FLAG, {"on": True})).replicas == 1, "its replica confirms", PATIENCE_S
    )
    assert other.wait_for(store.view.revision, PATIENCE_S)
    assert everything(other) == everything(store)
    assert other.refusals.append([("known", {"what": "a kill"})]) == [True]
    store.outbox.keep_secrets("hook", {"secret": "s"})
    assert other.outbox.known() == {"hook": {"secret": "s"}}
    store.sessions.begin_sign_in("digest", {"state": "x"}, 60)
    assert other.sessions.take_sign_in("digest") == {"state": "x"}
    lease = store.lease("test", 10)
    assert lease.keep() and not other.lease("test", 10).keep()
    assert store.verify_log() == []
    health = store.health()["durability"]
    assert (health["kind"], health["survives_failover"]) == ("cluster", "every acknowledged write")
    connections = Connections.to(redises.url)
    head = write(connections, tmp_path / "backup.gz")
    done = restore(connections, tmp_path / "backup.gz", replace=True, also_succeeds=(), actor="grace", reason="?")
    connections.close()
    assert done.revision == head.revision + 1
    for each in (store, other):
        wait_until(lambda each=each: each.view.epoch == done.epoch, "it has taken the restored store over", PATIENCE_S)


def test_with_a_replica_that_confirms_no_write_is_lost_with_its_primary(redises: Clustered, open_one: Any) -> None:
    store = open_one(replicas=1)
    with Writing(store, "killed") as writing:
        writing.wait_for(20)
        old = redises.primary()
        old.kill()
        new = redises.failed_over(old)
        writing.wait_for(20)
    confirmed = [each for each in writing.acknowledged if each.answer.survives == "failover"]
    assert [each for each in writing.lost(new.client()) if each in confirmed] == []
    assert confirmed
    wait_until(lambda: well(store), "it follows the new primary", PATIENCE_S)
    redises.heal()
    wait_until(lambda: acknowledged(store, change(FLAG)).survives == "failover", "all is promised again", PATIENCE_S)
    assert store.verify_log() == []


def test_a_primary_that_is_cut_off_gets_nothing_when_it_is_back(redises: Clustered, open_one: Any) -> None:
    store = open_one(replicas=1)
    with Writing(store, "paused") as writing:
        writing.wait_for(10)
        old = redises.primary()
        old.pause()
        new = redises.failed_over(old)
        writing.wait_for(10)
        old.resume()
        writing.wait_for(10)
    assert [each for each in writing.lost(new.client()) if each.answer.survives == "failover"] == []
    redises.wait_in_step()
    wait_until(lambda: well(store), "it follows", PATIENCE_S)
    assert store.verify_log() == []


def test_what_only_the_lost_primary_had_is_lost_but_never_silently(redises: Clustered, open_one: Any) -> None:
    store = open_one(replicas=1)
    wait_until(
        lambda: acknowledged(store, change(FLAG, {"on": True})).replicas == 1, "its replica confirms", PATIENCE_S
    )
    old = redises.primary()
    replica = replica_of(redises, old)
    replica.pause()
    with old.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    kill = acknowledged(store, change(FLAG, {"on": False}))
    assert (kill.replicas, kill.survives) == (0, "crash")
    old.kill()
    replica.resume()
    redises.failed_over(old)
    wait_until(lambda: store.health()["state"] == "diverged", "it is noticed", PATIENCE_S)
    with pytest.raises(StoreDiverged):
        store.commit(change(FLAG))
    assert store.view.get(FLAG).body == {"on": False}  # type: ignore[union-attr]
    redises.heal()


def test_where_no_node_answers_it_is_said(tmp_path: Path) -> None:
    away = Connections.to("redis+cluster://127.0.0.1:1,127.0.0.1:2", block_s=0.05)
    with Store.open(Settings(data_dir=tmp_path), connections=away) as store:
        assert store.health()["state"] == "loading"
        with pytest.raises(StoreUnavailable):
            _ = store.view


def replica_of(redises: Clustered, primary: RealRedis) -> RealRedis:
    """The one that follows it."""
    with primary.client() as client:
        port = client.info("replication")["slave0"]["port"]
    return next(each for each in redises.members if each.port == port)
