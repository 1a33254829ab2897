"""An operator decides which history stands, and the running servers take it over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.store import Store, StoreUnavailable, View
from downhaul_server.store.checkpoint import Checkpoint
from downhaul_server.store.recover import RecoverRefused, from_checkpoint, from_redis
from downhaul_server.store.view import Freshness
from support.redis import RealRedis
from support.store import FLAG, change, everything
from support.waiting import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture
def served(real: RealRedis, open_store: Any) -> Store:
    """A running server with a history."""
    store = open_store(real)
    store.commit(change(FLAG, {"on": True}, touches=(("checkout", "production"),)))
    store.commit(change("flag/checkout/other", {"on": False}))
    return store


def checkpoint_of(store: Store, data_dir: Path) -> View:
    """What the server's checkpoint holds, in a file of our own (the server writes its own now and then)."""
    copy = data_dir / "copy"
    copy.mkdir()
    Checkpoint(copy).save(store.view)
    view = Checkpoint(copy).load(Freshness())
    assert view is not None
    return view


def lose_everything(real: RealRedis, store: Store) -> None:
    """Redis comes back empty, and the server has seen it."""
    real.kill()
    real.forget_everything()
    real.start()
    wait_until(lambda: store.health()["state"] == "diverged", "the server has noticed")


def test_what_the_servers_remember_is_written_into_the_empty_redis(
    real: RealRedis, served: Store, data_dir: Path, open_store: Any
) -> None:
    checkpoint = checkpoint_of(served, data_dir)
    lose_everything(real, served)

    recovered = from_checkpoint(real.connections(), checkpoint, actor="grace", reason="the disk died")

    assert (recovered.succeeds, recovered.revision, recovered.documents) == (checkpoint.epoch, 4, 4)
    wait_until(lambda: served.view.epoch == recovered.epoch, "the running server has taken it over")
    wait_until(lambda: served.health()["state"] == "following", "it follows")
    assert served.view.revision == 4
    assert everything(served) == {document.address: document.body for document in checkpoint}
    assert served.view.version(FLAG) == 2, "versions stand, so nobody's ETag breaks"
    assert served.view.succeeds == (checkpoint.epoch,)
    assert served.view.touched("checkout", "production") == 2
    (entry,) = served.log()
    assert (entry.action, entry.actor["name"], entry.reason) == ("store.recover", "grace", "the disk died")
    assert served.verify_log() == []
    assert served.commit(change(FLAG, {"on": False})).revision == 5
    assert served.verify_log() == []
    assert everything(open_store(real)) == everything(served)


def test_who_was_succeeded_before_is_not_forgotten(
    real: RealRedis, served: Store, data_dir: Path, open_store: Any
) -> None:
    epochs: list[str] = []
    for number in range(2):
        (folder := data_dir / str(number)).mkdir()
        checkpoint = checkpoint_of(served, folder)
        epochs.insert(0, checkpoint.epoch)
        lose_everything(real, served)
        recovered = from_checkpoint(real.connections(), checkpoint, actor="grace", reason="the disk died")
        wait_until(lambda: served.view.epoch == recovered.epoch, "the running server has taken it over")  # noqa: B023
        wait_until(lambda: served.health()["state"] == "following", "it follows")
        served.commit(change("flag/checkout/another", {"round": number}))
        assert served.view.succeeds == tuple(epochs)


