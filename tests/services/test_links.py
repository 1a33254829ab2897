"""Kill links: one flag in one environment, off; nothing else, and for nobody who was not given the address."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from downhaul_server.services import links as links_module
from downhaul_server.services.actors import Actor, Grant
from downhaul_server.services.container import Services
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import Forbidden, Gone, Invalid, NotFound, OperationConflict, Unauthenticated
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor

LINK = {"name": "runbook", "service": CHECKOUT, "flag": FLAG, "environment": "production"}


def later(seconds: float) -> str:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


@pytest.fixture
def made(services: Services) -> dict[str, Any]:
    return services.links.create(ADMIN, LINK)


def killed(services: Services, environment: str = "production", flag: str = FLAG) -> Any:
    return services.flags.get(ADMIN, CHECKOUT, flag)["environments"][environment]["killed"]


def test_it_kills_what_it_is_for_and_the_log_says_so(services: Services, made: dict[str, Any]) -> None:
    done = services.links.kill(made["token"], client="192.0.2.7", reason="double charges")
    assert (done.flags, done.environment, done.changed) == ((f"{CHECKOUT}/{FLAG}",), "production", True)
    assert killed(services)["by"] == "kill link runbook" and killed(services)["reason"] == "double charges"
    assert killed(services, "staging") is None and killed(services, flag="old-banner") is None
    (entry,) = services._store.log(limit=1)
    assert entry.actor == {
        "name": "kill link runbook",
        "kind": "link",
        "role": "killer",
        "token": made["id"],
        "address": "192.0.2.7",
    }
    again = services.links.kill(made["token"])
    assert (again.changed, again.revision) == (False, done.revision)


def test_to_look_changes_nothing(services: Services, made: dict[str, Any]) -> None:
    before = services._store.view.revision
    target = services.links.look(made["token"])
    assert (target.service, target.flag, target.environment, target.killed) == (CHECKOUT, FLAG, "production", None)
    assert services._store.view.revision == before and killed(services) is None
    done = services.links.kill(made["token"])
    target = services.links.look(made["token"])
    assert target.killed and target.revision == done.revision


def test_it_passes_where_approvals_are_demanded(services: Services, made: dict[str, Any]) -> None:
    services.catalog.patch_environment(ADMIN, "production", {"protected": True, "approvals": 2})
    assert services.links.kill(made["token"]).changed


def test_it_opens_nothing_else(services: Services, made: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        services.authenticate(made["token"])
    key = services.keys.create(ADMIN, {"kind": "api", "name": "k", "role": "killer"})
    with pytest.raises(NotFound):
        services.links.kill(key["token"])


class TestItsEnd:
    def test_revoked(self, services: Services, made: dict[str, Any]) -> None:
        services.links.revoke(ADMIN, made["id"])
        for use in (services.links.look, services.links.kill):
            with pytest.raises(NotFound, match="there is no kill link of this address") as refused:
                use(made["token"])
            assert FLAG not in str(refused.value)
        assert killed(services) is None
        with pytest.raises(NotFound):
            services.links.revoke(ADMIN, made["id"])

    def test_expired(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        made = services.links.create(ADMIN, LINK | {"expires_at": later(600)})
        assert services.links.look(made["token"]).expires_at == made["expires_at"]
        monkeypatch.setattr(links_module, "now", lambda: later(601))
        for use in (services.links.look, services.links.kill):
            with pytest.raises(Gone, match="expired") as refused:
                use(made["token"])
            assert FLAG not in str(refused.value)
        assert killed(services) is None

    def test_what_it_was_for_is_gone(self, services: Services, made: dict[str, Any]) -> None:
        services.flags.delete(ADMIN, CHECKOUT, FLAG)
        for use in (services.links.look, services.links.kill):
            with pytest.raises(Gone, match="not there any more") as refused:
                use(made["token"])
            assert FLAG not in str(refused.value)

    @pytest.mark.parametrize("token", ["", "nonsense", "dh_kill_x", "../", "ünïcødé \udcff"])
    def test_anything_else_is_no_link(self, services: Services, token: str) -> None:
        with pytest.raises(NotFound):
            services.links.look(token)


class TestMight:
    """Nobody makes, sees or revokes one where they may not handle keys."""

    @pytest.mark.parametrize(
        "other",
        [
            actor("killer"),
            actor("viewer"),
            actor("operator"),
            actor("editor"),
            actor("approver"),
            actor("admin", services=[PAYMENTS]),
            actor("admin", environments=["staging"]),
            Actor("ada", "person", (Grant("admin", frozenset({PAYMENTS})), Grant("operator"))),
        ],
        ids=lambda other: f"{other.role} {other.kind}",
    )
    def test_refused(self, services: Services, made: dict[str, Any], other: Actor) -> None:
        with pytest.raises(Forbidden):
            services.links.create(other, LINK)
        with pytest.raises(Forbidden):
            services.links.revoke(other, made["id"])
        with suppress(Forbidden):
            assert services.links.list(other).items == []
        assert services.links.look(made["token"])

    def test_within_their_place(self, services: Services) -> None:
        local = actor("admin", services=[CHECKOUT], environments=["production"])
        made = services.links.create(local, LINK)
        services.links.create(ADMIN, LINK | {"environment": "staging"})
        assert [link["id"] for link in services.links.list(local).items] == [made["id"]]
        services.links.revoke(local, made["id"])

    def test_it_does_not_outlive_its_makers_token(self, services: Services) -> None:
        short = actor("admin", expires=later(600))
        for expires_at in (None, later(1200)):
            with pytest.raises(Forbidden, match="expires before"):
                services.links.create(short, LINK | {"expires_at": expires_at})
        assert services.links.create(short, LINK | {"expires_at": later(60)})["token"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"service": "nowhere"}, ("service",)),
        ({"flag": "nope"}, ("flag",)),
        ({"environment": "moon"}, ("environment",)),
        ({"name": " "}, ("name",)),
        ({"flag": None}, ("flag",)),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ("expires_at",)),
        ({"expires_at": "tomorrow"}, ("expires_at",)),
        ({"role": "admin"}, ("role",)),
    ],
)
def test_faults_are_told_with_their_place(services: Services, change: dict[str, Any], path: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        services.links.create(ADMIN, LINK | change)
    assert path in [place for place, _ in refused.value.errors]


def test_its_token_is_kept_nowhere(services: Services) -> None:
    made = services.links.create(ADMIN, LINK, operation="make")
    document = services._store.view.get(f"link/{made['id']}")
    assert document is not None
    told = json.dumps([services.links.list(ADMIN).items, services.history.log(ADMIN).items])
    assert made["token"].split("_")[2] not in told and document.body["hash"] not in told
    client = services._store._connections.writes
    assert all(made["token"].split("_")[2].encode() not in (client.dump(key) or b"") for key in client.keys("*"))


def test_a_repeated_request_is_answered_with_the_same_or_not_at_all(services: Services) -> None:
    first = services.links.create(ADMIN, LINK, operation="make")
    again = services.links.create(ADMIN, LINK, operation="make")
    assert again["token"] == first["token"] and services.links.look(again["token"])
    with pytest.raises(OperationConflict, match="cannot be shown again"):
        services.links.create(replace(ADMIN, secret=b"another session"), LINK, operation="make")


def test_only_those_who_see_all_of_the_log_see_who_made_one(services: Services, made: dict[str, Any]) -> None:
    assert services.history.log(ADMIN, action="link").items
    assert services.history.log(actor("editor"), action="link").items == []


def test_it_says_when_it_was_used(services: Services, made: dict[str, Any]) -> None:
    services.links.look(made["token"])
    assert services.links.list(ADMIN).items[0]["last_used"] is None
    services.links.kill(made["token"])
    assert services.links.list(ADMIN).items[0]["last_used"]
