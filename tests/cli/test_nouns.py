"""Services, environments, segments, keys, the log and the status."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from support.cli import FakeService, Shell

TIMES = {"version": 7, "created_at": "2026-11-01T08:00:00Z", "updated_at": "2026-11-02T08:00:00Z"}
SEGMENT = {"key": "beta", "name": "Beta testers", "when": {"attribute": "beta", "op": "in", "values": [True]}, **TIMES}
SDK_KEY = {
    "id": "k1",
    "kind": "sdk",
    "name": "checkout-prod",
    "environment": "production",
    "services": ["checkout"],
    "created_at": "2026-11-01T08:00:00Z",
    "created_by": "admin",
}
API_KEY = {
    "id": "k2",
    "kind": "api",
    "name": "ci",
    "role": "operator",
    "environments": ["*"],
    "services": ["*"],
    "expires": None,
    "created_at": "2026-11-01T08:00:00Z",
    "created_by": "admin",
}
STATUS = {
    "state": "following",
    "reason": None,
    "revision": 42,
    "epoch": "e1",
    "age_s": 0.2,
    "source": "redis",
    "durability": {},
    "warnings": ["Redis keeps nothing on disk"],
    "version": "0.1.0",
}
ENTRY = {
    "revision": 42,
    "at": "2026-11-23T22:07:01Z",
    "actor": "anna",
    "action": "flag.kill",
    "reason": "double charges",
    "documents": [{"kind": "flag", "service": "checkout", "key": "new-checkout", "changes": []}],
}


@pytest.mark.parametrize("noun", ["services", "environments"])
def test_what_flags_belong_to_is_listed_made_and_removed(service: FakeService, shell: Shell, noun: str) -> None:
    service.will_answer({"items": [{"key": "a", "name": "Team A", **TIMES}], "next": None})
    assert shell(noun, "list").out.splitlines()[1].split()[:3] == ["a", "Team", "A"]

    service.will_answer({"key": "a", "name": "Team A"}, 201)
    assert shell(noun, "create", "a", "--name", "Team A").code == 0
    assert (service.last.path, service.last.body) == (f"/api/v1/{noun}", {"key": "a", "name": "Team A"})

    service.will_answer(status=204)
    assert shell(noun, "delete", "a", "--yes", "--if-version", "7").code == 0
    assert (service.last.method, service.last.path) == ("DELETE", f"/api/v1/{noun}/a")
    assert service.last.headers["If-Match"] == '"7"'


@pytest.mark.parametrize("noun", ["services", "environments", "segments"])
def test_a_key_that_would_lead_elsewhere_reaches_no_service(service: FakeService, shell: Shell, noun: str) -> None:
    for key in ("..", "a/b", "", "A", "a?b"):
        assert shell(noun, "delete", key, "--yes").code == 2
    assert shell("keys", "revoke", "..", "--yes").code == 2
    assert service.asked == []


def test_segments_are_shown_in_plain_words(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [SEGMENT], "next": None})
    assert "beta is true" in shell("segments", "list").out

    service.will_answer(SEGMENT)
    shown = shell("segments", "show", "beta").out
    assert "Beta testers" in shown and "beta is true" in shown


def test_a_segment_keeps_its_name_unless_one_is_given(service: FakeService, shell: Shell) -> None:
    service.will_answer(SEGMENT)

    assert shell("segments", "set", "beta", "--when", json.dumps(SEGMENT["when"])).code == 0

    assert [asked.method for asked in service.asked] == ["GET", "PUT"]
    assert service.last.body == {"key": "beta", "name": "Beta testers", "when": SEGMENT["when"]}
    assert service.last.headers["If-Match"] == '"7"'


def test_a_new_segment_is_called_like_its_key(service: FakeService, shell: Shell) -> None:
    service.will_refuse(404, "there is no segment beta")
    service.will_answer(SEGMENT, 201)

    assert shell("segments", "set", "beta", "--when", '{"segment": "alpha"}').code == 0

    assert service.last.body["name"] == "beta"
    assert "If-Match" not in service.last.headers


def test_a_segment_with_a_name_is_set_in_one_request(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"segment": "alpha"}'))
    service.will_answer(SEGMENT)

    assert shell("segments", "set", "beta", "--when", "-", "--name", "Beta").code == 0

    assert len(service.asked) == 1
    assert service.last.body == {"key": "beta", "name": "Beta", "when": {"segment": "alpha"}}


def test_a_quiet_key_is_the_token_and_nothing_else(service: FakeService, shell: Shell) -> None:
    service.will_answer({**SDK_KEY, "token": "dh_sdk_secret"}, 201)

    result = shell("keys", "create", "sdk", "checkout-prod", "-e", "production", "--service", "checkout", "--quiet")

    assert (result.out, result.err) == ("dh_sdk_secret\n", "")
    assert service.last.body == {
        "kind": "sdk",
        "name": "checkout-prod",
        "environment": "production",
        "services": ["checkout"],
    }


def test_a_new_key_is_told_to_be_shown_this_once(service: FakeService, shell: Shell) -> None:
    service.will_answer({**API_KEY, "token": "dh_api_secret"}, 201)

    result = shell("keys", "create", "api", "ci", "--role", "operator", "--service", "checkout", "-e", "production")

    assert result.out == "dh_api_secret\n"
    assert "not shown again" in result.err
    assert service.last.body == {
        "kind": "api",
        "name": "ci",
        "role": "operator",
        "services": ["checkout"],
        "environments": ["production"],
    }


def test_a_new_key_as_json_holds_the_token(service: FakeService, shell: Shell) -> None:
    service.will_answer({**API_KEY, "token": "dh_api_secret"}, 201)

    result = shell("keys", "create", "api", "ci", "--role", "viewer", "--json")

    assert result.json["token"] == "dh_api_secret"
    assert result.err == ""


def test_keys_are_listed_with_what_they_are_for(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [SDK_KEY, API_KEY], "next": None})

    _, sdk, api = shell("keys", "list", "--kind", "sdk").out.splitlines()

    assert service.last.query["kind"] == "sdk"
    assert sdk.split()[:5] == ["k1", "sdk", "checkout-prod", "checkout", "production"]
    assert api.split()[:6] == ["k2", "api", "ci", "operator", "all", "all"]


def test_a_key_is_revoked(service: FakeService, shell: Shell) -> None:
    service.will_answer(status=204)

    assert shell("keys", "revoke", "k1", "--yes").out == "The key k1 is revoked.\n"
    assert (service.last.method, service.last.path) == ("DELETE", "/api/v1/keys/k1")


def test_the_log_tells_who_did_what_to_which_and_why(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [ENTRY], "next": None})

    line = shell("log").out.splitlines()[1]

    assert line.split() == [
        *("42", "2026-11-23", "22:07:01", "anna", "flag.kill", "checkout/new-checkout", "double", "charges"),
    ]


def test_the_filters_of_the_log_are_the_services(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [], "next": None})

    shell(
        *("log", "--service", "checkout", "--flag", "checkout/x", "-e", "staging", "--by", "anna"),
        *("--action", "flag.kill", "--since", "2026-11-23", "--until", "2026-11-24T01:00:00+01:00", "--limit", "9"),
    )

    assert service.last.query == {
        "service": "checkout",
        "flag": "checkout/x",
        "environment": "staging",
        "by": "anna",
        "limit": "9",
        "action": "flag.kill",
        "since": "2026-11-23T00:00:00Z",
        "until": "2026-11-24T00:00:00Z",
    }


@pytest.mark.parametrize("moment", ["30m", "2h", "7d", "1w", "90s"])
def test_a_time_can_be_how_long_ago_it_was(service: FakeService, shell: Shell, moment: str) -> None:
    service.will_answer({"items": [], "next": None})

    assert shell("log", "--since", moment).code == 0
    assert service.last.query["since"].endswith("Z")


@pytest.mark.parametrize("moment", ["yesterday", "2h ago", "999999w", "2026-13-01", ""])
def test_what_is_no_time_is_wrong_usage(service: FakeService, shell: Shell, moment: str) -> None:
    assert shell("log", "--since", moment).code == 2
    assert service.asked == []


def test_the_log_shows_the_newest_and_says_that_there_is_more(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [ENTRY] * 50, "next": "c1"})

    result = shell("log", "--json")

    assert len(result.json) == 50
    assert len(service.asked) == 1
    assert "--all" in result.err


@pytest.mark.parametrize("arguments", [["--all"], ["--all", "--limit", "1"]])
def test_the_log_can_be_read_to_its_beginning(service: FakeService, shell: Shell, arguments: list[str]) -> None:
    service.will_answer({"items": [ENTRY], "next": "c1"})
    service.will_answer({"items": [ENTRY], "next": None})

    result = shell("log", *arguments, "--json")

    assert len(result.json) == 2
    assert result.err == ""


def test_the_status_says_how_the_service_is(service: FakeService, shell: Shell) -> None:
    service.will_answer(STATUS)

    result = shell("status")

    assert result.code == 0
    assert "follows its store" in result.out and "42" in result.out and "Redis keeps nothing on disk" in result.out


@pytest.mark.parametrize("state", ["away", "diverged", "loading"])
def test_a_service_that_takes_no_changes_has_an_exit_code(service: FakeService, shell: Shell, state: str) -> None:
    answer: dict[str, Any] = {**STATUS, "state": state, "reason": "connection refused"}
    service.will_answer(answer)

    result = shell("status", "--json")

    assert result.code == 7
    assert result.json == answer
    assert "connection refused" in json.loads(result.err)["detail"]