def test_what_redis_holds_is_kept_under_a_new_epoch(
    real: RealRedis, served: Store, data_dir: Path, open_store: Any, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of(served, data_dir)
    lose_everything(real, served)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    newcomer = open_store(real, data_dir=elsewhere)
    newcomer.commit(change("flag/new/world", {"on": True}))

    recovered = from_redis(real.connections(), checkpoint, actor="grace", reason="the backup was restored")

    for store in (served, newcomer):
        wait_until(lambda store=store: store.view.epoch == recovered.epoch, "the server has taken it over")
        wait_until(lambda store=store: store.health()["state"] == "following", "it follows")
    assert everything(served) == everything(newcomer)
    assert served.view.get(FLAG) is None
    assert [entry.action for entry in served.log()] == ["store.recover", "flag.replace", "store.create"]
    assert served.verify_log() == []
    assert newcomer.commit(change(FLAG, {})).applied


def test_a_server_that_was_down_takes_the_decision_over_when_it_starts(
    real: RealRedis, served: Store, data_dir: Path, open_store: Any
) -> None:
    checkpoint = checkpoint_of(served, data_dir)
    lose_everything(real, served)
    served.close()
    recovered = from_checkpoint(real.connections(), checkpoint, actor="grace", reason="the disk died")
    restarted = open_store(real)
    assert restarted.health()["state"] == "following"
    assert restarted.view.epoch == recovered.epoch


def test_what_was_served_wins_over_a_redis_that_is_behind_and_the_log_stays(
    real: RealRedis, served: Store, data_dir: Path, open_store: Any, tmp_path: Path
) -> None:
    backup = tmp_path / "behind"
    shutil.copytree(real.folder, backup)
    served.commit(change(FLAG, {"on": False}, action="flag.kill"))
    served.commit(change("flag/checkout/other", delete=True))
    served.commit(change("flag/checkout/newer", {"on": True}))
    checkpoint = checkpoint_of(served, data_dir)
    real.kill()
    real.forget_everything()
    shutil.copytree(backup, real.folder, dirs_exist_ok=True)
    real.start()
    wait_until(lambda: served.health()["state"] == "diverged", "the server has noticed")

    recovered = from_checkpoint(real.connections(), checkpoint, actor="grace", reason="a stale replica was promoted")

    assert (recovered.succeeds, recovered.revision) == (checkpoint.epoch, 4)
    wait_until(lambda: served.view.epoch == recovered.epoch, "the running server has taken it over")
    wait_until(lambda: served.health()["state"] == "following", "it follows")
    assert everything(served) == {document.address: document.body for document in checkpoint}
    entry, *before = served.log()
    assert {each.address: (each.before, each.after) for each in entry.changes} == {
        FLAG: ({"on": True}, {"on": False}),
        "flag/checkout/other": ({"on": False}, None),
        "flag/checkout/newer": (None, {"on": True}),
    }
    assert [each.action for each in before] == ["flag.replace", "flag.replace", "store.create"]
    assert served.verify_log() == []
    assert served.view.touched("checkout", "production") == 4, "nobody's snapshot passes for unchanged"
    assert served.commit(change(FLAG, {"on": True})).revision == 5
    assert everything(open_store(real)) == everything(served)


def test_from_checkpoint_refuses_when_there_is_nothing_to_decide(
    real: RealRedis, served: Store, data_dir: Path
) -> None:
    with pytest.raises(RecoverRefused, match="nothing to decide"):
        from_checkpoint(real.connections(), checkpoint_of(served, data_dir), actor="grace", reason="?")
    assert served.log(limit=1)[0].action == "flag.replace"


def test_from_redis_refuses_an_empty_redis(real: RealRedis, served: Store, data_dir: Path) -> None:
    checkpoint = checkpoint_of(served, data_dir)
    lose_everything(real, served)
    with pytest.raises(RecoverRefused, match="empty"):
        from_redis(real.connections(), checkpoint, actor="grace", reason="?")
    assert real.client().dbsize() == 0


def test_from_redis_refuses_when_there_is_nothing_to_decide(real: RealRedis, served: Store, data_dir: Path) -> None:
    with pytest.raises(RecoverRefused, match="nothing to decide"):
        from_redis(real.connections(), checkpoint_of(served, data_dir), actor="grace", reason="?")
    assert served.log(limit=1)[0].action == "flag.replace"


def test_both_say_so_when_redis_is_away(real: RealRedis, served: Store, data_dir: Path) -> None:
    checkpoint = checkpoint_of(served, data_dir)
    real.stop()
    for way in (from_checkpoint, from_redis):
        with pytest.raises(StoreUnavailable):
            way(real.connections(), checkpoint, actor="grace", reason="?")
