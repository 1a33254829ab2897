"""Looking back: the view at an earlier revision, or nothing where the log cannot tell."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.store import Store, View, rewind
from downhaul_server.store.commits import CREATE, RECOVER
from downhaul_server.store.keys import LOG
from support.redis import FakeRedis, RealRedis
from support.store import FLAG, change
from support.waiting import wait_until

OTHER = "flag/payments/new-ledger"
TOUCH = (("checkout", "production"),)


def documents(view: View) -> list[tuple[str, int, dict[str, Any]]]:
    return [(document.address, document.version, dict(document.body)) for document in view]


def history(store: Store) -> dict[int, View]:
    """Documents come, change, go and come again; the view at each revision."""
    views = {store.view.revision: store.view}
    for commit in (
        change(FLAG, {"on": True}, touches=TOUCH),
        change(OTHER, {"on": True}),
        change(FLAG, {"on": False}, touches=TOUCH),
        change(FLAG, delete=True, touches=TOUCH),
        change(FLAG, {"on": 1}, touches=TOUCH),
        change(OTHER, {"on": False}),
    ):
        store.commit(commit)
        views[store.view.revision] = store.view
    return views


def test_every_earlier_view_can_be_had_again(store: Store) -> None:
    views = history(store)
    for revision, view in views.items():
        found = store.rewind(store.view, revision)
        assert found is not None
        assert documents(found) == documents(view)
        assert (found.epoch, found.revision, found.chain) == (view.epoch, view.revision, view.chain)


def test_it_begins_at_any_view_not_only_at_the_newest(store: Store) -> None:
    views = history(store)
    found = store.rewind(views[5], 3)
    assert found is not None and documents(found) == documents(views[3])


def test_what_has_not_changed_since_is_the_same_object(store: Store) -> None:
    history(store)
    found = store.rewind(store.view, 6)
    assert found is not None and found.get(FLAG) is store.view.get(FLAG)


def test_touches_since_then_do_not_look_newer_than_the_view(store: Store) -> None:
    history(store)
    found = store.rewind(store.view, 3)
    assert found is not None and found.touched("checkout", "production") == 3


@pytest.mark.parametrize("revision", [0, -1, 8, 1_000_000_000])
def test_revisions_that_were_never_there_are_none(store: Store, revision: int) -> None:
    history(store)
    assert store.view.revision == 7
    assert store.rewind(store.view, revision) is None


def test_a_log_that_was_trimmed_cannot_tell(store: Store, backend: FakeRedis | RealRedis) -> None:
    history(store)
    backend.client().xtrim(LOG, maxlen=3, approximate=False)
    assert store.rewind(store.view, 4) is None
    assert store.rewind(store.view, 5) is not None


def test_a_gap_in_the_log_cannot_be_bridged(store: Store, backend: FakeRedis | RealRedis) -> None:
    history(store)
    backend.client().xdel(LOG, "5-0")
    assert store.rewind(store.view, 3) is None


def test_a_damaged_entry_is_not_believed(store: Store, backend: FakeRedis | RealRedis) -> None:
    history(store)
    client = backend.client()
    client.xtrim(LOG, maxlen=0)
    client.delete(LOG)
    client.xadd(LOG, {"nonsense": "x"}, id="7-0")
    assert store.rewind(store.view, 5) is None


def test_too_far_back_is_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    history(store)
    monkeypatch.setattr(rewind, "MOST_ENTRIES", 3)
    assert store.rewind(store.view, 3) is None
    assert store.rewind(store.view, 4) is not None


def test_too_much_to_undo_is_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    history(store)
    monkeypatch.setattr(rewind, "MOST_BYTES", 1000)
    assert store.rewind(store.view, 2) is None
    assert store.rewind(store.view, 6) is not None


@pytest.mark.parametrize("action", [CREATE, RECOVER])
def test_the_beginning_of_a_history_is_not_looked_behind(store: Store, action: str) -> None:
    store.commit(change(FLAG))
    store.commit(change(FLAG, {"on": False}, action=action))
    assert store.rewind(store.view, 2) is None


@pytest.mark.redis
def test_while_redis_is_away_nobody_knows(real: RealRedis, open_store: Any) -> None:
    store = open_store(real)
    history(store)
    real.kill()
    assert store.rewind(store.view, 3) is None, "also before anybody has noticed"
    wait_until(lambda: store.health()["state"] == "away", "it is noticed")
    assert store.rewind(store.view, 3) is None
    real.start()
    wait_until(lambda: store.health()["state"] == "following", "it is back")
    assert store.rewind(store.view, 3) is not None
