"""Refused attempts have a log of their own: chained, bounded, and vouched for by the log of changes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from downhaul_server.store import Store
from downhaul_server.store.keys import REFUSALS, REFUSALS_META
from downhaul_server.store.recover import from_checkpoint
from downhaul_server.store.refusals import A_MINUTE
from support.redis import FakeRedis, RealRedis
from support.store import change
from support.waiting import wait_until


def refuse(store: Store, *names: str, kind: str = "known", **options: Any) -> list[bool]:
    return store.refusals.append([(kind, {"detail": name}) for name in names], **options)


def kept(store: Store) -> list[str]:
    """Oldest first."""
    return [each.body["detail"] for each in store.refusals.newest_first()][::-1]


@pytest.fixture
def client(backend: FakeRedis | RealRedis) -> Any:
    return backend.client()


def test_they_are_chained_and_cost_the_log_of_changes_nothing(store: Store) -> None:
    before = store.view.revision
    assert refuse(store, "one", "two") == [True, True]
    refuse(store, "three")
    assert kept(store) == ["one", "two", "three"]
    assert store.verify_log() == []
    assert store.view.revision == before and len(store.log()) == before


def test_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downhaul_server.store.refusals.PAGE", 2)
    refuse(store, *"abcde")
    assert kept(store) == [*"abcde"]
    assert [each.number for each in store.refusals.newest_first(4)] == [3, 2, 1]
    assert store.verify_log() == []


def test_a_minute_has_room_for_so_many_of_a_kind(store: Store) -> None:
    found = refuse(store, *["x"] * (A_MINUTE["unknown"] + 5), kind="unknown")
    # A minute may end in between: then there is room for more.
    assert found.count(True) >= A_MINUTE["unknown"] and found[0]
    if found.count(True) == A_MINUTE["unknown"]:
        assert found[-5:] == [False] * 5
    assert refuse(store, "somebody whom we know") == [True]
    assert store.verify_log() == []


def test_the_oldest_are_let_go_and_the_rest_is_whole(store: Store) -> None:
    refuse(store, *"abcde", keep=3)
    assert kept(store) == [*"cde"] and store.verify_log() == []
    refuse(store, "f", keep=3)
    assert kept(store) == [*"def"] and store.verify_log() == []
    assert store.refusals.extent().origin == 4


def test_several_processes_write_one_chain(store: Store, backend: FakeRedis | RealRedis, open_store: Any) -> None:
    other = open_store(backend)
    for one in (store, other, store):
        refuse(one, "x")
    threads = [threading.Thread(target=refuse, args=(each, *"abc")) for each in (store, other) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(store)) == 21 and store.verify_log() == []


class TestTampering:
    @pytest.fixture(autouse=True)
    def five(self, store: Store) -> None:
        refuse(store, *"abcde")

    def test_one_is_removed(self, store: Store, client: Any) -> None:
        client.xdel(REFUSALS, "3-0")
        assert store.verify_log() == ["refusal 3: missing"]

    def test_one_is_altered(self, store: Store, client: Any) -> None:
        rewrite(client, 2, body=b'{"detail":"nothing"}')
        assert store.verify_log() == ["refusal 2: the body does not have the digest that was written with it"]

    def test_two_change_places(self, store: Store, client: Any) -> None:
        second, third = (client.xrange(REFUSALS, f"{each}-0", f"{each}-0")[0][1] for each in (2, 3))
        rewrite(client, 2, **{name.decode(): value for name, value in third.items()})
        rewrite(client, 3, **{name.decode(): value for name, value in second.items()})
        assert [fault.split(":")[0] for fault in store.verify_log()] == ["refusal 2", "refusal 3", "refusal 4"]

    def test_the_newest_are_cut_off(self, store: Store, client: Any) -> None:
        client.xdel(REFUSALS, "4-0", "5-0")
        assert store.verify_log() == ["refusals 4 to 5: missing"]

    def test_the_newest_are_cut_off_and_what_is_kept_beside_them_is_adjusted(
        self, store: Store, client: Any, backend: FakeRedis | RealRedis, open_store: Any
    ) -> None:
        store.commit(change())  # which refers to the fifth
        chain = client.xrange(REFUSALS, "3-0", "3-0")[0][1][b"chain"]
        client.xdel(REFUSALS, "4-0", "5-0")
        client.hset(REFUSALS_META, mapping={"number": "3", "chain": chain})
        stranger = open_store(backend)
        assert stranger.verify_log() == ["refusals 4 to 5: missing, though the log of changes refers to it"]

    def test_all_of_them_are_removed(self, store: Store, client: Any) -> None:
        client.delete(REFUSALS, REFUSALS_META)
        assert store.verify_log() == ["refusals 1 to 5: missing, though the log of changes refers to it"]

    def test_another_history_is_written_in_its_place(
        self, store: Store, client: Any, backend: FakeRedis | RealRedis, open_store: Any
    ) -> None:
        store.commit(change())
        client.delete(REFUSALS, REFUSALS_META)
        stranger = open_store(backend)
        refuse(stranger, *"vwxyz")
        assert stranger.verify_log() == ["refusal 5: it is not the entry that the log of changes refers to"]


def rewrite(client: Any, number: int, **fields: bytes) -> None:
    """One entry, in its place, in another way than it was written."""
    entries = client.xrange(REFUSALS)
    client.delete(REFUSALS)
    for entry_id, old in entries:
        new = {name.encode(): value for name, value in fields.items()} if entry_id == b"%d-0" % number else {}
        client.xadd(REFUSALS, old | new, id=entry_id)


@pytest.mark.redis
def test_a_log_that_was_lost_with_the_store_is_not_missed_for_ever(real: RealRedis, open_store: Any) -> None:
    store = open_store(real)
    refuse(store, *"abc")
    store.commit(change())
    store.close()
    refused = open_store(real)
    refuse(refused, "d")
    served = refused.view
    real.client().flushall()
    wait_until(lambda: refused.health()["state"] == "diverged", "the loss is noticed")
    from_checkpoint(real.connections(), served, actor="ada", reason="the disk broke")
    wait_until(lambda: refused.health()["state"] == "following", "it goes on")
    refused.commit(change())
    assert refused.verify_log() == []
