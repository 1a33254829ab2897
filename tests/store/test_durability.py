"""What the given Redis promises to keep, and what is said when it is less than it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from downhaul_server.store import programs
from downhaul_server.store.durability import inspect, warnings_of
from downhaul_server.store.writer import Writer, prepare
from redis.exceptions import ResponseError
from support.redis import RealRedis
from support.store import FLAG, change
from support.waiting import wait_until
from support.writing import Writing


@pytest.mark.redis
class TestReport:
    def test_the_durable_configuration_promises_every_acknowledged_write(
        self, real: RealRedis, open_store: Any
    ) -> None:
        health = open_store(real).health()
        assert health["durability"] == {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory_policy": "noeviction",
            "survives_crash": "every acknowledged write",
            "replicas": 0,
            "replicas_wanted": 0,
            "min_replicas_to_write": "0",
            "kind": "single",
            "replicas_confirmed": None,
            "survives_failover": "nothing: no replica is connected",
        }
        assert health["warnings"] == []

    @pytest.mark.parametrize(
        ("settings", "survives", "warning"),
        [
            ({"appendonly": "no"}, "at most the last snapshot", "appendonly no"),
            ({"appendfsync": "everysec"}, "all but about the last second", "appendfsync everysec"),
            ({"appendfsync": "no"}, "what the operating system had written", "appendfsync no"),
            ({"maxmemory-policy": "allkeys-lru"}, "every acknowledged write", "allkeys-lru"),
        ],
    )
    def test_a_redis_that_promises_less_gets_a_warning(
        self, real: RealRedis, open_store: Any, settings: dict[str, str], survives: str, warning: str
    ) -> None:
        for name, value in settings.items():
            real.client().config_set(name, value)
        health = open_store(real).health()
        assert health["durability"]["survives_crash"] == survives
        (only,) = health["warnings"]
        assert warning in only

    def test_a_redis_that_refuses_to_tell_is_unknown(self, real: RealRedis, open_store: Any) -> None:
        real.client().execute_command("ACL", "SETUSER", "default", "-config", "-info")
        health = open_store(real).health()
        assert health["state"] == "following"
        assert health["durability"]["survives_crash"] == "unknown"
        assert health["durability"]["replicas"] is None
        assert any("CONFIG GET is refused" in warning for warning in health["warnings"])

    def test_a_restarted_redis_is_asked_again(self, tmp_path: Path, open_store: Any) -> None:
        durable = RealRedis(tmp_path / "redis")
        durable.start()
        store = open_store(durable)
        durable.stop()
        careless = RealRedis(tmp_path / "redis", "--appendfsync", "no", port=durable.port)
        careless.start()
        wait_until(lambda: store.health()["durability"]["appendfsync"] == "no", "the new promise is known")
        careless.kill()

    def test_it_is_asked_again_while_changes_never_stop(self, real: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        with Writing(store, "busy"):
            real.client().config_set("appendfsync", "no")
            wait_until(lambda: store.health()["durability"]["appendfsync"] == "no", "the new promise is known")

    def test_each_warning_is_logged(self, real: RealRedis, open_store: Any, caplog: pytest.LogCaptureFixture) -> None:
        real.client().config_set("appendfsync", "everysec")
        open_store(real)
        assert "syncs its append-only file late" in caplog.text


@pytest.mark.redis
class TestReplicas:
    @pytest.fixture
    def replica(self, real: RealRedis, tmp_path: Path) -> Iterator[RealRedis]:
        """A replica in step with the primary."""
        real.client().config_set("repl-diskless-sync-delay", 0)
        replica = RealRedis(tmp_path / "replica", "--replicaof", f"127.0.0.1 {real.port}")
        replica.start()
        # The replica calls its link up before the primary counts it, which it does with the first acknowledgement.
        wait_until(lambda: real.client().wait(1, 100) == 1, "the primary knows the replica to be in step")
        yield replica
        replica.kill()

    def test_a_write_says_how_many_replicas_hold_it(self, real: RealRedis, replica: RealRedis, open_store: Any) -> None:
        store = open_store(real, replicas=1)
        # A busy machine may keep the replica from answering within the time that a write has: then it says 0, rightly.
        wait_until(lambda: store.commit(change(FLAG, {"on": True})).replicas == 1, "the replica has confirmed a write")
        version = str(store.view.version(FLAG)).encode()
        assert replica.client().hget("{downhaul}:versions", FLAG) == version
        assert store.health()["warnings"] == []

    def test_a_repeated_operation_waits_for_replicas_too(
        self, real: RealRedis, replica: RealRedis, open_store: Any
    ) -> None:
        store = open_store(real, replicas=1)
        store.commit(change(FLAG, {"on": True}, operation="op"))
        again = change(FLAG, {"on": True}, operation="op")
        assert store.commit(again).replayed
        wait_until(lambda: store.commit(again).replicas == 1, "the replica has confirmed the write")

    def test_what_is_recalled_waits_for_replicas_too(
        self, real: RealRedis, replica: RealRedis, open_store: Any
    ) -> None:
        store = open_store(real, replicas=1)
        replica.pause()
        assert store.commit(change(FLAG, {"on": True}, operation="op")).replicas == 0
        recalled = store.recall("op")
        assert (recalled.replicas, recalled.survives) == (0, "crash")
        replica.resume()
        wait_until(lambda: store.recall("op").survives == "failover", "the replica has confirmed it since")

    def test_a_write_that_too_few_hold_says_so(self, real: RealRedis, replica: RealRedis, open_store: Any) -> None:
        store = open_store(real, replicas=2)
        wait_until(lambda: store.commit(change(FLAG, {"on": True})).replicas == 1, "the replica has confirmed a write")
        warnings = store.health()["warnings"]
        assert "the last change was confirmed by 1 of 2 replicas" in warnings
        assert "1 of 2 replicas are connected to Redis" in warnings

    def test_without_the_setting_nobody_is_asked(self, real: RealRedis, replica: RealRedis, open_store: Any) -> None:
        store = open_store(real)
        assert store.commit(change(FLAG, {"on": True})).replicas is None
        health = store.health()
        assert health["durability"]["survives_failover"] == "what the replicas had received"
        assert any("no change waits for one" in warning for warning in health["warnings"])

    def test_a_redis_without_waitaof_is_asked_for_it_once(
        self, real: RealRedis, open_store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []

        def unknown(_: redis.Redis, *numbers: int) -> list[int]:
            asked.append(1)
            raise ResponseError("unknown command 'WAITAOF'")

        monkeypatch.setattr(redis.Redis, "waitaof", unknown)
        writer = Writer(real.connections().writes, replicas=1)
        store = open_store(real)
        for number in range(2):
            committed = writer.commit(prepare(change(f"flag/a/{number}", {}), store.view))
            assert committed.replicas == 0
            store.wait_for(committed.revision, 10)
        assert asked == [1]


def test_nothing_unknown_is_called_durable() -> None:
    class Refusing:
        def config_get(self, name: str) -> dict[str, str]:
            raise ResponseError("unknown command 'CONFIG'")

        def info(self, section: str) -> dict[str, int]:
            raise ResponseError("unknown command 'INFO'")

    report = inspect(Refusing(), 1)  # type: ignore[arg-type]
    assert report["survives_crash"] == "unknown"
    assert len(warnings_of(report)) == 1


@pytest.mark.redis
class TestDisks:
    """A server that knows WAITAOF: the packaged Valkey, whatever this machine has."""

    @pytest.fixture
    def valkey(self, tmp_path: Path) -> Iterator[RealRedis]:
        server = RealRedis(tmp_path / "valkey", "--repl-diskless-sync-delay", "0", binary=programs.find(80).path)
        yield server.start()
        server.kill()

    @pytest.fixture
    def replica(self, valkey: RealRedis, tmp_path: Path) -> Iterator[RealRedis]:
        arguments = ("--replicaof", f"127.0.0.1 {valkey.port}")
        replica = RealRedis(tmp_path / "replica", *arguments, binary=programs.find(80).path).start()
        yield replica
        replica.kill()

    def test_a_write_counts_replicas_that_have_it_on_disk(
        self, valkey: RealRedis, replica: RealRedis, open_store: Any
    ) -> None:
        store = open_store(valkey, replicas=1)
        wait_until(lambda: store.commit(change(FLAG, {"on": True})).survives == "failover", "it is on its disk")

    def test_a_replica_that_keeps_no_file_confirms_nothing(
        self, valkey: RealRedis, replica: RealRedis, open_store: Any
    ) -> None:
        replica.client().config_set("appendonly", "no")
        wait_until(lambda: valkey.client().wait(1, 100) == 1, "it has everything in its memory")
        committed = open_store(valkey, replicas=1).commit(change(FLAG, {"on": True}))
        assert (committed.replicas, committed.survives) == (0, "crash")
