"""Behind Sentinels: writers find the new primary, and what was promised is kept. What was not promised can be lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.settings import Settings
from downhaul_server.store import Store, StoreDiverged, StoreUnavailable
from downhaul_server.store.checkpoint import Checkpoint
from downhaul_server.store.connections import Connections
from downhaul_server.store.recover import from_checkpoint
from downhaul_server.store.view import Freshness
from support.redis import RealRedis
from support.store import FLAG, change, everything, well
from support.topology import Replicated
from support.waiting import wait_until
from support.writing import Writing, acknowledged

pytestmark = [pytest.mark.redis, pytest.mark.timeout(300)]

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def redises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """One for all tests of this module; each leaves it whole, with another primary perhaps."""
    with Replicated(tmp_path_factory.mktemp("sentinel")) as made:
        yield made


def alone(redises: Replicated, primary: RealRedis) -> None:
    """No replica hears of the primary any more; its clients do."""
    for member in redises.members:
        if member is not primary:
            member.pause()
    with primary.client() as client:
        # What is on its way to one that is merely stopped would arrive all the same.
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")


def gone(redises: Replicated, primary: RealRedis) -> RealRedis:
    """And then the primary is lost, and one of them takes its place."""
    primary.kill()
    for member in redises.members:
        if member is not primary:
            member.resume()
    return redises.failed_over(primary)


def test_with_replicas_that_confirm_no_write_is_lost_with_its_primary(redises: Replicated, open_one: Any) -> None:
    """All of them: Sentinels choose by what they heard last, and may choose one that one confirmation is not from."""
    store = open_one(replicas=2)
    with Writing(store, "killed") as writing:
        writing.wait_for(20)
        old = redises.primary()
        old.kill()
        new = redises.failed_over(old)
        writing.wait_for(20)
    confirmed = [each for each in writing.acknowledged if each.answer.survives == "failover"]
    assert all(each.answer.replicas == 2 for each in confirmed)
    lost = writing.lost(new.client())
    assert [each for each in lost if each in confirmed] == []
    assert len(confirmed) >= 20
    wait_until(lambda: well(store), "it follows the new primary", PATIENCE_S)
    assert store.health()["durability"]["kind"] == "sentinel"
    assert store.verify_log() == []
    redises.heal()
    wait_until(lambda: acknowledged(store, change(FLAG)).survives == "failover", "all is promised again", PATIENCE_S)
    wait_until(
        lambda: store.health()["durability"]["survives_failover"].startswith("every acknowledged write"),
        "the health says so",
        PATIENCE_S,
    )


def test_a_primary_that_is_cut_off_gets_nothing_when_it_is_back(redises: Replicated, open_one: Any) -> None:
    store, other = open_one(replicas=2), open_one(replicas=2)
    with Writing(store, "paused") as writing, Writing(other, "too") as writing_too:
        writing.wait_for(10)
        writing_too.wait_for(10)
        old = redises.primary()
        old.pause()
        new = redises.failed_over(old)
        writing.wait_for(5)
        writing_too.wait_for(5)
        old.resume()
        with old.client() as client:
            assert client.execute_command("ROLE")[0] == b"master", "nobody has told it yet"
        writing.wait_for(10)
        writing_too.wait_for(10)
        with old.client() as client:
            stray = [each for each in client.hkeys("{downhaul}:docs") if each.decode() in _after(writing, writing_too)]
    assert stray == []
    redises.heal()
    assert redises.primary() is new
    for each in (writing, writing_too):
        assert [one for one in each.lost(new.client()) if one.answer.survives == "failover"] == []
    for each in (store, other):
        wait_until(lambda each=each: well(each), "it follows", PATIENCE_S)
    newest = acknowledged(store, change(FLAG)).revision
    assert other.wait_for(newest, PATIENCE_S)
    assert everything(store) == everything(other)
    assert store.verify_log() == []


def test_a_primary_that_was_only_paused_gets_nothing_from_whoever_was_idle_meanwhile(
    redises: Replicated, open_one: Any
) -> None:
    """A connection that waits for its next write notices nothing of a pause; who reads the log does."""
    store = open_one(replicas=0)
    acknowledged(store, change(FLAG, {"on": True}))
    old = redises.primary()
    redises.wait_in_step()
    old.pause()
    new = redises.failed_over(old)
    wait_until(lambda: store.view.age_s < 1 and well(store), "the log is read from the new one", PATIENCE_S)
    old.resume()
    with old.client() as client:
        assert client.execute_command("ROLE")[0] == b"master", "nobody has told it yet"
    committed = store.commit(change(FLAG, {"on": False}))
    assert committed.applied
    with new.client() as client:
        assert client.hget("{downhaul}:versions", FLAG) == str(committed.revision).encode()
    redises.heal()


def _after(*writings: Writing) -> set[str]:
    """The last that each has written."""
    return {each.address for writing in writings for each in writing.acknowledged[-5:]}


def test_a_change_that_no_replica_has_says_so_and_can_be_lost_but_never_silently(
    redises: Replicated, open_one: Any, tmp_path: Path
) -> None:
    store = open_one(replicas=1)
    wait_until(lambda: acknowledged(store, change(FLAG, {"on": True})).replicas, "a replica confirms", PATIENCE_S)
    old = redises.primary()
    alone(redises, old)
    kill = acknowledged(store, change(FLAG, {"on": False}, action="flag.kill"))
    assert (kill.replicas, kill.replicas_wanted, kill.survives, kill.applied) == (0, 1, "crash", True)
    assert store.health()["durability"]["survives_failover"] == "what the replicas had received"
    assert "the last change was confirmed by 0 of 1 replicas" in store.health()["warnings"]

    gone(redises, old)
    wait_until(lambda: store.health()["state"] == "diverged", "it is noticed", PATIENCE_S)
    assert f"while this server has served revision {kill.revision}" in store.health()["reason"]
    assert store.view.get(FLAG).body == {"on": False}, "who asks this server is not sent back"  # type: ignore[union-attr]
    with pytest.raises(StoreDiverged):
        store.commit(change(FLAG, {"on": True}))

    (folder := tmp_path / "checkpoint").mkdir()
    Checkpoint(folder).save(store.view)
    checkpoint = Checkpoint(folder).load(Freshness())
    assert checkpoint is not None
    connections = Connections.to(redises.url)
    done = from_checkpoint(connections, checkpoint, actor="grace", reason="the kill shall stand")
    connections.close()
    wait_until(lambda: store.view.epoch == done.epoch and well(store), "it has taken it over", PATIENCE_S)
    assert store.view.get(FLAG).body == {"on": False}  # type: ignore[union-attr]
    assert store.verify_log() == []
    redises.heal()


def test_without_waiting_for_replicas_what_was_acknowledged_alone_is_lost(redises: Replicated, open_one: Any) -> None:
    store = open_one(replicas=0)
    old = redises.primary()
    with Writing(store, "unasked") as writing:
        writing.wait_for(5)
        redises.wait_in_step()
        alone(redises, old)
        before = len(writing.acknowledged)
        writing.wait_for(10)
    assert {each.answer.survives for each in writing.acknowledged} == {"crash"}
    assert {each.answer.replicas for each in writing.acknowledged} == {None}
    assert store.health()["durability"]["survives_failover"] == "what the replicas had received"
    new = gone(redises, old)
    lost = writing.lost(new.client())
    assert len(lost) >= 9 and all(each.number >= before - 1 for each in lost)
    wait_until(lambda: store.health()["state"] == "diverged", "and that is not adopted silently", PATIENCE_S)
    redises.heal()


def test_a_primary_that_must_have_replicas_takes_nothing_that_a_failover_would_undo(
    redises: Replicated, open_one: Any
) -> None:
    store = open_one(replicas=2)
    for member in redises.members:
        with member.client() as client:
            client.config_set("min-replicas-to-write", 1)
            client.config_set("min-replicas-max-lag", 1)
    old = redises.primary()
    with Writing(store, "guarded") as writing:
        writing.wait_for(10)
        alone(redises, old)
        wait_until(lambda: "NOREPLICAS" in "".join(writing.refused[-1:]), "it refuses", PATIENCE_S)
        at_risk = [each for each in writing.acknowledged if each.answer.survives != "failover"]
        new = gone(redises, old)
        lost = writing.lost(new.client())
    assert all(each in at_risk for each in lost), "only what was said to be at risk"
    for member in redises.members:
        if member.is_running:
            with member.client() as client:
                client.config_set("min-replicas-to-write", 0)
    redises.heal()


def test_a_primary_that_comes_back_empty_empties_its_replicas_and_is_not_adopted(
    redises: Replicated, open_one: Any
) -> None:
    store = open_one(replicas=1)
    acknowledged(store, change(FLAG, {"on": False}))
    primary = redises.primary()
    redises.be_patient(60_000)
    primary.kill()
    primary.forget_everything()
    primary.start()
    wait_until(lambda: store.health()["state"] == "diverged", "it is noticed", PATIENCE_S)
    with primary.client() as client:
        assert client.exists("{downhaul}:meta") == 0
    redises.be_patient()
    with pytest.raises(StoreDiverged):
        store.commit(change(FLAG))
    assert store.view.get(FLAG) is not None
    redises.heal()


def test_where_no_sentinel_answers_reads_go_on_and_writes_fail_at_once(
    redises: Replicated, open_one: Any, tmp_path: Path
) -> None:
    store = open_one(replicas=0)
    acknowledged(store, change(FLAG))
    store.close()
    unknown = Connections.to(redises.url.replace("/downhaul", "/another"))
    with pytest.raises(Exception, match="knows of a primary 'another'"):
        unknown.writes.ping()
    unknown.close()
    away = Connections.to("redis+sentinel://127.0.0.1:1,127.0.0.1:2/downhaul", block_s=0.05)
    with Store.open(Settings(data_dir=tmp_path / "data-0"), connections=away) as restarted:
        assert restarted.health()["source"] == "checkpoint"
        assert restarted.view.get(FLAG) is not None
        with pytest.raises(StoreUnavailable, match="no Sentinel that answers"):
            restarted.commit(change(FLAG))
