"""`downhaul webhooks`."""

from __future__ import annotations

import io
from typing import Any

import pytest
from support.cli import FakeService, Shell

ID = "746eb1f9b8556432"
STATUS: dict[str, Any] = {
    "position": 42,
    "pending": 3,
    "pending_at_least": False,
    "last_delivery": {"at": "2026-11-23T22:07:01Z", "revision": 42, "status": 200},
    "last_error": {"at": "2026-11-23T22:08:01Z", "status": 503, "error": "the answer was 503: maintenance"},
    "failing_since": "2026-11-23T22:07:30Z",
    "attempts": 4,
    "next_attempt_at": "2026-11-23T22:09:00Z",
    "skipped": 0,
    "missed": 0,
}
HOOK: dict[str, Any] = {
    "id": ID,
    "name": "on-call",
    "url": "https://hooks.example.com/in",
    "format": "standard",
    "events": ["flag.kill"],
    "services": ["*"],
    "environments": ["production"],
    "enabled": True,
    "disabled": None,
    "since": 7,
    "created_by": "admin",
    "version": 8,
    "created_at": "2026-11-01T08:00:00Z",
    "updated_at": "2026-11-02T08:00:00Z",
    "status": STATUS,
}
DELIVERY: dict[str, Any] = {
    "at": "2026-11-23T22:08:01Z",
    "id": f"evt_43_aa_{ID}",
    "type": "flag.kill",
    "revision": 43,
    "attempt": 4,
    "outcome": "failed",
    "status": 503,
    "error": "the answer was 503: maintenance",
    "duration_ms": 12,
}


def test_a_secret_is_on_stdout_and_what_it_is_on_stderr(service: FakeService, shell: Shell) -> None:
    service.will_answer({**HOOK, "secret": "whsec_x"}, 201)
    made = shell("webhooks", "create", "on-call", HOOK["url"], "--event", "flag.kill", "-e", "production")

    assert (made.code, made.out.strip()) == (0, "whsec_x")
    assert "not shown again" in made.err
    assert service.last.body == {
        "name": "on-call",
        "url": HOOK["url"],
        "events": ["flag.kill"],
        "environments": ["production"],
    }
    assert shell("webhooks", "rotate", ID, "-q").out == "whsec_x\n"
    assert (service.last.path, service.last.body) == (f"/api/v1/webhooks/{ID}/rotate", {})


def test_the_address_of_a_chat_tool_may_come_from_stdin(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("https://hooks.slack.com/services/T/B/x\n"))
    service.will_answer({**HOOK, "secret": "whsec_x"}, 201)

    assert shell("webhooks", "create", "team", "-", "--format", "slack", "--quiet").code == 0
    assert service.last.body == {"name": "team", "url": "https://hooks.slack.com/services/T/B/x", "format": "slack"}


def test_hooks_are_listed_with_how_they_fare(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [HOOK, {**HOOK, "enabled": False}], "next": None})
    rows = shell("webhooks", "list").out.splitlines()

    assert "failing since 2026-11-23 22:07:30 UTC, 3 events waiting" in rows[1]
    assert "hooks.example.com" in rows[1] and "/in" not in rows[1]
    assert rows[2].rstrip().endswith("off")


def test_a_hook_is_shown_with_what_went_wrong(service: FakeService, shell: Shell) -> None:
    service.will_answer({**HOOK, "disabled": {"at": "2026-11-23T23:00:00Z", "reason": "gone for good"}})
    shown = shell("webhooks", "show", ID).out

    assert "503: maintenance" in shown and "gone for good" in shown and "revision 42" in shown


def test_a_hook_is_changed_switched_off_and_removed(service: FakeService, shell: Shell) -> None:
    service.will_answer({**HOOK, "enabled": False})
    assert "it is off" in shell("webhooks", "update", ID, "--off", "--if-version", "8").out
    assert (service.last.method, service.last.body) == ("PATCH", {"enabled": False})
    assert service.last.headers["If-Match"] == '"8"'
    assert shell("webhooks", "update", ID).code == 2

    service.will_answer(status=204)
    assert shell("webhooks", "delete", ID, "--yes").code == 0
    assert shell("webhooks", "delete", "..", "--yes").code == 2


def test_a_test_says_what_came_back(service: FakeService, shell: Shell) -> None:
    result = {"delivered": True, "status": 200, "error": None, "answer": "", "duration_ms": 12}
    service.will_answer(result)
    done = shell("webhooks", "test", ID)
    assert (done.code, done.out) == (0, "It has arrived: answered 200 (12 ms).\n")

    service.will_answer({**result, "delivered": False, "status": 400, "answer": "invalid_blocks"})
    done = shell("webhooks", "test", ID)
    assert (done.code, done.out) == (1, "It has not arrived: answered 400: invalid_blocks (12 ms).\n")

    service.will_answer({**result, "delivered": False, "status": None, "error": "no TLS with x"})
    assert shell("webhooks", "test", ID).out == "It has not arrived: no TLS with x (12 ms).\n"


def test_attempts_are_listed(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [DELIVERY], "next": None})
    shown = shell("webhooks", "deliveries", ID, "--limit", "5").out

    assert "flag.kill" in shown and "failed" in shown and "503" in shown
    assert service.last.query == {"limit": "5"}
