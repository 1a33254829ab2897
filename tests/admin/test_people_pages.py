"""`/people` as an administrator uses it, and as somebody who is none attacks it."""

from __future__ import annotations

import html
import re

import pytest
from support.pages import Browserless

ADD = {"login": "ada", "name": "Ada Lovelace", "email": "ada@example.com", "role-0": "editor", "services-0": ""}


@pytest.fixture
def boss(visitor: Browserless) -> Browserless:
    visitor.services.catalog.create_service(visitor.bootstrap, {"key": "checkout"})
    return visitor.sign_in("admin", name="boss")


def added(boss: Browserless, **more: str) -> str:
    """The page of somebody new."""
    answer = boss.post("/people", {**ADD, **more})
    assert answer.status_code == 200, answer.text
    return f"/people/{_id(boss, more.get('login', 'ada'))}"


def _id(boss: Browserless, login: str) -> str:
    return str({p["login"]: p["id"] for p in boss.services.people.list(boss.bootstrap).items}[login])


def test_somebody_is_added_and_can_log_in_with_the_password_that_is_shown_once(boss: Browserless) -> None:
    page = boss.post("/people", {**ADD, "services-0": "checkout", "environments-0": "staging, production"})
    password = html.unescape(re.search(r'id="first-password">([^<]+)<', page.text)[1])  # type: ignore[index]
    assert password not in boss.get(f"/people/{_id(boss, 'ada')}").text
    assert "Choose a password" in boss.stranger().post("/login", {"login": "ada", "password": password}).text
    assert "checkout" in boss.get("/people").text and "Ada Lovelace" in boss.get("/people?q=lovelace").text
    assert "Nobody matches" in boss.get("/people?q=nobody").text


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"login": "no blanks"}, "a login that matches"),
        ({"login": ""}, "a login that matches"),
        ({"login": "boss"}, "already"),
        ({"services-0": "nowhere"}, "There is no service nowhere"),
        ({"role-0": "", "services-0": "checkout"}, "hoose a role"),
        ({"role-0": "killer"}, "xpected one of"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_is_kept(
    boss: Browserless, form: dict[str, str], says: str
) -> None:
    answer = boss.post("/people", {**ADD, **form})
    assert answer.status_code in (409, 422)
    assert says in html.unescape(answer.text) and 'role="alert"' in answer.text
    assert 'value="Ada Lovelace"' in answer.text


def test_rights_are_changed_and_hold_for_open_sessions(boss: Browserless) -> None:
    place = added(boss)
    ada = boss.by("editor", name="ada")
    version = _version(boss, place)
    form = {
        "name": "Ada",
        "email": "",
        "version": version,
        "role-0": "viewer",
        "role-1": "operator",
        "services-1": "checkout",
    }
    assert boss.post(place, form).status_code == 303
    actor = ada.services.sessions.resolve(ada.session or "")
    assert [grant.role for grant in actor.grants] == ["viewer", "operator"]
    refused = boss.post(place, form | {"role-0": "admin"})
    assert refused.status_code == 409 and "Somebody else has changed" in refused.text and "As it is now" in refused.text


def test_somebody_is_kept_out_and_let_in(boss: Browserless) -> None:
    place = added(boss)
    ada = boss.by("editor", name="ada")
    assert ada.get("/account").status_code == 200
    assert boss.post(f"{place}/disabled", {"disabled": "1"}).status_code == 303
    assert ada.get("/account").status_code == 303
    assert "Disabled" in boss.get(place).text
    assert boss.post(f"{place}/disabled", {"disabled": "0"}).status_code == 303


def test_sessions_of_others_are_ended(boss: Browserless) -> None:
    place = added(boss)
    one, two = boss.by("editor", name="ada"), boss.by("editor", name="ada")
    listed = boss.services.people.sessions(boss.bootstrap, _id(boss, "ada"))
    assert boss.post(f"{place}/sessions/{listed[0]['id']}/end").status_code == 303
    assert boss.post(f"{place}/sessions/end").status_code == 303
    assert (one.get("/account").status_code, two.get("/account").status_code) == (303, 303)


def test_a_new_first_password_is_shown_once(boss: Browserless) -> None:
    place = added(boss)
    page = boss.post(f"{place}/password")
    assert page.status_code == 200 and 'id="first-password"' in page.text
    assert 'id="first-password"' not in boss.get(place).text


def test_deleting_wants_to_be_meant(boss: Browserless) -> None:
    place = added(boss)
    assert boss.post(f"{place}/delete").status_code == 422
    assert boss.post(f"{place}/delete", {"sure": "1"}).headers["Location"] == "/people"
    assert boss.get(place).status_code == 404


def test_nobody_takes_their_own_rights(boss: Browserless) -> None:
    place = f"/people/{_id(boss, 'boss')}"
    assert "Disable boss" not in boss.get(place).text
    assert boss.post(f"{place}/disabled", {"disabled": "1"}).status_code == 403
    assert boss.post(f"{place}/delete", {"sure": "1"}).status_code == 403
    form = {"name": "Boss", "version": _version(boss, place), "role-0": "viewer"}
    assert boss.post(place, form).status_code == 403


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "approver"])
def test_whoever_is_no_administrator_gets_nowhere(boss: Browserless, role: str) -> None:
    place = added(boss)
    mallory = boss.by(role, name="mallory")
    own = f"/people/{_id(boss, 'mallory')}"
    for path in ("/people", place, own):
        assert mallory.get(path).status_code == 403, path
    for target in (place, own):
        for path, form in (
            (target, {"name": "x", "role-0": "admin"}),
            (f"{target}/disabled", {"disabled": "1"}),
            (f"{target}/delete", {"sure": "1"}),
            (f"{target}/password", {}),
        ):
            assert mallory.post(path, form).status_code == 403, path
    assert mallory.post("/people", {"login": "eve", "role-0": "admin"}).status_code == 403
    assert mallory.services.sessions.resolve(mallory.session or "").role == role


def test_an_administrator_of_one_service_gives_no_more_than_that(boss: Browserless) -> None:
    place = added(boss)
    small = boss.by("admin", name="small", services=["checkout"])
    assert small.post("/people", {"login": "eve", "role-0": "admin"}).status_code == 403
    assert small.post("/people", {"login": "eve", "role-0": "admin", "services-0": "checkout"}).status_code == 200
    assert small.get(place).status_code == 403 and small.post(f"{place}/password").status_code == 403
    assert not re.search(r"\bada\b", small.get("/people").text)


def test_what_people_are_called_is_no_markup(boss: Browserless) -> None:
    place = added(boss, name="<script>alert(1)</script>")
    for path in ("/people", place):
        assert "<script>alert" not in boss.get(path).text


def _version(boss: Browserless, place: str) -> str:
    return str(re.search(r'name="version" value="(\d+)"', boss.get(place).text)[1])  # type: ignore[index]
