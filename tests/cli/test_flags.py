"""`downhaul flags`: list, show, create, set, rollout, delete, history."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import FLAG, FakeService, Shell

RULES = [{"name": "pro", "when": {"segment": "beta"}, "serve": {"variant": "on"}}]


def state(**changes: Any) -> dict[str, Any]:
    """The flag with another state in production."""
    production = {**FLAG["environments"]["production"], **changes}
    return {**FLAG, "environments": {**FLAG["environments"], "production": production}}


def test_a_list_shows_the_state_in_each_environment(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [FLAG], "next": None})

    header, line = shell("flags", "list", "checkout").out.splitlines()

    assert header.split() == ["FLAG", "TYPE", "PRODUCTION", "STAGING", "OWNER", "TAGS", "EXPIRES"]
    assert line.split() == [
        *("new-checkout", "boolean", "on:", "2", "rules,", "25", "%", "on", "killed"),
        *("team-checkout", "payments", "2027-01-31"),
    ]


def test_a_list_of_one_environment_shows_that_one_only(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [FLAG], "next": None})

    header = shell("flags", "list", "checkout", "-e", "staging").out.splitlines()[0]

    assert header.split() == ["FLAG", "TYPE", "STAGING", "OWNER", "TAGS", "EXPIRES"]


def test_the_filters_of_a_list_are_the_services(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [], "next": None})

    shell(
        *("flags", "list", "checkout", "-e", "staging", "--tag", "beta", "--state", "killed"),
        *("--owner", "me", "--purpose", "ops", "--query", "new"),
    )

    del service.last.query["limit"]
    assert service.last.query == {
        "environment": "staging",
        "tag": "beta",
        "state": "killed",
        "owner": "me",
        "purpose": "ops",
        "query": "new",
    }


def test_a_flag_is_shown_with_its_states_and_rules_in_plain_words(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG)

    out = shell("flags", "show", "checkout/new-checkout").out

    assert "checkout/new-checkout\n" in out
    assert "off = false (served when off)" in out
    assert "payments/new-ledger is on" in out
    assert "production: on" in out
    assert 'when country is "DE" or "FR" and build is at least version "2.1.0"' in out
    assert "50 % on, 50 % off, by user" in out
    assert "25 % on, 75 % off, by user" in out
    assert "staging: killed by anna, 2026-11-23 22:07:01 UTC: double charges" in out


def test_a_flag_is_shown_for_one_environment(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG)
    service.will_answer({"key": "staging"})

    out = shell("flags", "show", "checkout/new-checkout", "-e", "staging").out

    assert "staging: killed" in out
    assert "production" not in out


def test_an_environment_that_does_not_exist_is_not_found(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG)
    service.will_refuse(404, "there is no environment prod")

    assert shell("flags", "show", "checkout/new-checkout", "-e", "prod").code == 4


@pytest.mark.parametrize("name", ["new-checkout", "a/b/c", "checkout/..", "../x", "Checkout/x", "checkout/", "/x", ""])
def test_what_is_no_name_of_a_flag_reaches_no_service(service: FakeService, shell: Shell, name: str) -> None:
    result = shell("flags", "delete", name, "--yes")

    assert result.code == 2
    assert "SERVICE/FLAG" in result.err
    assert service.asked == []


def test_a_boolean_flag_needs_nothing_but_its_name(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG, 201)

    result = shell("flags", "create", "checkout/new-checkout")

    assert result.out == "checkout/new-checkout is made, and off everywhere.\n"
    assert (service.last.method, service.last.path) == ("POST", "/api/v1/services/checkout/flags")
    assert service.last.body == {"key": "new-checkout", "type": "boolean"}


def test_a_flag_is_made_with_all_that_can_be_said(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG, 201)

    shell(
        *("flags", "create", "checkout/colour", "--type", "string", "--off-variant", "blue"),
        *("--variant", "blue=#00f", "--variant", 'red="#f00"', "--owner", "me", "--purpose", "experiment"),
        *("--tag", "a", "--tag", "b", "--expires", "2027-01-31", "--description", "Which"),
    )

    assert service.last.body == {
        "key": "colour",
        "type": "string",
        "variants": {"blue": "#00f", "red": "#f00"},
        "off_variant": "blue",
        "owner": "me",
        "purpose": "experiment",
        "tags": ["a", "b"],
        "expires": "2027-01-31",
        "description": "Which",
    }


def test_variants_of_other_types_are_json(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG, 201)

    shell("flags", "create", "checkout/x", "--type", "json", "--variant", 'big={"n": 5}', "--variant", "none=null")

    assert service.last.body["variants"] == {"big": {"n": 5}, "none": None}


@pytest.mark.parametrize("variant", ["big", "=5", "big=five", "big=NaN"])
def test_what_is_no_variant_is_wrong_usage(service: FakeService, shell: Shell, variant: str) -> None:
    assert shell("flags", "create", "checkout/x", "--type", "number", "--variant", variant).code == 2
    assert service.asked == []


def test_a_variant_that_is_there_twice_is_wrong_usage(shell: Shell) -> None:
    assert shell("flags", "create", "checkout/x", "--variant", "a=true", "--variant", "a=false").code == 2


def test_a_flag_is_made_from_a_file_and_options_win(service: FakeService, shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "flag.json"
    file.write_text(json.dumps({"type": "number", "variants": {"a": 1}, "off_variant": "a", "owner": "them"}))
    service.will_answer(FLAG, 201)

    shell("flags", "create", "checkout/x", "--file", str(file), "--owner", "me")

    assert service.last.body == {
        "key": "x",
        "type": "number",
        "variants": {"a": 1},
        "off_variant": "a",
        "owner": "me",
    }


def test_a_flag_as_it_was_shown_can_be_made_again_from_stdin(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(FLAG)))
    service.will_answer(FLAG, 201)

    assert shell("flags", "create", "checkout/new-checkout", "--file", "-").code == 0
    assert service.last.body == FLAG


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"key": "another"}', '{"service": "payments"}', '{"x": NaN}', "null", "[" * 100_000]
)
def test_a_file_that_is_not_this_flag_is_wrong_usage(
    service: FakeService, shell: Shell, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "flag.json"
    file.write_text(content)

    assert shell("flags", "create", "checkout/x", "--file", str(file)).code == 2
    assert shell("flags", "create", "checkout/x", "--file", str(tmp_path / "none.json")).code == 2
    assert service.asked == []


def test_a_state_is_changed_in_one_environment(service: FakeService, shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    service.will_answer(state(on=True, rules=RULES, otherwise={"variant": "off"}))

    result = shell(
        *("flags", "set", "checkout/new-checkout", "-e", "production", "--on", "--serve", "off"),
        *("--rules", str(file), "--reason", "launch", "--if-version", "11"),
    )

    assert result.out == "checkout/new-checkout in production: on: 1 rule, otherwise off (revision 12).\n"
    assert service.last.method == "PATCH"
    assert service.last.path == "/api/v1/services/checkout/flags/new-checkout/environments/production"
    assert service.last.body == {"on": True, "rules": RULES, "otherwise": {"variant": "off"}, "reason": "launch"}
    assert service.last.headers["If-Match"] == '"11"'


def test_off_is_sent_as_such(service: FakeService, shell: Shell) -> None:
    service.will_answer(state(on=False))

    result = shell("flags", "set", "checkout/new-checkout", "-e", "production", "--off")

    assert service.last.body == {"on": False}
    assert "If-Match" not in service.last.headers
    assert "--on` turns it on" in result.err


def test_rules_are_emptied_with_an_empty_list(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG)

    shell("flags", "set", "checkout/new-checkout", "-e", "production", "--rules", "[]")

    assert service.last.body == {"rules": []}


@pytest.mark.parametrize(
    ("arguments", "served"),
    [
        (["--otherwise", "on=25,off=75"], [("on", 25_000), ("off", 75_000), "user"]),
        (["--otherwise", "on=0.125%, off=99.875%", "--by", "tenant"], [("on", 125), ("off", 99_875), "tenant"]),
    ],
)
def test_shares_are_given_in_percent(
    service: FakeService, shell: Shell, arguments: list[str], served: list[Any]
) -> None:
    service.will_answer(FLAG)

    assert shell("flags", "set", "checkout/new-checkout", "-e", "production", *arguments).code == 0

    *shares, by = served
    split = [{"variant": variant, "weight": weight} for variant, weight in shares]
    assert service.last.body == {"otherwise": {"split": split, "by": by}}


def test_what_is_otherwise_served_can_be_json(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG)

    shell("flags", "set", "checkout/new-checkout", "-e", "production", "--otherwise", '{"variant": "on"}')

    assert service.last.body == {"otherwise": {"variant": "on"}}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--reason", "because"],
        ["--by", "user"],
        ["--serve", "on", "--otherwise", "on=100"],
        ["--otherwise", "on=25,off=74"],
        ["--otherwise", "on"],
        ["--otherwise", "on=x"],
        ["--otherwise", "on=nan"],
        ["--otherwise", "on=-1,off=101"],
        ["--otherwise", "on=0.0001,off=99.9999"],
        ["--otherwise", "{"],
        ["--otherwise", '{"variant": "on"}', "--by", "user"],
        ["--rules", "/nowhere/rules.json"],
    ],
)
def test_a_change_that_makes_no_sense_is_wrong_usage(service: FakeService, shell: Shell, arguments: list[str]) -> None:
    assert shell("flags", "set", "checkout/new-checkout", "-e", "production", *arguments).code == 2
    assert service.asked == []


@pytest.mark.parametrize("command", [["set", "--on"], ["rollout", "25"]])
def test_a_change_names_its_environment(service: FakeService, shell: Shell, command: list[str]) -> None:
    verb, argument = command
    result = shell("flags", verb, "checkout/new-checkout", argument)

    assert result.code == 2
    assert "--environment" in result.err
    assert service.asked == []


def test_a_change_of_a_killed_flag_says_that_it_stays_killed(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG)

    result = shell("flags", "set", "checkout/new-checkout", "-e", "staging", "--on")

    assert result.out == "checkout/new-checkout in staging: killed (revision 12).\n"
    assert "It stays killed" in result.err
    assert "downhaul restore checkout/new-checkout -e staging" in result.err


@pytest.mark.parametrize(
    ("text", "percent"), [("25", 25), ("25%", 25), ("0", 0), ("100", 100), ("12.5", 12.5), ("0.125", 0.125)]
)
def test_a_rollout_is_given_in_percent(service: FakeService, shell: Shell, text: str, percent: float) -> None:
    service.will_answer(state(rules=[]))

    result = shell("flags", "rollout", "checkout/new-checkout", text, "-e", "production", "--by", "user")

    assert result.out == "checkout/new-checkout in production: on: 25 % on (revision 12).\n"
    assert service.last.body == {"rollout": percent, "by": "user"}


@pytest.mark.parametrize("text", ["101", "-1", "0.0001", "nan", "many", "1e999", ""])
def test_what_is_no_percentage_is_wrong_usage(service: FakeService, shell: Shell, text: str) -> None:
    assert shell("flags", "rollout", "checkout/new-checkout", "-e", "production", "--", text).code == 2
    assert service.asked == []


def test_a_change_of_what_somebody_else_has_changed_is_a_conflict(service: FakeService, shell: Shell) -> None:
    service.will_refuse(412, "the change was meant for version 3, but it is at version 12", current_version=12)

    result = shell("flags", "rollout", "checkout/new-checkout", "50", "-e", "production", "--if-version", "3")

    assert result.code == 5
    assert "version 12" in result.err


def test_a_flag_is_removed_when_that_is_confirmed(service: FakeService, shell: Shell) -> None:
    service.will_answer(status=204)

    result = shell("flags", "delete", "checkout/new-checkout", "--yes")

    assert result.out == "checkout/new-checkout is removed.\n"
    assert (service.last.method, service.last.path) == ("DELETE", "/api/v1/services/checkout/flags/new-checkout")
    assert shell("flags", "delete", "checkout/new-checkout", "--yes", "--json").json == {
        "deleted": "checkout/new-checkout"
    }


def test_where_nobody_can_answer_a_removal_demands_yes(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    result = shell("flags", "delete", "checkout/new-checkout")

    assert result.code == 2
    assert "--yes" in result.err
    assert service.asked == []


def test_the_history_tells_what_became_different(service: FakeService, shell: Shell) -> None:
    changes = [
        {"op": "replace", "path": "/environments/production/on", "before": False, "after": True},
        {"op": "add", "path": "/variants/a~1b", "after": {"long": "x" * 200}},
        {"op": "remove", "path": "/tags/0", "before": "beta"},
    ]
    entry = {"revision": 12, "at": "2026-11-23T22:07:01Z", "actor": "anna", "action": "flag.update"}
    service.will_answer({"items": [{**entry, "reason": "launch", "changes": changes}], "next": None})

    out = shell("flags", "history", "checkout/new-checkout").out

    assert "12" in out and "anna" in out and "flag.update" in out and "launch" in out
    assert "environments/production/on: false -> true" in out
    assert 'variants/a/b: {"long": "xxx' in out and "... (new)" in out
    assert 'tags/0: "beta" (gone)' in out


def test_lines_in_a_pipe_are_whole_and_no_longer_than_their_text(service: FakeService, shell: Shell) -> None:
    service.will_answer({**FLAG, "description": "word " * 100 + "end"})

    lines = shell("flags", "show", "checkout/new-checkout").out.splitlines()

    assert any("word " * 100 + "end" in line for line in lines)
    assert max(map(len, lines)) < 600
