"""The log and the history: what was changed, told so that a person sees it, and only to those who may."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.differences import differences
from downhaul_server.services.errors import Forbidden, Invalid, NotFound
from downhaul_server.store import Commit
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, PRO, actor, rule


def log(services: Services, who: Actor = ADMIN, **filters: Any) -> list[str]:
    """Actions, newest first."""
    return [item["action"] for item in services.history.log(who, **filters).items]


class TestDifferences:
    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            ({"a": 1}, {"a": 1}, []),
            ({"a": 1}, {"a": 2}, [("replace", "/a", 1, 2)]),
            ({"a": 1}, {"a": True}, [("replace", "/a", 1, True)]),
            ({"a": 1}, {"b": 1}, [("remove", "/a", 1, None), ("add", "/b", None, 1)]),
            ({"a": [1, 2]}, {"a": [1, 3, 4]}, [("replace", "/a/1", 2, 3), ("add", "/a/2", None, 4)]),
            ({"a": [1, 2]}, {"a": [1]}, [("remove", "/a/1", 2, None)]),
            ({"a": {"b": None}}, {"a": {"b": {}}}, [("replace", "/a/b", None, {})]),
            ({"a/b": 1, "c~d": 1}, {"a/b": 2, "c~d": 2}, [("replace", "/a~1b", 1, 2), ("replace", "/c~0d", 1, 2)]),
            ({"a": []}, {"a": {}}, [("replace", "/a", [], {})]),
        ],
    )
    def test_they_are_as_small_as_they_can_be(self, before: Any, after: Any, expected: list[Any]) -> None:
        found = [(one["op"], one["path"], one["before"], one["after"]) for one in differences(before, after)]
        assert found == expected


class TestFlag:
    def test_each_change_with_who_why_and_what(self, services: Services) -> None:
        services.flags.set_state(actor(), CHECKOUT, FLAG, "production", {"on": True}, reason="launch")
        services.flags.patch(actor(), CHECKOUT, FLAG, {"owner": "ada", "environments": {"staging": {"on": True}}})
        services.kill.kill(actor(name="grace"), CHECKOUT, FLAG)
        killed, patched, launched, created = services.history.flag(ADMIN, CHECKOUT, FLAG).items
        assert launched == {
            "revision": launched["revision"],
            "at": launched["at"],
            "actor": "ada",
            "action": "flag.state",
            "reason": "launch",
            "environment": "production",
            "changes": [{"op": "replace", "path": "/environments/production/on", "before": False, "after": True}],
        }
        assert [change["path"] for change in patched["changes"]] == ["/owner", "/environments/staging/on"]
        assert patched["environment"] is None
        assert (killed["actor"], killed["environment"], killed["action"]) == ("grace", "production", "flag.kill")
        assert killed["changes"][0]["after"]["by"] == "grace"
        assert created["changes"][0]["op"] == "add" and created["changes"][0]["path"] == ""
        assert created["changes"][0]["after"]["key"] == FLAG

    def test_rules_are_told_apart(self, services: Services) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rules": [rule(PRO)]})
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rules": [rule(PRO, "off")]})
        newest = services.history.flag(ADMIN, CHECKOUT, FLAG).items[0]
        assert newest["changes"] == [
            {
                "op": "replace",
                "path": "/environments/production/rules/0/serve/variant",
                "before": "on",
                "after": "off",
            }
        ]

    def test_a_deleted_flag_still_has_one(self, services: Services) -> None:
        services.flags.delete(ADMIN, CHECKOUT, FLAG)
        assert [item["action"] for item in services.history.flag(ADMIN, CHECKOUT, FLAG).items] == [
            "flag.delete",
            "flag.create",
        ]

    def test_pages(self, services: Services) -> None:
        for percent in range(5):
            services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rollout": percent})
        services.kill.kill(ADMIN, CHECKOUT, "old-banner")
        found, cursor = [], None
        while True:
            page = services.history.flag(ADMIN, CHECKOUT, FLAG, limit=2, cursor=cursor)
            found += page.items
            if (cursor := page.next) is None:
                break
        assert found == services.history.flag(ADMIN, CHECKOUT, FLAG).items and len(found) == 6

    def test_refusals(self, services: Services) -> None:
        with pytest.raises(NotFound):
            services.history.flag(ADMIN, CHECKOUT, "nope")
        with pytest.raises(Forbidden):
            services.history.flag(actor(services=["payments"]), CHECKOUT, FLAG)
        for cursor in ("!", "MTIzYQ", "LTE"):
            with pytest.raises(Invalid, match="cursor"):
                services.history.flag(ADMIN, CHECKOUT, FLAG, cursor=cursor)


class TestLog:
    @pytest.fixture
    def busy(self, services: Services) -> Services:
        services.kill.kill(actor("operator", name="grace"), CHECKOUT, FLAG)
        services.flags.set_state(ADMIN, PAYMENTS, "new-ledger", "staging", {"on": True})
        services.segments.create(ADMIN, {"key": "pro", "when": PRO})
        services.keys.create(ADMIN, {"kind": "sdk", "name": "tills", "environment": "staging", "services": ["*"]})
        return services

    def test_everything_newest_first(self, busy: Services) -> None:
        made = ["flag.create", "service.create"]
        assert log(busy) == [
            "key.create",
            "segment.create",
            "flag.state",
            "flag.kill",
            *made,
            "flag.create",
            *made,
            "store.create",
        ]

    @pytest.mark.parametrize(
        ("filters", "actions"),
        [
            ({"action": "flag.kill"}, ["flag.kill"]),
            ({"action": "segment"}, ["segment.create"]),
            ({"action": "flag.ki"}, []),
            ({"by": "grace"}, ["flag.kill"]),
            ({"by": "nobody"}, []),
            ({"service": PAYMENTS}, ["flag.state", "flag.create", "service.create"]),
            ({"service": PAYMENTS, "flag": "new-ledger", "action": "flag.state"}, ["flag.state"]),
            ({"flag": "payments/new-ledger", "environment": "staging"}, ["flag.state", "flag.create"]),
            ({"flag": "payments/new-ledger", "environment": "production"}, ["flag.create"]),
            ({"environment": "staging", "action": "key"}, ["key.create"]),
            ({"environment": "production", "action": "key"}, []),
        ],
    )
    def test_filters(self, busy: Services, filters: dict[str, str], actions: list[str]) -> None:
        assert log(busy, **filters) == actions

    def test_times(self, busy: Services) -> None:
        items = busy.history.log(ADMIN).items
        moment = datetime.fromisoformat(items[3]["at"])
        newer = [item["action"] for item in items if datetime.fromisoformat(item["at"]) >= moment]
        assert log(busy, since=moment) == newer
        assert log(busy, until=moment) == [item["action"] for item in items][len(newer) :]
        assert log(busy, since=moment + timedelta(hours=1)) == []

    def test_pages(self, busy: Services) -> None:
        first = busy.history.log(ADMIN, limit=3)
        rest = busy.history.log(ADMIN, cursor=first.next)
        assert first.items + rest.items == busy.history.log(ADMIN).items
        assert rest.next is None and busy.history.log(ADMIN, limit=10).next is None

    def test_a_long_log_is_read_to_its_end(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("downhaul_server.services.history.READ_AT_ONCE", 2)
        assert len(log(services)) == services._store.view.revision

    def test_no_hash_is_shown(self, busy: Services) -> None:
        (document,) = busy.history.log(ADMIN, action="key").items[0]["documents"]
        assert document["kind"] == "key" and "hash" not in document["changes"][0]["after"]

    def test_only_what_the_scope_covers(self, busy: Services) -> None:
        payer = actor(services=["payments"], environments=["production"])
        assert log(busy, payer) == ["segment.create", "flag.create", "service.create", "store.create"]
        with pytest.raises(Forbidden):
            busy.history.log(payer, service=CHECKOUT)
        with pytest.raises(Forbidden):
            busy.history.log(payer, environment="staging")
        with pytest.raises(Forbidden):
            busy.history.log(payer, flag="checkout/new-checkout")

    def test_keys_are_shown_to_administrators_only(self, busy: Services) -> None:
        assert "key.create" not in log(busy, actor("approver"))
        assert "key.create" in log(busy, actor("admin"))
        assert "key.create" not in log(busy, actor("admin", environments=["production"]))

    def test_a_flag_without_its_service(self, busy: Services) -> None:
        with pytest.raises(Invalid, match="flag: expected service/flag"):
            busy.history.log(ADMIN, flag=FLAG)

    def test_who_audits_is_told_more_of_the_actor(self, busy: Services) -> None:
        item = busy.history.log(ADMIN, action="flag.kill").items[0]
        assert item["by"] == {
            "name": "grace",
            "kind": "token",
            "role": "operator",
            "token": "token-of-grace",
            "address": None,
        }
        assert "by" not in busy.history.log(actor("approver")).items[0]

    def test_a_long_look_is_broken_off_and_goes_on(self, busy: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("downhaul_server.services.history.LOOK_S", -1)
        monkeypatch.setattr("downhaul_server.store.reading.LOOK_PAGE", 2)
        found, pages, cursor = [], 0, None
        while True:
            page = busy.history.log(ADMIN, service=CHECKOUT, cursor=cursor)
            found += page.items
            pages += 1
            if (cursor := page.next) is None:
                break
        assert [item["action"] for item in found] == ["flag.kill", "flag.create", "flag.create", "service.create"]
        assert pages > 3

    def test_one_entry(self, busy: Services) -> None:
        newest = busy.history.log(ADMIN).items[0]
        assert busy.history.entry(ADMIN, newest["revision"]) == newest
        for revision in (0, 10_000):
            with pytest.raises(NotFound):
                busy.history.entry(ADMIN, revision)
        with pytest.raises(NotFound):
            busy.history.entry(actor("viewer"), newest["revision"])

    def test_a_kind_of_document_that_nobody_has_said_who_may_see(self, busy: Services) -> None:
        busy._store.commit(
            Commit(action="odd.create", actor={"name": "x", "kind": "system"}, writes={"odd/1": {"a": 1}})
        )
        assert log(busy, action="odd") == ["odd.create"]
        assert log(busy, actor("approver"), action="odd") == []
