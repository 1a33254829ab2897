"""People: what they are given, by whom, and how they are out again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    Invalid,
    NotFound,
    Unauthenticated,
    VersionMismatch,
)
from support.pages import open_pages
from support.redis import FakeRedis
from support.services import ADMIN, actor, with_flags

EDITOR = {"role": "editor", "services": ["*"], "environments": ["*"]}
GOOD = "seven wild geese over Reykjavik"
BETTER = "nine slow trains to Vladivostok"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Services]:
    """Services of a process, with checkout and payments, where hashes cost nothing."""
    with open_pages(FakeRedis(), tmp_path / "data") as visitor:
        yield with_flags(visitor.services, checkout=["new-checkout"], payments=[])


def ada(services: Services, **more: Any) -> dict[str, Any]:
    """Somebody who has chosen a password."""
    made = services.people.create(ADMIN, {"login": "ada", "grants": [EDITOR], **more})
    services.logins.change_password("ada", made["password"], GOOD)
    return made


def log_in(services: Services, password: str = GOOD) -> tuple[Actor, str]:
    person, _ = services.logins.authenticate("ada", password)
    return person, services.sessions.start(person, address="192.0.2.7", agent="a browser")


def test_the_first_password_is_random_and_has_to_be_changed(house: Services) -> None:
    made = house.people.create(ADMIN, {"login": "Ada", "grants": [EDITOR]})
    assert made["login"] == "ada" and len(made["password"]) == 23 and "hash" not in made
    person, must_change = house.logins.authenticate("ADA", made["password"])
    assert must_change and (person.name, person.kind, person.role) == ("ada", "person", "editor")
    house.logins.change_password("ada", made["password"], GOOD)
    assert house.logins.authenticate("ada", GOOD)[1] is False
    with pytest.raises(Unauthenticated):
        house.logins.authenticate("ada", made["password"])


def test_a_repeated_request_is_answered_with_the_same_password(house: Services) -> None:
    first = house.people.create(ADMIN, {"login": "ada"}, operation="1")
    assert house.people.create(ADMIN, {"login": "ada"}, operation="1")["password"] == first["password"]
    reset = house.people.reset_password(ADMIN, first["id"], operation="2")
    assert house.people.reset_password(ADMIN, first["id"], operation="2")["password"] == reset["password"]


def test_nobody_learns_whether_somebody_is_there(house: Services) -> None:
    ada(house)
    house.people.patch(ADMIN, house.people.create(ADMIN, {"login": "grace"})["id"], {"disabled": True})
    texts = []
    for login in ("ada", "nobody", "grace", ""):
        with pytest.raises(Unauthenticated) as refused:
            house.logins.authenticate(login, "wrong")
        texts.append(str(refused.value))
    assert set(texts) == {"the login or the password is wrong"}


def test_a_changed_password_ends_every_session(house: Services) -> None:
    ada(house)
    _, first = log_in(house)
    house.logins.change_password("ada", GOOD, BETTER)
    with pytest.raises(Unauthenticated):
        house.sessions.resolve(first)


def test_a_password_that_was_reset_ends_every_session(house: Services) -> None:
    made = ada(house)
    _, session = log_in(house)
    house.people.reset_password(ADMIN, made["id"])
    with pytest.raises(Unauthenticated):
        house.sessions.resolve(session)
    with pytest.raises(Unauthenticated):
        house.logins.authenticate("ada", GOOD)


def test_a_disabled_person_is_out_and_stays_out_with_the_old_session(house: Services) -> None:
    made = ada(house)
    _, session = log_in(house)
    house.people.patch(ADMIN, made["id"], {"disabled": True})
    with pytest.raises(Unauthenticated):
        house.sessions.resolve(session)
    with pytest.raises(Unauthenticated):
        house.logins.authenticate("ada", GOOD)
    house.people.patch(ADMIN, made["id"], {"disabled": False})
    with pytest.raises(Unauthenticated):
        house.sessions.resolve(session)
    assert house.logins.authenticate("ada", GOOD)


def test_a_deleted_person_is_out(house: Services) -> None:
    made = ada(house)
    _, session = log_in(house)
    house.people.delete(ADMIN, made["id"])
    with pytest.raises(Unauthenticated):
        house.sessions.resolve(session)
    with pytest.raises(NotFound):
        house.people.get(ADMIN, made["id"])


def test_rights_that_are_taken_are_gone_from_running_sessions(house: Services) -> None:
    made = ada(house)
    _, session = log_in(house)
    house.people.patch(ADMIN, made["id"], {"grants": [{"role": "viewer"}]})
    assert house.sessions.resolve(session).role == "viewer"


@pytest.mark.parametrize(
    "grants",
    [
        [{"role": "admin"}],
        [{"role": "viewer", "services": ["payments"]}],
        [{"role": "viewer", "services": ["checkout"], "environments": ["*"]}],
        [{"role": "viewer", "services": ["checkout"], "environments": ["staging"]}, {"role": "viewer"}],
    ],
)
def test_nobody_grants_more_than_they_have(house: Services, grants: list[dict[str, Any]]) -> None:
    local = actor("admin", services=["checkout"], environments=["staging"])
    small = {"role": "editor", "services": ["checkout"], "environments": ["staging"]}
    with pytest.raises(Forbidden, match="may not give or change"):
        house.people.create(local, {"login": "mallory", "grants": grants})
    mine = house.people.create(local, {"login": "eve", "grants": [small]})
    with pytest.raises(Forbidden):
        house.people.patch(local, mine["id"], {"grants": grants})


def test_nobody_touches_a_mightier_person(house: Services) -> None:
    boss = house.people.create(ADMIN, {"login": "boss", "grants": [{"role": "admin"}]})["id"]
    local = actor("admin", services=["checkout"])
    for attack in (
        lambda: house.people.get(local, boss),
        lambda: house.people.reset_password(local, boss),
        lambda: house.people.patch(local, boss, {"disabled": True}),
        lambda: house.people.patch(local, boss, {"grants": []}),
        lambda: house.people.delete(local, boss),
        lambda: house.people.end_sessions(local, boss),
        lambda: house.people.sessions(local, boss),
    ):
        with pytest.raises(Forbidden):
            attack()
    assert house.people.list(local).items == []


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "approver", "killer"])
def test_only_administrators_see_people(house: Services, role: str) -> None:
    made = ada(house)
    somebody = actor(role)
    for attack in (
        lambda: house.people.list(somebody),
        lambda: house.people.get(somebody, made["id"]),
        lambda: house.people.create(somebody, {"login": "eve"}),
        lambda: house.people.patch(somebody, made["id"], {"grants": []}),
        lambda: house.people.sessions(somebody, made["id"]),
        lambda: house.people.reset_password(somebody, made["id"]),
    ):
        with pytest.raises(Forbidden):
            attack()


def test_a_token_that_ends_gives_nothing_that_stays(house: Services) -> None:
    passing = actor("admin", expires="2099-01-01T00:00:00.000Z")
    with pytest.raises(Forbidden, match="expires"):
        house.people.create(passing, {"login": "eve", "grants": [{"role": "viewer"}]})


def test_nobody_locks_themselves_out(house: Services) -> None:
    made = ada(house, grants=[{"role": "admin"}])
    me, _ = log_in(house)
    for mistake in ({"disabled": True}, {"grants": []}, {"grants": [{"role": "viewer"}]}):
        with pytest.raises(Forbidden, match="another administrator"):
            house.people.patch(me, made["id"], mistake)
    with pytest.raises(Forbidden):
        house.people.delete(me, made["id"])
    with pytest.raises(Forbidden, match="with the old one"):
        house.people.reset_password(me, made["id"])


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"login": "no blanks"}, ("login",)),
        ({"login": ""}, ("login",)),
        ({"login": "Admin"}, ("login",)),
        ({}, ("login",)),
        ({"login": "eve", "hash": "x"}, ("hash",)),
        ({"login": "eve", "grants": [{"role": "killer"}]}, ("grants", 0, "role")),
        ({"login": "eve", "grants": [{"role": "god"}]}, ("grants", 0, "role")),
        ({"login": "eve", "grants": ["admin"]}, ("grants", 0)),
        ({"login": "eve", "grants": [{"role": "viewer", "services": ["nowhere"]}]}, ("grants", 0, "services", 0)),
        ({"login": "eve", "name": "a\nb"}, ("name",)),
    ],
)
def test_what_cannot_be_accepted_is_said(house: Services, document: dict[str, Any], where: tuple[Any, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        house.people.create(ADMIN, document)
    assert refused.value.errors[0][0] == where


def test_two_people_cannot_share_a_login(house: Services) -> None:
    ada(house)
    with pytest.raises(AlreadyExists):
        house.people.create(ADMIN, {"login": "ADA"})


def test_two_administrators_do_not_overwrite_each_other(house: Services) -> None:
    made = ada(house)
    version = house.people.get(ADMIN, made["id"])["version"]
    house.people.patch(ADMIN, made["id"], {"name": "Ada"}, if_match=version)
    with pytest.raises(VersionMismatch):
        house.people.patch(ADMIN, made["id"], {"name": "Grace"}, if_match=version)


def test_all_of_it_is_in_the_log_and_the_hash_never(house: Services) -> None:
    made = ada(house)
    house.people.patch(ADMIN, made["id"], {"grants": [{"role": "viewer"}]})
    house.people.end_sessions(ADMIN, made["id"])
    entries = house.history.log(ADMIN, action="person").items
    assert [entry["action"] for entry in entries] == [
        "person.sessions",
        "person.update",
        "person.password",
        "person.create",
    ]
    assert "argon2" not in str(entries) and "hash" not in str(entries) and GOOD not in str(entries)
    assert house.history.log(actor("editor"), action="person").items == []


def test_the_log_of_people_is_not_for_who_may_not_see_them(house: Services) -> None:
    house.people.create(ADMIN, {"login": "boss", "grants": [{"role": "admin"}]})
    assert house.history.log(actor("admin", services=["checkout"]), action="person").items == []


def test_somebody_sees_and_ends_their_own_sessions_only(house: Services) -> None:
    made = ada(house)
    other = house.people.create(ADMIN, {"login": "grace", "grants": [EDITOR]})["id"]
    me, first = log_in(house)
    _, second = log_in(house)
    shown = house.people.sessions(me, made["id"], current=second)
    assert [session["current"] for session in shown] == [True, False]
    assert first not in str(shown) and second not in str(shown)
    assert (shown[0]["address"], shown[0]["agent"]) == ("192.0.2.7", "a browser")
    house.people.end_session(me, made["id"], shown[1]["id"])
    with pytest.raises(Unauthenticated):
        house.sessions.resolve(first)
    assert house.sessions.resolve(second)
    with pytest.raises(Forbidden):
        house.people.sessions(me, other)
    with pytest.raises(NotFound):
        house.people.end_session(ADMIN, other, shown[0]["id"])
    house.people.end_sessions(me, made["id"])
    with pytest.raises(Unauthenticated):
        house.sessions.resolve(second)


def arrival(**more: Any) -> dict[str, Any]:
    who = {"issuer": "https://id.example.com", "subject": "0815", "login": "ada@example.com"}
    return {**who, "name": "Ada", "email": "ada@example.com", "grants": [EDITOR], **more}


def test_somebody_whom_the_provider_knows_becomes_a_person_at_the_first_log_in(house: Services) -> None:
    person = house.logins.arrive(arrival())
    assert (person.name, person.role) == ("ada@example.com", "editor")
    again = house.logins.arrive(arrival(grants=[{"role": "viewer"}], name="Ada L."))
    assert (again.token_id, again.role) == (person.token_id, "viewer")
    assert len(house.people.list(ADMIN).items) == 1
    with pytest.raises(Invalid, match="provider"):
        house.people.patch(ADMIN, person.token_id or "", {"grants": [{"role": "admin"}]})
    with pytest.raises(Invalid, match="provider"):
        house.people.reset_password(ADMIN, person.token_id or "")


def test_a_provider_cannot_take_over_a_local_person_by_name_or_address(house: Services) -> None:
    made = ada(house, email="ada@example.com")
    person = house.logins.arrive(arrival(login="ada"))
    assert person.token_id != made["id"] and person.name == "ada-2"
    assert house.logins.arrive(arrival(subject="1", login="admin")).name == "admin-2"
    stranger = house.logins.arrive(arrival(subject="4711", login="ada"))
    assert stranger.token_id not in (made["id"], person.token_id)
    with pytest.raises(Unauthenticated):
        house.logins.authenticate("ada-2", "")


def test_without_a_group_that_counts_nobody_comes_in(house: Services) -> None:
    with pytest.raises(Forbidden, match="groups"):
        house.logins.arrive(arrival(grants=[]))
    assert house.people.list(ADMIN).items == []
    person = house.logins.arrive(arrival())
    session = house.sessions.start(person, address=None, agent="")
    with pytest.raises(Forbidden):
        house.logins.arrive(arrival(grants=[]))
    assert house.sessions.resolve(session).grants == ()


def test_who_is_disabled_here_stays_out_whatever_the_provider_says(house: Services) -> None:
    person = house.logins.arrive(arrival())
    house.people.patch(ADMIN, person.token_id or "", {"disabled": True})
    with pytest.raises(Forbidden, match="disabled"):
        house.logins.arrive(arrival())


def test_a_first_password_that_nobody_used_expires(house: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    made = house.people.create(ADMIN, {"login": "ada", "grants": [EDITOR]})
    monkeypatch.setattr("downhaul_server.services.logins.FIRST_LASTS", timedelta(0))
    with pytest.raises(Unauthenticated, match="expired"):
        house.logins.authenticate("ada", made["password"])
    with pytest.raises(Unauthenticated, match="wrong"):
        house.logins.authenticate("ada", "another")
    with pytest.raises(Unauthenticated, match="expired"):
        house.logins.change_password("ada", made["password"], GOOD)


def test_what_is_said_to_be_a_login_in_our_logs_is_one(house: Services) -> None:
    ada(house)
    assert house.logins.known(" ADA ") == "ada"
    assert house.logins.known("my password, typed in the wrong field") is None


def test_an_environment_that_somebody_was_granted_stays(house: Services) -> None:
    """Else whoever makes one of that name later would give it to them without knowing."""
    house.catalog.create_environment(ADMIN, {"key": "eu"})
    made = house.people.create(ADMIN, {"login": "ada", "grants": [{"role": "viewer", "environments": ["eu"]}]})
    with pytest.raises(InUse, match="person ada"):
        house.catalog.delete_environment(ADMIN, "eu")
    house.people.delete(ADMIN, made["id"])
    house.catalog.delete_environment(ADMIN, "eu")
