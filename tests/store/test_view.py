"""The immutable copy that reads are served from."""

from __future__ import annotations

import pytest
from downhaul_server.store import Change, Document, Entry, View
from downhaul_server.store.view import Freshness
from support.store import ACTOR, FLAG


def view_of(*addresses: str, revision: int = 1) -> View:
    """A view of empty documents."""
    return View.of(
        [Document(address, 1, {}) for address in addresses],
        epoch="e",
        revision=revision,
        chain="c",
        touched={},
        freshness=Freshness(),
    )


def entry_of(revision: int, *changes: Change, touches: tuple[tuple[str, str], ...] = ()) -> Entry:
    """A log entry."""
    return Entry(
        revision, "2026-01-01T00:00:00.000Z", ACTOR, "a", None, touches, changes, "op", None, "d", f"c{revision}"
    )


def test_of_kind_lists_one_parent_or_all_under_a_prefix_in_address_order() -> None:
    view = view_of("flag/b/2", "flag/a-b/1", "flag/b/1", "flag/a/9", "service/b", "segment/x")
    assert [document.address for document in view.of_kind("flag/b/")] == ["flag/b/1", "flag/b/2"]
    assert [document.address for document in view.of_kind("flag/")] == [
        "flag/a-b/1",
        "flag/a/9",
        "flag/b/1",
        "flag/b/2",
    ]
    assert [document.key for document in view.of_kind("service/")] == ["b"]
    assert view.of_kind("flag/nobody/") == ()
    assert view.of_kind("key/") == ()


def test_iteration_gives_every_document_once() -> None:
    view = view_of("flag/b/2", "service/b", "flag/a/1")
    assert [document.address for document in view] == ["flag/a/1", "flag/b/2", "service/b"]
    assert len(view) == 3


def test_applying_an_entry_gives_a_new_view_and_leaves_the_old_one_alone() -> None:
    old = view_of("flag/a/1", "flag/a/2", "flag/b/1")
    new = old.apply(
        entry_of(
            2,
            Change("flag/a/1", 1, {}, {"on": True}),
            Change("flag/a/2", 1, {}, None),
            Change("flag/c/1", 0, None, {}),
            touches=(("a", "production"),),
        )
    )
    assert [(document.address, document.version) for document in new] == [
        ("flag/a/1", 2),
        ("flag/b/1", 1),
        ("flag/c/1", 2),
    ]
    assert (new.revision, new.chain, new.touched("a", "production")) == (2, "c2", 2)
    assert [(document.address, document.version) for document in old] == [
        ("flag/a/1", 1),
        ("flag/a/2", 1),
        ("flag/b/1", 1),
    ]
    assert (old.revision, old.chain, old.touched("a", "production")) == (1, "c", 0)


def test_what_an_entry_does_not_touch_is_shared_and_not_copied() -> None:
    old = view_of("flag/a/1", "flag/b/1", "flag/b/2")
    of_b = old.of_kind("flag/b/")
    new = old.apply(entry_of(2, Change("flag/a/1", 1, {}, {"on": True})))
    assert new.of_kind("flag/b/") is of_b
    assert new.get("flag/b/1") is old.get("flag/b/1")


def test_deleting_the_last_document_of_a_parent_leaves_an_empty_list() -> None:
    view = view_of("flag/a/1").apply(entry_of(2, Change("flag/a/1", 1, {}, None)))
    assert view.of_kind("flag/a/") == ()
    assert view.of_kind("flag/") == ()
    assert list(view) == []


@pytest.mark.parametrize("revision", [1, 3])
def test_only_the_next_entry_can_be_applied(revision: int) -> None:
    with pytest.raises(ValueError, match=f"revision {revision} does not follow 1"):
        view_of().apply(entry_of(revision))


def test_an_edited_copy_does_not_change_what_others_read() -> None:
    document = Document(FLAG, 1, {"rules": [{"name": "beta"}]})
    copy = document.edit()
    copy["rules"][0]["name"] = "changed"
    assert document.body == {"rules": [{"name": "beta"}]}


def test_all_views_of_a_process_share_their_age() -> None:
    freshness = Freshness()
    freshness.confirm(age_s=3600)
    view = View.of([], epoch="e", revision=1, chain="c", touched={}, freshness=freshness)
    newer = view.apply(entry_of(2))
    assert newer.age_s >= 3600
    freshness.confirm()
    assert view.age_s < 3600
