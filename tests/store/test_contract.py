"""What the store promises, on fakeredis and on a real Redis alike."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
from downhaul_server.store import (
    Commit,
    Conflict,
    Entry,
    OperationReused,
    Stale,
    Store,
    StoreDiverged,
    View,
)
from support.redis import FakeRedis, RealRedis
from support.store import ACTOR, FLAG, change, everything
from support.waiting import wait_until

LOG = "{downhaul}:log"


class TestBirth:
    def test_a_fresh_store_has_the_two_environments(self, store: Store) -> None:
        assert everything(store) == {
            "environment/production": {"key": "production", "name": "Production"},
            "environment/staging": {"key": "staging", "name": "Staging"},
        }
        assert store.view.revision == 1
        assert store.health()["state"] == "following"
        assert store.health()["source"] == "redis"

    def test_a_second_process_finds_what_the_first_made(self, backend: Any, open_store: Any) -> None:
        first, second = open_store(backend), open_store(backend)
        assert second.view.epoch == first.view.epoch
        assert [entry.action for entry in second.log()] == ["store.create"]


class TestCommit:
    def test_the_writer_reads_its_own_write(self, store: Store) -> None:
        committed = store.commit(change(FLAG, {"on": True, "rules": []}))
        assert committed.revision == 2
        assert committed.applied
        document = store.view.get(FLAG)
        assert document is not None
        assert (document.version, document.body) == (2, {"on": True, "rules": []})

    def test_another_process_follows(self, backend: Any, open_store: Any) -> None:
        writer, reader = open_store(backend), open_store(backend)
        committed = writer.commit(change(FLAG, {"on": True}))
        assert reader.wait_for(committed.revision, 10)
        assert everything(reader) == everything(writer)

    def test_committed_at_is_a_time_in_utc_with_milliseconds(self, store: Store) -> None:
        committed = store.commit(change())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", committed.committed_at)
        assert store.log(limit=1)[0].at == committed.committed_at

    def test_documents_come_back_as_they_went_in(self, store: Store, backend: Any, open_store: Any) -> None:
        hostile = {
            "empty list": [],
            "empty object": {},
            "number": 12345678901234567890123,
            "float": 0.1,
            "text": "Grüße ☃ \ud800 \x00 {downhaul}",
            "nested": [[], {}, None, True, [{}]],
        }
        store.commit(change(FLAG, hostile))
        assert store.view.get(FLAG).body == hostile  # type: ignore[union-attr]
        assert open_store(backend).view.get(FLAG).body == hostile

    def test_many_documents_are_written_in_one_revision(self, store: Store) -> None:
        addresses = [f"flag/checkout/flag-{number}" for number in range(300)]
        committed = store.commit(
            Commit(action="kill", actor=ACTOR, writes={address: {"killed": True} for address in addresses})
        )
        assert {store.view.version(address) for address in addresses} == {committed.revision}
        assert len(store.log(limit=1)[0].changes) == 300

    def test_a_deleted_document_is_gone_and_may_come_back(self, store: Store) -> None:
        store.commit(change(FLAG, {"on": True}))
        store.commit(change(FLAG, delete=True))
        assert store.view.get(FLAG) is None
        assert store.view.version(FLAG) == 0
        committed = store.commit(change(FLAG, {"on": False}, expect={FLAG: 0}))
        assert store.view.version(FLAG) == committed.revision

    @pytest.mark.parametrize(
        ("commit", "expected"),
        [
            (Commit(action="nothing", actor=ACTOR, writes={}), "writes nothing"),
            (change("no-kind", {}), "expected an address"),
            (change("flag/with space", {}), "expected an address"),
            (change(FLAG, {"bad": float("nan")}), "JSON"),
            (change(FLAG, {"bad": {1, 2}}), "JSON"),
            (change(touches=(("check@out", "production"),)), "to touch"),
            (change(operation=""), "operation id"),
            (change(operation="x" * 257), "operation id"),
        ],
    )
    def test_a_malformed_commit_is_a_value_error_and_writes_nothing(
        self, store: Store, commit: Commit, expected: str
    ) -> None:
        with pytest.raises(ValueError, match=expected):
            store.commit(commit)
        assert store.log(limit=1)[0].revision == 1


class TestVersions:
    def test_a_write_that_expects_an_older_version_is_refused_and_names_the_newer(self, store: Store) -> None:
        first = store.commit(change(FLAG, {"on": False}))
        second = store.commit(change(FLAG, {"on": True}))
        with pytest.raises(Conflict) as refused:
            store.commit(change(FLAG, {"on": False}, expect={FLAG: first.revision}))
        assert (refused.value.address, refused.value.current_version) == (FLAG, second.revision)
        assert store.view.get(FLAG).body == {"on": True}  # type: ignore[union-attr]

    def test_creating_what_exists_is_refused(self, store: Store) -> None:
        first = store.commit(change(FLAG, {"on": False}))
        with pytest.raises(Conflict) as refused:
            store.commit(change(FLAG, {"on": True}, expect={FLAG: 0}))
        assert refused.value.current_version == first.revision

    def test_changing_what_is_absent_is_refused(self, store: Store) -> None:
        with pytest.raises(Conflict) as refused:
            store.commit(change(FLAG, {"on": True}, expect={FLAG: 1}))
        assert refused.value.current_version == 0

    def test_a_document_that_is_only_expected_is_checked_too(self, store: Store) -> None:
        segment = "segment/beta"
        store.commit(change(segment, {"when": 1}))
        with pytest.raises(Conflict) as refused:
            store.commit(change(FLAG, {"on": True}, expect={segment: 1}))
        assert refused.value.address == segment
        assert store.view.get(FLAG) is None

    def test_one_document_in_conflict_keeps_all_the_others_unwritten(self, store: Store) -> None:
        store.commit(change(FLAG, {"on": False}))
        with pytest.raises(Conflict):
            store.commit(
                Commit(action="many", actor=ACTOR, writes={"flag/a/b": {}, FLAG: {}}, expect={FLAG: 1, "flag/a/b": 0})
            )
        assert store.view.get("flag/a/b") is None
        assert store.log(limit=1)[0].revision == 2

    def test_a_writer_that_lags_behind_overwrites_nothing_unseen(self, backend: Any, open_store: Any) -> None:
        ahead, behind = open_store(backend), open_store(backend)
        behind._follower.stop()
        newer = ahead.commit(change(FLAG, {"by": "ahead"}))
        with pytest.raises(Conflict) as refused:
            behind.commit(change(FLAG, {"by": "behind"}))
        assert refused.value.current_version == newer.revision
        assert ahead.view.get(FLAG).body == {"by": "ahead"}

    def test_a_version_learned_from_another_process_is_waited_for(self, backend: Any, open_store: Any) -> None:
        one, other = open_store(backend), open_store(backend)
        for number in range(20):
            version = one.commit(change(FLAG, {"n": number})).revision
            other.commit(change(FLAG, {"n": -number}, expect={FLAG: version}))
            one.wait_for(other.view.revision, 10)
        assert one.log(limit=1)[0].changes[0].before == {"n": 19}

    def test_a_commit_based_on_an_older_revision_is_stale(self, store: Store) -> None:
        base = store.view.revision
        newer = store.commit(change("flag/other/flag", {}))
        with pytest.raises(Stale) as refused:
            store.commit(change(FLAG, {}, base=base))
        assert refused.value.revision == newer.revision
        assert store.commit(change(FLAG, {}, base=newer.revision)).revision == newer.revision + 1

    def test_without_a_base_only_the_same_document_stands_in_the_way(self, store: Store) -> None:
        version = store.commit(change(FLAG, {"on": True})).revision
        store.commit(change("flag/other/flag", {}))
        assert store.commit(change(FLAG, {"killed": True}, expect={FLAG: version})).revision == version + 2


class TestOperations:
    def test_a_repeated_operation_gets_its_first_answer_and_writes_nothing(self, store: Store) -> None:
        commit = change(FLAG, {"on": True}, operation="op-1", result={"created": True, "list": []})
        first = store.commit(commit)
        store.commit(change("flag/other/flag", {}))
        again = store.commit(commit)
        assert (again.revision, again.committed_at, again.result) == (2, first.committed_at, first.result)
        assert (first.replayed, again.replayed) == (False, True)
        assert first.result == {"created": True, "list": []}
        assert store.log(limit=1)[0].revision == 3

    def test_a_repeated_operation_is_recognised_before_any_conflict(self, store: Store) -> None:
        commit = change(FLAG, {"on": True}, operation="op-1", expect={FLAG: 0}, base=1)
        first = store.commit(commit)
        assert store.commit(commit).revision == first.revision

    def test_an_operation_id_with_another_request_is_refused(self, store: Store) -> None:
        store.commit(change(FLAG, {"on": True}, operation="op-1"))
        with pytest.raises(OperationReused, match="op-1"):
            store.commit(change(FLAG, {"on": False}, operation="op-1"))
        assert store.view.get(FLAG).body == {"on": True}  # type: ignore[union-attr]

    def test_the_fingerprint_says_what_the_same_request_is(self, store: Store) -> None:
        first = store.commit(change(FLAG, {"at": "12:00"}, operation="op-1", fingerprint="the request"))
        assert store.commit(change(FLAG, {"at": "12:01"}, operation="op-1", fingerprint="the request")).replayed
        with pytest.raises(OperationReused):
            store.commit(change(FLAG, {"at": "12:00"}, operation="op-1", fingerprint="another"))
        assert store.log(limit=1)[0].revision == first.revision

    def test_recall_gives_the_first_answer_without_writing(self, store: Store) -> None:
        assert store.recall("op-1") is None
        first = store.commit(change(FLAG, {}, operation="op-1", fingerprint="f", result={"id": 7}))
        recalled = store.recall("op-1", "f")
        assert recalled is not None
        assert (recalled.revision, recalled.result, recalled.replayed) == (first.revision, {"id": 7}, True)
        with pytest.raises(OperationReused):
            store.recall("op-1", "another")

    def test_a_refused_commit_leaves_its_operation_id_free(self, store: Store) -> None:
        with pytest.raises(Conflict):
            store.commit(change(FLAG, {}, operation="op-1", expect={FLAG: 1}))
        assert store.recall("op-1") is None
        assert not store.commit(change(FLAG, {}, operation="op-1", expect={FLAG: 0})).replayed

    def test_operations_are_forgotten_after_a_day(self, store: Store, backend: Any) -> None:
        store.commit(change(FLAG, {}, operation="op-1"))
        remaining = backend.client().ttl("{downhaul}:op:op-1")
        assert 23 * 3600 < remaining <= 24 * 3600


class TestTouches:
    def test_touched_is_the_last_revision_that_affects_a_service_in_an_environment(self, store: Store) -> None:
        store.commit(change(touches=(("checkout", "production"),)))
        store.commit(change(touches=(("checkout", "staging"), ("payments", "*"))))
        view = store.view
        assert view.touched("checkout", "production") == 2
        assert view.touched("checkout", "staging") == 3
        assert view.touched("payments", "anything") == 3
        assert view.touched("search", "production") == 0

    def test_a_touch_of_all_services_counts_for_each(self, store: Store) -> None:
        store.commit(change(touches=(("*", "staging"),)))
        assert store.view.touched("search", "staging") == 2
        assert store.view.touched("search", "production") == 0

    def test_touches_are_there_after_a_load(self, store: Store, backend: Any, open_store: Any) -> None:
        store.commit(change(touches=(("checkout", "production"),)))
        assert open_store(backend).view.touched("checkout", "production") == 2


class TestLog:
    def test_an_entry_says_who_what_why_before_and_after(self, store: Store) -> None:
        first = store.commit(change(FLAG, {"on": False}))
        store.commit(
            change(
                FLAG,
                {"on": True},
                action="flag.set_state",
                reason="launch",
                operation="op-9",
                touches=(("checkout", "production"),),
                details={"ticket": 12},
            )
        )
        entry = store.entry(3)
        assert entry is not None
        assert (entry.revision, entry.actor, entry.action, entry.reason) == (3, ACTOR, "flag.set_state", "launch")
        assert (entry.operation, entry.touches, entry.details) == (
            "op-9",
            (("checkout", "production"),),
            {"ticket": 12},
        )
        (only,) = entry.changes
        assert (only.address, only.version_before) == (FLAG, first.revision)
        assert (only.before, only.after) == ({"on": False}, {"on": True})

    def test_creation_has_no_before_and_deletion_no_after(self, store: Store) -> None:
        store.commit(change(FLAG, {"on": False}))
        store.commit(change(FLAG, delete=True))
        deleted, created = store.log(limit=2)
        assert (created.changes[0].version_before, created.changes[0].before) == (0, None)
        assert (deleted.changes[0].version_before, deleted.changes[0].after) == (2, None)

    def test_pages_newest_first_meet_without_gap_or_overlap(self, store: Store) -> None:
        for number in range(25):
            store.commit(change(FLAG, {"n": number}))
        pages: list[list[Entry]] = [store.log(limit=7)]
        while pages[-1]:
            pages.append(store.log(before=pages[-1][-1].revision, limit=7))
        assert [entry.revision for page in pages for entry in page] == list(range(26, 0, -1))
        assert [len(page) for page in pages] == [7, 7, 7, 5, 0]

    def test_match_filters_before_the_page_is_cut(self, store: Store) -> None:
        for number in range(12):
            store.commit(change(f"flag/service-{number % 2}/x", {"n": number}))

        def of_service_one(entry: Entry) -> bool:
            return entry.changes[0].address.startswith("flag/service-1/")

        assert [entry.revision for entry in store.log(limit=4, match=of_service_one)] == [13, 11, 9, 7]
        assert [entry.revision for entry in store.log(before=9, limit=4, match=of_service_one)] == [7, 5, 3]

    def test_an_entry_that_is_not_there_is_none(self, store: Store) -> None:
        assert store.entry(99) is None
        assert store.entry(0) is None

    def test_listeners_get_each_view_with_its_entry_in_order(self, store: Store) -> None:
        seen: list[tuple[int, int | None]] = []
        unsubscribe = store.subscribe(lambda view, entry: seen.append((view.revision, entry and entry.revision)))
        for _ in range(3):
            store.commit(change())
        wait_until(lambda: len(seen) == 3, "three calls")
        unsubscribe()
        store.commit(change())
        assert seen == [(2, 2), (3, 3), (4, 4)]

    def test_a_listener_that_fails_stops_nobody(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        def fail(view: View, entry: Entry | None) -> None:
            raise RuntimeError("listener")

        seen: list[int] = []
        store.subscribe(fail)
        store.subscribe(lambda view, _: seen.append(view.revision))
        store.commit(change())
        assert store.commit(change()).applied
        wait_until(lambda: seen == [2, 3], "the other listener is called")
        assert "a listener of the store failed" in caplog.text


class TestChain:
    @pytest.fixture
    def client(self, store: Store, backend: FakeRedis | RealRedis) -> redis.Redis:
        """A client that can tamper, after ten commits."""
        for number in range(10):
            store.commit(change(f"flag/checkout/flag-{number % 3}", {"n": number}))
        return backend.client()

    def test_an_honest_log_is_whole(self, store: Store, client: redis.Redis) -> None:
        assert store.verify_log() == []

    def test_an_altered_entry_is_found(self, store: Store, client: redis.Redis) -> None:
        _rewrite(client, lambda entries: _altered(entries, b"6-0", b'"n":4', b'"n":5'))
        assert store.verify_log() == ["revision 6: the body does not have the digest that was written with it"]

    def test_an_altered_time_is_found(self, store: Store, client: redis.Redis) -> None:
        def earlier(entries: list[Any]) -> list[Any]:
            return [(i, {**f, b"at": b"1"} if i == b"6-0" else f) for i, f in entries]

        _rewrite(client, earlier)
        assert store.verify_log() == ["revision 6: the hash does not follow from the entry before"]

    def test_a_missing_entry_is_found(self, store: Store, client: redis.Redis) -> None:
        client.xdel(LOG, "6-0")
        assert store.verify_log() == ["revision 6: missing from the log"]

    def test_missing_first_entries_are_found(self, store: Store, client: redis.Redis) -> None:
        client.xdel(LOG, "1-0", "2-0")
        assert store.verify_log() == ["revisions 1 to 2: missing from the log"]

    def test_missing_last_entries_are_found(self, store: Store, client: redis.Redis) -> None:
        client.xdel(LOG, "11-0")
        assert store.verify_log()[0] == "revision 11: missing from the log"

    def test_reordered_entries_are_found(self, store: Store, client: redis.Redis) -> None:
        def swapped(entries: list[Any]) -> list[Any]:
            fields = dict(entries)
            fields[b"5-0"], fields[b"6-0"] = fields[b"6-0"], fields[b"5-0"]
            return list(fields.items())

        _rewrite(client, swapped)
        faults = store.verify_log()
        assert "revision 5: the hash does not follow from the entry before" in faults
        assert "revision 6: the hash does not follow from the entry before" in faults

    def test_an_altered_document_is_found(self, store: Store, client: redis.Redis) -> None:
        client.hset("{downhaul}:docs", "flag/checkout/flag-1", '{"n":99}')
        assert store.verify_log() == ["flag/checkout/flag-1: what is stored is not what the log last wrote"]

    def test_a_document_that_nobody_wrote_is_found(self, store: Store, client: redis.Redis) -> None:
        client.hset("{downhaul}:docs", "flag/checkout/planted", "{}")
        client.hset("{downhaul}:versions", "flag/checkout/planted", "3")
        assert store.verify_log() == ["flag/checkout/planted: it is stored, but the log never wrote it"]

    def test_the_follower_refuses_an_entry_that_does_not_follow(self, store: Store, client: redis.Redis) -> None:
        client.xadd(LOG, {"at": "1", "digest": "d", "chain": "c", "body": "{}"}, id="12-0")
        wait_until(lambda: store.health()["state"] == "diverged", "the forged entry is noticed")
        assert store.view.revision == 11
        with pytest.raises(StoreDiverged, match="damaged"):
            store.commit(change())

    def test_a_log_trimmed_under_the_follower_makes_it_load_again(
        self, store: Store, client: redis.Redis, backend: Any, open_store: Any
    ) -> None:
        lagging = open_store(backend)
        writer = open_store(backend)
        lagging._follower.stop()
        for _ in range(3):
            writer.commit(change(FLAG, {"n": 1}))
        client.xtrim(LOG, maxlen=1)
        restarted = open_store(backend, connections=backend.connections())
        assert everything(restarted) == everything(writer)
        writer.commit(change(FLAG, {"n": 2}))
        assert restarted.wait_for(writer.view.revision, 10)


def _rewrite(client: redis.Redis, alter: Any) -> None:
    """Replace the whole stream with an altered copy, as somebody with access to Redis could, in one step."""
    entries = alter(client.xrange(LOG))
    transaction = client.pipeline(transaction=True)
    transaction.delete(LOG)
    for entry_id, fields in entries:
        transaction.xadd(LOG, fields, id=entry_id)
    transaction.execute()


def _altered(entries: list[Any], entry_id: bytes, old: bytes, new: bytes) -> list[Any]:
    altered = [
        (i, {**fields, b"body": fields[b"body"].replace(old, new)} if i == entry_id else fields)
        for i, fields in entries
    ]
    assert altered != entries, "nothing was altered"
    return altered
