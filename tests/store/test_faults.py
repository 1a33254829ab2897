"""What is promised about Redis's bad days, on a real Redis."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from downhaul_server.store import Conflict, Stale, Store, StoreDiverged, StoreUnavailable
from downhaul_server.store.checkpoint import Checkpoint
from downhaul_server.store.connections import READ_TIMEOUT_S, Connections
from downhaul_server.store.follower import LONGEST_PAUSE_S
from downhaul_server.store.recover import from_checkpoint, from_redis
from downhaul_server.store.view import Freshness
from downhaul_server.store.writer import Writer, prepare
from support.proxy import BOTH, Proxy, Silence
from support.redis import REAL_BLOCK_S, RealRedis, TcpProxy
from support.store import FLAG, change, everything
from support.waiting import wait_until

pytestmark = pytest.mark.redis

PROMPTLY_S = 2.5
"""A second is promised (WRITE_TIMEOUT_S; less where nobody listens); the rest is for a busy machine."""


def is_in_state(store: Store, state: str) -> None:
    """Wait for a state."""
    wait_until(lambda: store.health()["state"] == state, f"the store is {state}: {store.health()}")


class TestRaces:
    def test_of_two_writers_of_one_flag_one_wins_and_the_other_learns_the_newer_version(
        self, real: RealRedis, open_store: Any
    ) -> None:
        stores = [open_store(real), open_store(real)]
        version = stores[0].commit(change(FLAG, {"round": 0})).revision
        for round_ in range(1, 21):
            for store in stores:
                assert store.wait_for(version, 10)
            start = threading.Barrier(2)

            def write(
                number: int, round_: int = round_, version: int = version, start: threading.Barrier = start
            ) -> int | Conflict:
                start.wait()
                try:
                    body = {"round": round_, "by": number}
                    return stores[number].commit(change(FLAG, body, expect={FLAG: version})).revision
                except Conflict as conflict:
                    return conflict

            with ThreadPoolExecutor(2) as pool:
                outcomes = list(pool.map(write, range(2)))
            (won,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
            (lost,) = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
            assert lost.current_version == won
            document = stores[outcomes.index(won)].view.get(FLAG)
            assert document.body == {"round": round_, "by": outcomes.index(won)}
            version = won
        assert [entry.changes[0].after["round"] for entry in stores[0].log(limit=21)] == list(range(20, -1, -1))

    def test_writers_that_build_on_a_revision_are_put_in_one_order(self, real: RealRedis, open_store: Any) -> None:
        stores = [open_store(real), open_store(real), open_store(real)]
        stores[0].commit(change(FLAG, {"count": 0}))

        def increment(store: Store) -> None:
            done = 0
            while done < 15:
                view = store.view
                document = view.get(FLAG)
                if document is None:
                    store.wait_for(view.revision + 1, 1)
                    continue
                try:
                    store.commit(change(FLAG, {"count": document.body["count"] + 1}, base=view.revision))
                    done += 1
                except (Stale, Conflict):
                    continue

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(increment, stores))
        assert stores[0].log(limit=1)[0].changes[0].after == {"count": 45}


class TestLostAnswers:
    @pytest.fixture
    def proxy(self, real: RealRedis) -> Iterator[TcpProxy]:
        """The line that writes go through."""
        proxy = TcpProxy(real.port)
        yield proxy
        proxy.close()

    @pytest.fixture
    def store(self, real: RealRedis, proxy: TcpProxy, open_store: Any) -> Store:
        writes = Connections.to(proxy.url).writes
        store: Store = open_store(real, connections=replace(real.connections(), writes=writes))
        store.commit(
            change("flag/other/flag", {})
        )  # from here on Redis knows the script, so that one request is enough
        return store

    def test_a_line_cut_after_the_commit_is_survived_within_the_same_call(self, store: Store, proxy: TcpProxy) -> None:
        proxy.lose_answer_to(b"launch-it", then="cut")
        committed = store.commit(change(FLAG, {"on": True}, reason="launch-it"))
        assert proxy.lost == 1
        assert (committed.revision, committed.replayed) == (3, True)
        assert [entry.reason for entry in store.log(limit=2)] == ["launch-it", None]

    @pytest.mark.parametrize("expect", [{}, {FLAG: 0}], ids=["no expectation", "expected absent"])
    def test_an_answer_never_received_can_be_asked_for_again(
        self, store: Store, proxy: TcpProxy, expect: dict[str, int]
    ) -> None:
        commit = change(FLAG, {"on": True}, operation="op-lost", expect=expect, result={"id": 1})
        proxy.lose_answer_to(b"op-lost", then="silent")
        with pytest.raises(StoreUnavailable) as lost:
            store.commit(commit)
        assert lost.value.outcome_unknown
        assert store.wait_for(3, 10)

        again = store.commit(commit)

        assert (again.revision, again.replayed, again.result) == (3, True, {"id": 1})
        assert store.log(limit=1)[0].revision == 3

    def test_a_redis_that_cannot_be_reached_is_known_to_have_written_nothing(
        self, store: Store, proxy: TcpProxy
    ) -> None:
        proxy.close()
        with pytest.raises(StoreUnavailable):
            store.commit(change(FLAG, {"on": True}))
        with pytest.raises(StoreUnavailable) as refused:
            store.commit(change(FLAG, {"on": True}))
        assert not refused.value.outcome_unknown
        assert store.log(limit=1)[0].revision == 2


class TestKilledRedis:
    def test_every_acknowledged_write_survives_kill_9_in_a_stream_of_writes(
        self, real: RealRedis, open_store: Any
    ) -> None:
        store = open_store(real)
        acknowledged: dict[str, int] = {}
        enough = threading.Event()

        def write(writer: int) -> None:
            for number in range(100_000):
                address = f"flag/writer-{writer}/flag-{number}"
                try:
                    acknowledged[address] = store.commit(change(address, {"n": number})).revision
                except StoreUnavailable:
                    return
                if len(acknowledged) >= 150:
                    enough.set()

        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write, number) for number in range(3)]
            assert enough.wait(60)
            real.kill()
            for writer in writers:
                writer.result(timeout=60)
        real.start()

        is_in_state(store, "following")
        fresh = open_store(real)
        assert {address: fresh.view.version(address) for address in acknowledged} == acknowledged
        assert store.verify_log() == []
        wait_until(lambda: everything(store) == everything(fresh), "the survivor has caught up")

    @pytest.mark.slow
    def test_redis_away_for_ten_seconds_stops_no_read_fails_writes_fast_and_needs_no_restart(
        self, real: RealRedis, open_store: Any
    ) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        real.kill()
        is_in_state(store, "away")
        for seconds in range(1, 11):
            wait_until(lambda seconds=seconds: store.view.age_s >= seconds, "time passes")
            assert store.view.get(FLAG).body == {"on": True}
            assert store.health()["age_s"] >= seconds
            assert _refusal_s(lambda: store.commit(change(FLAG, {"on": False}))) < PROMPTLY_S
        with pytest.raises(StoreUnavailable):
            store.log()

        real.start()
        wait_until(lambda: _commits(store), "a write is taken again, without a restart")
        is_in_state(store, "following")
        assert store.view.get(FLAG).body == {"on": False}
        wait_until(lambda: store.view.age_s < LONGEST_PAUSE_S, "the view is fresh again")

    def test_connections_that_a_restart_broke_fail_neither_a_write_nor_a_repeated_one(
        self, real: RealRedis, open_store: Any
    ) -> None:
        store = open_store(real)
        first = store.commit(change(FLAG, {"on": True}, operation="op"))
        for _ in range(2):
            real.kill()
            real.start()
            is_in_state(store, "following")
            assert store.recall("op").revision == first.revision
            real.kill()
            real.start()
            is_in_state(store, "following")
            store.commit(change(FLAG, {"on": True}))

    def test_a_redis_that_hangs_fails_a_write_sooner_than_a_read(self, real: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        real.pause()
        assert _refusal_s(lambda: store.commit(change(FLAG, {"on": False}))) < PROMPTLY_S < READ_TIMEOUT_S
        assert store.view.get(FLAG).body == {"on": True}
        is_in_state(store, "away")
        real.resume()
        is_in_state(store, "following")


class TestAnotherHistory:
    def test_an_empty_redis_coming_back_is_not_adopted(self, real: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        real.kill()
        real.forget_everything()
        real.start()

        is_in_state(store, "diverged")
        assert "Redis is empty" in store.health()["reason"]
        assert store.view.get(FLAG).body == {"on": True}
        for refused in (lambda: store.commit(change()), store.log, lambda: store.recall("op")):
            with pytest.raises(StoreDiverged):
                refused()
        assert real.client().dbsize() == 0, "nothing was written into the empty Redis"

    def test_a_redis_emptied_under_an_open_connection_is_noticed(self, real: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        real.client().flushall()
        is_in_state(store, "diverged")
        assert store.view.get(FLAG).body == {"on": True}

    def test_an_empty_redis_is_refused_by_the_very_next_write(self, real: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        store._follower.stop()
        real.client().flushall()
        with pytest.raises(StoreDiverged, match="no store"):
            store.commit(change(FLAG, {"on": False}))

    def test_a_store_restored_from_an_older_copy_is_not_adopted(
        self, real: RealRedis, open_store: Any, tmp_path: Path
    ) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        _go_back_by_one_commit(real, store, tmp_path)

        is_in_state(store, "diverged")
        assert "back at revision 2" in store.health()["reason"]
        assert store.view.get(FLAG).body == {"on": False}

    def test_a_history_that_went_on_differently_is_not_adopted(
        self, real: RealRedis, open_store: Any, tmp_path: Path
    ) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        _go_back_by_one_commit(real, store, tmp_path, away=True)
        store.close()
        newcomer_dir = tmp_path / "newcomer"
        newcomer_dir.mkdir()
        newcomer = open_store(real, data_dir=newcomer_dir)
        for _ in range(3):
            newcomer.commit(change("flag/other/flag", {}))

        back = open_store(real)
        assert "another history" in back.health()["reason"]
        assert back.view.get("flag/other/flag") is None
        is_in_state(newcomer, "diverged")
        assert "lacks revision 3" in newcomer.health()["reason"]
        with pytest.raises(StoreDiverged):
            newcomer.commit(change("flag/other/flag", {}))

    @pytest.mark.parametrize(("decide", "by", "on"), [(from_checkpoint, 0, False), (from_redis, 1, True)])
    def test_what_one_server_knows_to_be_lost_no_other_goes_on_without(
        self, real: RealRedis, open_store: Any, tmp_path: Path, decide: Callable[..., Any], by: int, on: bool
    ) -> None:
        """It had not yet served what was lost. What it acknowledged now might be taken for what others have."""
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        (other_dir := tmp_path / "other").mkdir()
        open_store(real, data_dir=other_dir).close()
        _go_back_by_one_commit(real, store, tmp_path)
        is_in_state(store, "diverged")

        other = open_store(real, data_dir=other_dir)
        with pytest.raises(StoreDiverged):
            other.commit(change(FLAG, {"on": True}))
        is_in_state(other, "diverged")
        assert other.view.get(FLAG).body == {"on": True}, "who asks it has what they had"

        (folder := tmp_path / "checkpoint").mkdir()
        Checkpoint(folder).save((store, other)[by].view)
        served = Checkpoint(folder).load(Freshness())
        assert served is not None
        decide(real.connections(), served, actor="grace", reason="an operator has looked at both")
        for each in (store, other):
            is_in_state(each, "following")
            wait_until(lambda each=each: each.view.get(FLAG).body == {"on": on}, "it has taken it over")
        assert other.commit(change(FLAG, {"on": True})).applied

    def test_what_was_acknowledged_and_has_never_come_by_is_not_lost_silently(
        self, real: RealRedis, open_store: Any, tmp_path: Path
    ) -> None:
        """As when it went to a primary that was none any more, while the log was read from the new one already."""
        line = Proxy(real.port)
        store = open_store(real, connections=replace(real.connections(), follower=_follower(line)))
        store.commit(change(FLAG, {"on": True}))
        real.kill()
        shutil.copytree(real.folder, tmp_path / "older")
        real.start()
        is_in_state(store, "following")
        line.set(Silence(ways=BOTH))
        assert not store.commit(change(FLAG, {"on": False})).applied
        real.kill()
        shutil.rmtree(real.folder)
        shutil.copytree(tmp_path / "older", real.folder)
        real.start()
        line.clear()
        is_in_state(store, "diverged")
        assert "lacks revision 3" in store.health()["reason"]
        with pytest.raises(StoreDiverged):
            store.commit(change(FLAG, {"on": False}))
        line.close()

    def test_what_was_acknowledged_and_comes_by_late_is_well(self, real: RealRedis, open_store: Any) -> None:
        line = Proxy(real.port)
        store = open_store(real, connections=replace(real.connections(), follower=_follower(line)))
        line.set(Silence(ways=BOTH))
        committed = store.commit(change(FLAG, {"on": False}))
        assert not committed.applied
        open_store(real).commit(change("flag/other/flag", {}))
        line.clear()
        assert store.wait_for(committed.revision + 1, 30)
        assert store.commit(change(FLAG, {"on": True})).applied
        assert store.health()["state"] == "following"
        line.close()

    def test_a_server_that_has_nothing_serves_what_is_left_and_commits_nothing(
        self, real: RealRedis, open_store: Any, tmp_path: Path
    ) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        _go_back_by_one_commit(real, store, tmp_path)
        is_in_state(store, "diverged")
        (newcomer_dir := tmp_path / "newcomer").mkdir()
        newcomer = open_store(real, data_dir=newcomer_dir)
        with pytest.raises(StoreDiverged):
            newcomer.commit(change("flag/other/flag", {}))
        is_in_state(newcomer, "diverged")
        assert newcomer.view.get(FLAG).body == {"on": True}

    def test_a_write_that_builds_on_another_history_is_refused_by_redis_itself(
        self, real: RealRedis, open_store: Any, tmp_path: Path
    ) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        _go_back_by_one_commit(real, store, tmp_path, away=True)
        newcomer_dir = tmp_path / "newcomer"
        newcomer_dir.mkdir()
        newcomer = open_store(real, data_dir=newcomer_dir)
        writer = Writer(real.connections().writes, replicas=0)
        with pytest.raises(StoreDiverged, match="revision 2"):
            writer.commit(prepare(change(), store.view))
        for _ in range(3):
            newcomer.commit(change("flag/other/flag", {}))
        with pytest.raises(StoreDiverged, match="another entry at revision 3"):
            writer.commit(prepare(change(), store.view))

    def test_the_right_redis_coming_back_ends_the_divergence(self, real: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        real.kill()
        impostor = RealRedis(real.folder.with_name("impostor"), port=real.port)
        impostor.start()
        is_in_state(store, "diverged")
        impostor.kill()
        real.start()
        is_in_state(store, "following")
        assert store.commit(change(FLAG, {"on": False})).applied

    def test_a_store_of_a_newer_release_is_left_alone(self, real: RealRedis, open_store: Any, tmp_path: Path) -> None:
        open_store(real).close()
        real.client().hset("{downhaul}:meta", "schema", "2")
        other = tmp_path / "other"
        other.mkdir()
        store = open_store(real, data_dir=other)
        assert store.health()["state"] == "diverged"
        assert "schema 2" in store.health()["reason"]
        with pytest.raises(StoreUnavailable):
            _ = store.view

    def test_nothing_is_written_into_a_store_of_a_newer_release(self, real: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        store.commit(change(FLAG, {"on": True}))
        real.client().hset("{downhaul}:meta", mapping={"schema": "2", "revision": "1"})
        is_in_state(store, "diverged")
        assert "schema 2" in store.health()["reason"]
        assert not real.client().hexists("{downhaul}:meta", "lost")

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (("DEL", "{downhaul}:meta"), "no {downhaul}:meta"),
            (("HSET", "{downhaul}:meta", "revision", "many"), "damaged"),
            (("HDEL", "{downhaul}:versions", FLAG), "do not match"),
            (("HSET", "{downhaul}:docs", FLAG, "{"), "damaged"),
            (("HSET", "{downhaul}:docs", FLAG, "[]"), "damaged"),
        ],
    )
    def test_a_damaged_store_is_reported_and_not_served(
        self, real: RealRedis, open_store: Any, tmp_path: Path, damage: tuple[str, ...], reason: str
    ) -> None:
        first = open_store(real)
        first.commit(change(FLAG, {"on": True}))
        first.close()
        real.client().execute_command(*damage)
        other = tmp_path / "other"
        other.mkdir()
        store = open_store(real, data_dir=other)
        assert store.health()["state"] == "diverged"
        assert reason in store.health()["reason"]


def test_a_start_without_redis_and_without_a_checkpoint_waits_for_redis(real: RealRedis, open_store: Any) -> None:
    real.stop()
    store = open_store(real)
    assert store.health()["state"] == "loading"
    assert store.health()["revision"] is None
    with pytest.raises(StoreUnavailable, match="nothing has been loaded"):
        _ = store.view
    with pytest.raises(StoreUnavailable):
        store.commit(change())
    real.start()
    is_in_state(store, "following")
    assert store.commit(change()).applied


def test_it_works_under_gevent(real: RealRedis, data_dir: Path) -> None:
    program = f"""
