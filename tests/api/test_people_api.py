"""People over HTTP: what is answered, what is refused, and attacks on rights that others gave."""

from __future__ import annotations

import pytest
from support.api import Client, problem

PEOPLE = "/api/v1/people"
VIEWER = {"role": "viewer", "services": ["*"], "environments": ["*"]}


def test_a_person_from_the_first_day_to_the_last(client: Client) -> None:
    made = client.post(PEOPLE, {"login": "ada", "name": "Ada", "grants": [{"role": "viewer"}]})
    assert made.status_code == 201 and made.json["grants"] == [VIEWER] and made.json["password"]
    place = made.headers["Location"]
    found = client.get(place)
    assert "password" not in found.json and "hash" not in found.text and "argon2" not in found.text
    changed = client.patch(
        place, {"grants": [{"role": "editor", "services": ["checkout"]}]}, if_match=found.headers["ETag"]
    )
    assert changed.json["grants"] == [{"role": "editor", "services": ["checkout"], "environments": ["*"]}]
    assert problem(client.patch(place, {"disabled": True}, if_match=found.headers["ETag"])) == (412, "version-mismatch")
    assert client.patch(place, {**changed.json, "disabled": True}).json["disabled"] is True
    assert [person["login"] for person in client.get(f"{PEOPLE}?query=ADA").json["items"]] == ["ada"]
    assert client.delete(place).status_code == 204
    assert problem(client.get(place)) == (404, "not-found")


def test_a_new_first_password_is_shown_once(client: Client) -> None:
    place = client.post(PEOPLE, {"login": "ada"}).headers["Location"]
    first = client.post(f"{place}/password", idempotency_key="1").json["password"]
    assert client.post(f"{place}/password", idempotency_key="1").json["password"] == first
    assert client.post(f"{place}/password").json["password"] != first


def test_sessions_are_listed_and_ended(client: Client) -> None:
    made = client.post(PEOPLE, {"login": "ada", "grants": [VIEWER]})
    person, _ = client.services.logins.authenticate("ada", made.json["password"])
    sessions = client.services.sessions
    for agent in ("one", "two"):
        sessions.start(person, address="192.0.2.7", agent=agent)
    place = f"{made.headers['Location']}/sessions"
    listed = client.get(place).json["items"]
    assert {session["agent"] for session in listed} == {"one", "two"}
    assert client.delete(f"{place}/{listed[0]['id']}").status_code == 204
    assert problem(client.delete(f"{place}/{listed[0]['id']}")) == (404, "not-found")
    assert client.delete(place).status_code == 204
    assert client.get(place).json["items"] == []


@pytest.mark.parametrize("by", ["killer", "viewer", "operator", "editor", "stranger", "tester"])
def test_nobody_but_an_administrator_sees_or_changes_people(client: Client, by: str) -> None:
    place = client.post(PEOPLE, {"login": "ada"}).headers["Location"]
    for method, path, body in (
        ("GET", PEOPLE, None),
        ("POST", PEOPLE, {"login": "eve", "grants": [{"role": "admin"}]}),
        ("GET", place, None),
        ("PATCH", place, {"grants": [{"role": "admin"}]}),
        ("DELETE", place, None),
        ("POST", f"{place}/password", None),
        ("GET", f"{place}/sessions", None),
        ("DELETE", f"{place}/sessions", None),
        ("DELETE", f"{place}/sessions/0123456789abcdef", None),
    ):
        assert problem(client.call(method, path, body, by=by)) == (403, "forbidden"), (method, path)


def test_an_administrator_of_one_service_gives_no_more_than_that(client: Client) -> None:
    key = {"kind": "api", "name": "small", "role": "admin", "services": ["checkout"]}
    client.tokens["small"] = client.post("/api/v1/keys", key).json["token"]
    for grants in ([{"role": "admin"}], [{"role": "viewer", "services": ["payments"]}]):
        assert problem(client.post(PEOPLE, {"login": "eve", "grants": grants}, by="small")) == (403, "forbidden")
    allowed = [{"role": "admin", "services": ["checkout"]}]
    place = client.post(PEOPLE, {"login": "eve", "grants": allowed}, by="small").headers["Location"]
    assert problem(client.patch(place, {"grants": [{"role": "admin"}]}, by="small")) == (403, "forbidden")
    boss = client.post(PEOPLE, {"login": "boss", "grants": [{"role": "admin"}]}).headers["Location"]
    assert problem(client.post(f"{boss}/password", by="small")) == (403, "forbidden")
    assert [person["login"] for person in client.get(PEOPLE, by="small").json["items"]] == ["eve"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"login": "Ada"}, "#/login"),
        ({"login": "ada", "grants": [{"role": "killer"}]}, "#/grants/0/role"),
        ({"login": "ada", "password": "x"}, "#/password"),
        ({"login": "ada", "hash": "x"}, "#/hash"),
        ({"login": "ada", "grants": [{"role": "viewer", "services": ["nowhere"]}]}, "#/grants/0/services/0"),
    ],
)
def test_what_cannot_be_accepted_is_said(client: Client, body: object, pointer: str) -> None:
    answer = client.post(PEOPLE, body)
    assert problem(answer) == (422, "invalid")
    assert answer.json["errors"][0]["pointer"] == pointer
