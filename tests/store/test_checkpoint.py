"""The file from which a server starts while Redis is away."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.store import StoreDiverged, StoreUnavailable, View
from downhaul_server.store.checkpoint import Checkpoint, CheckpointCorruptError, FileLock
from downhaul_server.store.view import Document, Freshness
from support.redis import FakeRedis, RealRedis
from support.store import FLAG, change, everything
from support.waiting import wait_until


@pytest.fixture
def view() -> View:
    """A view worth keeping."""
    documents = [Document(FLAG, 3, {"text": "Grüße \ud800", "list": []}), Document("service/checkout", 2, {})]
    return View.of(documents, epoch="e1", revision=3, chain="c3", touched={"checkout@*": 3}, freshness=Freshness())


@pytest.fixture
def checkpoint(data_dir: Path, view: View) -> Checkpoint:
    """A checkpoint on disk."""
    checkpoint = Checkpoint(data_dir)
    checkpoint.save(view)
    return checkpoint


class TestFile:
    def test_what_is_saved_is_what_is_loaded(self, checkpoint: Checkpoint, view: View) -> None:
        loaded = checkpoint.load(Freshness())
        assert loaded is not None
        assert list(loaded) == list(view)
        assert (loaded.epoch, loaded.revision, loaded.chain) == ("e1", 3, "c3")
        assert loaded.touched("checkout", "production") == 3

    def test_it_is_readable_json_for_its_owner_alone(self, checkpoint: Checkpoint) -> None:
        found = json.loads(checkpoint.path.read_text())
        assert found["documents"]["service/checkout"] == {"body": {}, "version": 2}
        assert stat.S_IMODE(checkpoint.path.stat().st_mode) == 0o600

    def test_saving_leaves_nothing_else_behind(self, checkpoint: Checkpoint) -> None:
        assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.json"]

    def test_its_age_is_known(self, checkpoint: Checkpoint) -> None:
        # A day older, and sealed again: the age is read from the file, not from the file system.
        _reseal(checkpoint.path, rb'"saved_at":"\d{4}', b'"saved_at":"2020')
        loaded = checkpoint.load(Freshness())
        assert loaded is not None
        assert loaded.age_s > 365 * 24 * 3600

    def test_no_file_is_no_view(self, data_dir: Path) -> None:
        assert Checkpoint(data_dir).load(Freshness()) is None

    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: b"",
            lambda text: b"{}",
            lambda text: text[: len(text) // 2],
            lambda text: text.replace(b'"version":3', b'"version":4'),
            lambda text: text + b"\n",
            lambda text: bytes(len(text)),
        ],
        ids=["empty", "another file", "truncated", "altered", "appended", "zeroes"],
    )
    def test_a_corrupt_file_is_set_aside_and_never_served(self, checkpoint: Checkpoint, damage: Any) -> None:
        damaged = damage(checkpoint.path.read_bytes())
        checkpoint.path.write_bytes(damaged)
        with pytest.raises(CheckpointCorruptError, match=r"set aside as .*checkpoint\.json\.corrupt"):
            checkpoint.load(Freshness())
        assert checkpoint.load(Freshness()) is None
        assert checkpoint.path.with_name("checkpoint.json.corrupt").read_bytes() == damaged

    def test_a_file_of_another_schema_is_not_guessed_at(self, checkpoint: Checkpoint) -> None:
        _reseal(checkpoint.path, rb'"schema":1', b'"schema":2')
        with pytest.raises(CheckpointCorruptError, match="schema 2"):
            checkpoint.load(Freshness())


class TestLock:
    def test_one_holder_at_a_time(self, tmp_path: Path) -> None:
        one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
        assert one.acquire()
        assert not other.acquire()
        one.release()
        assert other.acquire()
        assert not one.acquire()
        other.release()


class TestKeeper:
    def test_a_change_reaches_the_file_while_the_server_runs(self, open_store: Any, data_dir: Path) -> None:
        store = open_store(FakeRedis())
        store.commit(change(FLAG, {"on": True}))
        wait_until((data_dir / "checkpoint.json").exists, "the checkpoint is written")

    def test_the_last_state_is_written_at_the_end(self, open_store: Any, data_dir: Path) -> None:
        store = open_store(FakeRedis())
        store.commit(change(FLAG, {"on": True}))
        store.close()
        view = Checkpoint(data_dir).load(Freshness())
        assert view is not None
        assert view.get(FLAG).body == {"on": True}  # type: ignore[union-attr]

    def test_of_two_workers_the_second_writes_when_the_first_is_gone(self, open_store: Any, data_dir: Path) -> None:
        redis = FakeRedis()
        first, second = open_store(redis), open_store(redis)
        first.close()
        second.commit(change(FLAG, {"on": True}))
        second.close()
        view = Checkpoint(data_dir).load(Freshness())
        assert view is not None
        assert view.version(FLAG) == 2

    def test_a_folder_that_cannot_be_written_is_reported(self, open_store: Any, data_dir: Path) -> None:
        store = open_store(FakeRedis())
        (data_dir / "checkpoint.json").mkdir()
        (data_dir / "checkpoint.json" / "in the way").touch()
        store.commit(change(FLAG, {"on": True}))
        wait_until(lambda: any("cannot be written" in line for line in store.health()["warnings"]), "the warning")


@pytest.mark.redis
class TestStart:
    def test_a_server_started_while_redis_is_away_serves_its_checkpoint(self, real: RealRedis, open_store: Any) -> None:
        first = open_store(real)
        first.commit(change(FLAG, {"on": True}, touches=(("checkout", "production"),)))
        before = everything(first)
        first.close()
        real.kill()

        store = open_store(real)

        health = store.health()
        assert (health["state"], health["source"], health["revision"]) == ("away", "checkpoint", 2)
        assert everything(store) == before
        with pytest.raises(StoreUnavailable):
            store.commit(change())
        real.start()
        wait_until(lambda: store.health()["source"] == "redis", "Redis has taken over")
        assert store.commit(change(FLAG, {"on": False})).revision == 3

    def test_a_corrupt_checkpoint_is_reported_and_redis_is_loaded(
        self, real: RealRedis, open_store: Any, data_dir: Path
    ) -> None:
        (data_dir / "checkpoint.json").write_text("rubbish")
        store = open_store(real)
        assert store.health()["state"] == "following"
        assert any("checkpoint is corrupt" in line for line in store.health()["warnings"])

    def test_a_corrupt_checkpoint_is_not_served_while_redis_is_away(
        self, real: RealRedis, open_store: Any, data_dir: Path
    ) -> None:
        open_store(real).close()
        real.kill()
        path = data_dir / "checkpoint.json"
        path.write_bytes(path.read_bytes().replace(b"Production", b"Prodiction"))
        store = open_store(real)
        assert (store.health()["state"], store.health()["source"]) == ("loading", None)

    def test_a_checkpoint_that_is_ahead_of_redis_is_served_and_redis_is_not_adopted(
        self, real: RealRedis, open_store: Any, data_dir: Path
    ) -> None:
        store = open_store(real)
        view = store.view
        store.close()
        ahead = View.of(
            [*view, Document(FLAG, 9, {"on": True})],
            epoch=view.epoch,
            revision=9,
            chain="other",
            touched={},
            freshness=Freshness(),
        )
        Checkpoint(data_dir).save(ahead)
        again = open_store(real)
        assert again.health()["state"] == "diverged"
        assert everything(again)[FLAG] == {"on": True}
        with pytest.raises(StoreDiverged):
            again.commit(change())

    def test_a_checkpoint_of_another_store_is_served_and_redis_is_not_adopted(
        self, real: RealRedis, open_store: Any, data_dir: Path, view: View
    ) -> None:
        open_store(real, data_dir=_folder(data_dir.with_name("other"))).close()
        Checkpoint(data_dir).save(view)
        store = open_store(real)
        assert store.health()["state"] == "diverged"
        assert store.view.epoch == "e1"


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _reseal(path: Path, pattern: bytes, replacement: bytes) -> None:
    """Alter the content and give it a valid checksum."""
    import hashlib

    content = path.read_bytes().rpartition(b',"checksum"')[0]
    altered = re.sub(pattern, replacement, content)
    assert altered != content
    path.write_bytes(altered + f',"checksum":"sha256:{hashlib.sha256(altered).hexdigest()}"}}\n'.encode())