from gevent import monkey; monkey.patch_all()
import gevent
from pathlib import Path
from downhaul_server.settings import Settings
from downhaul_server.store import Commit, Store
settings = Settings(data_dir=Path({str(data_dir)!r}), redis_url={real.url!r})
with Store.open(settings) as one, Store.open(settings) as other:
    write = lambda n: one.commit(Commit(action="a", actor={{}}, writes={{f"flag/s/{{n}}": {{}}}}))
    jobs = [gevent.spawn(write, n) for n in range(20)]
    gevent.joinall(jobs, raise_error=True)
    assert all(job.value.applied for job in jobs)
    assert other.wait_for(21, 10) and len(other.view.of_kind("flag/s/")) == 20
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


def _refusal_s(write: Callable[[], Any]) -> float:
    """How long a write took to be refused, in seconds."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        write()
    return time.monotonic() - began


def _follower(line: Proxy) -> redis.Redis:
    return Connections.to(line.redis_url, block_s=REAL_BLOCK_S).follower


def _commits(store: Store) -> bool:
    try:
        return store.commit(change(FLAG, {"on": False})).applied
    except StoreUnavailable:
        return False


def _go_back_by_one_commit(real: RealRedis, store: Store, tmp_path: Path, *, away: bool = False) -> None:
    """One more commit, then Redis is back with the files that it had before. `away`: the store does not look again."""
    real.kill()
    shutil.copytree(real.folder, tmp_path / "older")
    real.start()
    wait_until(lambda: _commits(store), "the last commit")
    if away:
        store._follower.stop()
    real.kill()
    shutil.rmtree(real.folder)
    shutil.copytree(tmp_path / "older", real.folder)
    real.start()
