"""`downhaul people`."""

from __future__ import annotations

from typing import Any

from support.cli import FakeService, Shell

ID = "746eb1f9b8556432"
EVERYWHERE = {"services": ["*"], "environments": ["*"]}
ADA: dict[str, Any] = {
    "id": ID,
    "login": "ada",
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "source": "local",
    "grants": [{"role": "viewer", **EVERYWHERE}, {"role": "editor", "services": ["checkout"], "environments": ["*"]}],
    "disabled": False,
    "must_change": True,
    "created_by": "admin",
    "version": 8,
    "created_at": "2026-11-01T08:00:00Z",
    "updated_at": "2026-11-02T08:00:00Z",
}
LISTED = {"items": [ADA], "next": None}


def test_people_and_what_they_may(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [ADA, {**ADA, "login": "eve", "grants": [], "disabled": True}], "next": None})
    rows = shell("people", "list", "--query", "a").out.splitlines()
    assert "viewer, editor (checkout)" in rows[1] and "first password" in rows[1]
    assert "nothing" in rows[2] and "disabled" in rows[2]


def test_a_first_password_is_on_stdout_alone(service: FakeService, shell: Shell) -> None:
    service.will_answer({**ADA, "password": "abcde-fghij"}, 201)
    made = shell("people", "create", "ada", "--role", "editor", "--service", "checkout", "--name", "Ada")
    assert (made.code, made.out.strip()) == (0, "abcde-fghij") and "not shown again" in made.err
    grants = [{"role": "editor", "services": ["checkout"], "environments": ["*"]}]
    assert service.last.body == {"login": "ada", "name": "Ada", "grants": grants}


def test_places_without_a_role_are_a_mistake(shell: Shell) -> None:
    assert shell("people", "create", "ada", "--service", "checkout").code == 2


def test_a_role_is_added_to_those_that_are_there_and_to_no_newer_ones(service: FakeService, shell: Shell) -> None:
    service.will_answer(LISTED)
    service.will_answer(ADA)
    assert shell("people", "grant", "Ada", "approver", "-e", "production").code == 0
    added = {"role": "approver", "services": ["*"], "environments": ["production"]}
    assert service.last.body == {"grants": [*ADA["grants"], added]}
    assert service.last.headers["If-Match"] == '"8"' and service.last.path == f"/api/v1/people/{ID}"


def test_a_role_is_taken(service: FakeService, shell: Shell) -> None:
    service.will_answer(LISTED)
    service.will_answer({**ADA, "grants": []})
    assert shell("people", "withdraw", "ada", "editor").out == "ada may: nothing.\n"
    assert service.last.body == {"grants": ADA["grants"][:1]}


def test_somebody_is_kept_out(service: FakeService, shell: Shell) -> None:
    service.will_answer(LISTED)
    service.will_answer({**ADA, "disabled": True})
    assert "logged out everywhere" in shell("people", "disable", "ada").out
    assert service.last.body == {"disabled": True}


def test_who_is_not_there_is_said(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [{**ADA, "login": "ada2"}], "next": None})
    assert shell("people", "disable", "ada").code == 4


def test_a_new_first_password(service: FakeService, shell: Shell) -> None:
    service.will_answer(LISTED)
    service.will_answer({**ADA, "password": "abcde-fghij"})
    assert shell("people", "reset-password", "ada", "-q").out == "abcde-fghij\n"
    assert service.last.path == f"/api/v1/people/{ID}/password"


def test_logging_out_and_removing(service: FakeService, shell: Shell) -> None:
    service.will_answer(LISTED)
    service.will_answer(None, 204)
    assert shell("people", "logout", "ada").code == 0
    assert (service.last.method, service.last.path) == ("DELETE", f"/api/v1/people/{ID}/sessions")
    service.will_answer(LISTED)
    service.will_answer(None, 204)
    assert shell("people", "delete", "ada", "--yes").code == 0
