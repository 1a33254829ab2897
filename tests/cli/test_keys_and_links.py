"""`downhaul keys rotate`, `downhaul links`."""

from __future__ import annotations

from typing import Any

from support.cli import FakeService, Shell

KEY: dict[str, Any] = {
    "id": "k2",
    "kind": "api",
    "name": "ci",
    "role": "operator",
    "services": ["*"],
    "environments": ["*"],
    "expires": "2027-01-31T00:00:00.000Z",
    "created_at": "2026-11-01T08:00:00.000Z",
    "created_by": "admin",
    "last_used": "2026-11-23T22:07:01.000Z",
}
LINK: dict[str, Any] = {
    "id": "3f2a9c",
    "name": "runbook",
    "service": "checkout",
    "flag": "new-checkout",
    "environment": "production",
    "expires_at": None,
    "created_at": "2026-11-01T08:00:00.000Z",
    "created_by": "admin",
    "last_used": None,
}
URL = "https://flags.example.com/k/dh_kill_x"


def test_a_key_is_rotated(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KEY, "token": "dh_api_new", "previous_expires": "2026-11-24T22:07:01.000Z"})
    done = shell("keys", "rotate", "k2", "--overlap", "3600")

    assert (done.code, done.out) == (0, "dh_api_new\n")
    assert "not shown again" in done.err and "good until 2026-11-24 22:07:01 UTC" in done.err
    assert (service.last.path, service.last.body) == ("/api/v1/keys/k2/rotate", {"overlap": 3600})
    quiet = shell("keys", "rotate", "k2", "-q")
    assert (quiet.out, quiet.err, service.last.body) == ("dh_api_new\n", "", {})
    assert shell("keys", "rotate", "k2", "--json").json["token"] == "dh_api_new"


def test_a_key_for_browsers_is_made(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KEY, "kind": "client", "environment": "staging", "name": "pages", "token": "dh_client_x"})
    done = shell("keys", "create", "client", "pages", "-e", "staging", "--service", "checkout")
    assert (done.code, done.out) == (0, "dh_client_x\n") and "client key pages" in done.err
    expected = {"kind": "client", "name": "pages", "environment": "staging", "services": ["checkout"]}
    assert (service.last.path, service.last.body) == ("/api/v1/keys", expected)
    assert shell("keys", "create", "client", "pages", "-e", "staging").code == 2  # all services only when it is said


def test_a_third_token_is_a_conflict(service: FakeService, shell: Shell) -> None:
    service.will_refuse(409, "two tokens of the key ci are good")
    done = shell("keys", "rotate", "k2")
    assert (done.code, done.out) == (5, "") and "two tokens" in done.err


def test_the_old_token_is_ended(service: FakeService, shell: Shell) -> None:
    service.will_answer(status=204)
    assert shell("keys", "end-previous", "k2", "--yes").out == "The old token of the key k2 is refused from now on.\n"
    assert (service.last.method, service.last.path) == ("DELETE", "/api/v1/keys/k2/previous")


def test_the_list_says_when_a_key_was_used_and_when_it_ends(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [KEY], "next": None})
    head, row = shell("keys", "list").out.splitlines()
    assert "LAST USED (UTC)" in head and "EXPIRES (UTC)" in head
    assert "2026-11-23 22:07:01" in row and "2027-01-31 00:00:00" in row


def test_a_kill_link_is_made(service: FakeService, shell: Shell) -> None:
    service.will_answer({**LINK, "token": "dh_kill_x", "url": URL}, 201)
    time = "2027-01-31T00:00:00Z"
    done = shell("links", "create", "checkout/new-checkout", "runbook", "-e", "production", "--expires", time)

    assert (done.code, done.out) == (0, f"{URL}\n") and "not shown again" in done.err
    assert service.last.body == {
        "name": "runbook",
        "service": "checkout",
        "flag": "new-checkout",
        "environment": "production",
        "expires_at": time,
    }
    quiet = shell("links", "create", "checkout/new-checkout", "runbook", "-e", "production", "-q")
    assert (quiet.out, quiet.err) == (f"{URL}\n", "")
    assert shell("links", "create", "checkout/new-checkout", "runbook").code == 2


def test_kill_links_are_listed_and_revoked(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [LINK], "next": None})
    row = shell("links", "list").out.splitlines()[1]
    assert row.split()[:4] == ["3f2a9c", "runbook", "checkout/new-checkout", "production"]

    service.will_answer(status=204)
    assert shell("links", "revoke", "3f2a9c", "--yes").out == "The kill link 3f2a9c is revoked.\n"
    assert (service.last.method, service.last.path) == ("DELETE", "/api/v1/links/3f2a9c")
    assert shell("links", "revoke", "..", "--yes").code == 2
