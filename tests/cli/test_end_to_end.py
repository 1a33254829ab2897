"""The command against the real API: the shapes that both sides have agreed upon."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.store.keys import LOG
from support.api import ADMIN, Client, open_client
from support.cli import Shell
from support.redis import FakeRedis
from werkzeug.serving import make_server

PRO = {"name": "pro", "when": {"attribute": "plan", "op": "in", "values": ["pro"]}, "serve": {"variant": "on"}}


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def server(redis: FakeRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A running service with nothing in it, and its administrator's token in the environment."""
    with open_client(redis, tmp_path) as client:
        server = make_server("127.0.0.1", 0, client.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        logging.disable()  # the server's log would mix with what the command says on stderr
        monkeypatch.setenv("DOWNHAUL_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("DOWNHAUL_TOKEN", ADMIN)
        yield client
        logging.disable(logging.NOTSET)
        server.shutdown()
        thread.join(5)
        server.server_close()


@pytest.fixture
def sh(server: Client, shell: Shell) -> Shell:
    """The command, with a service and two flags."""
    assert shell("services", "create", "checkout", "--name", "Checkout").code == 0
    assert shell("flags", "create", "checkout/new-checkout", "--tag", "payments").code == 0
    assert shell("flags", "create", "checkout/one-click").code == 0
    return shell


def explained(sh: Shell, *attributes: str) -> tuple[str, str]:
    answer = sh("explain", "checkout/new-checkout", "-e", "production", *attributes, "--json").json
    return answer["variant"], answer["reason"]


def test_a_flag_from_its_making_to_its_removal(sh: Shell) -> None:
    flag, production = "checkout/new-checkout", ("-e", "production")
    assert explained(sh) == ("off", "DISABLED")

    assert sh("flags", "set", flag, *production, "--on", "--rules", json.dumps([PRO]), "--serve", "off").code == 0
    assert explained(sh, "plan=pro") == ("on", "TARGETING_MATCH")
    assert explained(sh, "plan=free") == ("off", "DEFAULT")

    rolled_out = sh("flags", "rollout", flag, "100", *production, "--by", "user")
    assert "100 % on" in rolled_out.out
    assert explained(sh, "user=42") == ("on", "SPLIT")

    killed = sh("kill", flag, "--reason", "double charges")
    assert killed.out.startswith("checkout/new-checkout is killed in production (revision ")
    again = sh("kill", flag)
    assert again.code == 0
    assert again.out.startswith("checkout/new-checkout was already killed in production")
    assert explained(sh, "plan=pro") == ("off", "KILLED")
    assert "killed by admin" in sh("flags", "show", flag).out

    assert sh("restore", flag, "--reason", "fixed").code == 0
    assert explained(sh, "plan=pro") == ("on", "TARGETING_MATCH")

    history = sh("flags", "history", flag)
    assert "double charges" in history.out and "environments/production/on: false -> true" in history.out
    assert sh("flags", "delete", flag, "--yes").code == 0
    assert sh("flags", "show", flag).code == 4


def test_every_text_for_people_can_be_made_from_the_real_answers(sh: Shell) -> None:
    sh("kill", "checkout/one-click")
    for arguments in (
        *(["services", "list"], ["environments", "list"], ["flags", "list", "checkout"], ["segments", "list"]),
        *(["flags", "show", "checkout/one-click", "-e", "production"], ["flags", "history", "checkout/one-click"]),
        *(["log"], ["keys", "list"], ["status"], ["explain", "checkout/one-click", "user=42"]),
    ):
        result = sh(*arguments)
        assert result.code == 0, (arguments, result.err)
        assert json.loads(sh(*arguments, "--json").out) is not None


def test_an_explanation_shows_each_step(sh: Shell) -> None:
    sh("flags", "set", "checkout/new-checkout", "-e", "production", "--on", "--rules", json.dumps([PRO]))

    out = sh("explain", "checkout/new-checkout", "plan=free").out

    assert "not killed" in out
    assert "does not match" in out and "plan" in out


def test_many_flags_are_killed_by_tag_and_by_name_in_one_revision(sh: Shell) -> None:
    killed = sh("kill", "checkout/one-click", "--tag", "payments", "--json").json

    assert killed["flags"] == ["checkout/new-checkout", "checkout/one-click"]
    newest = sh("log", "--limit", "1", "--json").json[0]
    assert newest["revision"] == killed["revision"]
    assert len(newest["documents"]) == 2
    assert "2 flags were already killed" in sh("kill", "--service", "checkout").out


def test_a_typo_among_others_is_told_and_stops_nothing(sh: Shell) -> None:
    result = sh("kill", "checkout/new-checkout", "checkout/typo")

    assert result.code == 4
    assert "checkout/new-checkout is killed" in result.out
    assert "checkout/typo" in result.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["flags", "show", "checkout/none"], 4),
        (["flags", "list", "none"], 4),
        (["kill", "checkout/none"], 4),
        (["kill", "checkout/new-checkout", "-e", "nowhere"], 4),
        (["flags", "create", "checkout/new-checkout"], 5),
        (["services", "create", "checkout"], 5),
        (["services", "delete", "checkout", "--yes"], 5),
        (["flags", "delete", "checkout/new-checkout", "--yes", "--if-version", "999"], 5),
        (["flags", "set", "checkout/new-checkout", "-e", "production", "--serve", "none"], 1),
        (["flags", "create", "checkout/colour", "--type", "string"], 1),
    ],
)
def test_refusals_of_the_real_service_have_their_exit_codes(sh: Shell, arguments: list[str], code: int) -> None:
    result = sh(*arguments)

    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("Error: ")
    assert json.loads(sh(*arguments, "--json").err)["exit_code"] == code


def test_a_rule_that_cannot_be_compiled_is_told_with_its_place(sh: Shell) -> None:
    wrong = {**PRO, "when": {"attribute": "plan", "op": "matches", "values": ["("]}}

    result = sh("flags", "set", "checkout/new-checkout", "-e", "production", "--rules", json.dumps([wrong]))

    assert result.code == 1
    assert "rules" in result.err and "values" in result.err


def test_a_flag_as_json_can_be_made_again_under_another_name(sh: Shell, tmp_path: Path) -> None:
    document = sh("flags", "show", "checkout/new-checkout", "--json").json
    file = tmp_path / "flag.json"
    file.write_text(json.dumps({**document, "key": "copy"}))

    assert sh("flags", "create", "checkout/copy", "--file", str(file)).code == 0
    assert sh("flags", "show", "checkout/copy", "--json").json["tags"] == ["payments"]


def test_segments_are_made_used_and_kept_while_they_are_used(sh: Shell) -> None:
    when = {"attribute": "beta", "op": "in", "values": [True]}
    assert sh("segments", "set", "beta", "--when", json.dumps(when), "--name", "Beta testers").code == 0
    rules = [{"name": "beta", "when": {"segment": "beta"}, "serve": {"variant": "on"}}]
    sh("flags", "set", "checkout/new-checkout", "-e", "production", "--on", "--rules", json.dumps(rules))

    assert explained(sh, "beta:=true")[0] == "on"
    assert sh("segments", "set", "beta", "--when", json.dumps({"not": when})).code == 0
    assert sh("segments", "show", "beta", "--json").json["name"] == "Beta testers"
    assert sh("segments", "delete", "beta", "--yes").code == 5


def test_an_operator_may_kill_but_not_restore(sh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    token = sh("keys", "create", "api", "on-call", "--role", "operator", "--quiet").out.strip()
    monkeypatch.setenv("DOWNHAUL_TOKEN", token)

    assert sh("kill", "checkout/new-checkout").code == 0
    assert sh("restore", "checkout/new-checkout", "--reason", "x").code == 6
    monkeypatch.setenv("DOWNHAUL_TOKEN", token + "x")
    assert sh("kill", "checkout/new-checkout").code == 6


def test_an_sdk_key_is_made_listed_and_revoked(sh: Shell, server: Client) -> None:
    token = sh("keys", "create", "sdk", "prod", "-e", "production", "--service", "checkout", "-q").out.strip()
    server.tokens["sdk"] = token
    assert server.get("/sdk/v1/snapshot?service=checkout", by="sdk").status_code == 200

    key = next(each for each in sh("keys", "list", "--kind", "sdk", "--json").json if each["name"] == "prod")
    assert token not in json.dumps(key)
    assert sh("keys", "revoke", key["id"], "--yes").code == 0
    assert server.get("/sdk/v1/snapshot?service=checkout", by="sdk").status_code == 401


def test_lists_longer_than_a_page_come_whole(sh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downhaul.cli.api.PAGE", 2)
    for number in range(5):
        sh("services", "create", f"s{number}")

    assert len(sh("services", "list", "--json").json) == 6
    assert len(sh("services", "list", "--limit", "3", "--json").json) == 3


def test_the_log_is_filtered(sh: Shell) -> None:
    sh("kill", "checkout/new-checkout", "--reason", "test")

    only = sh("log", "--flag", "checkout/new-checkout", "--action", "flag.kill", "--by", "admin", "--since", "1h")

    assert len(only.out.splitlines()) == 2
    assert sh("log", "--until", "2020-01-01", "--json").json == []


def test_a_log_that_somebody_has_tampered_with(sh: Shell, redis: FakeRedis) -> None:
    whole = sh("audit", "verify")
    assert whole.code == 0 and whole.out.startswith("The log is whole up to revision ")
    redis.client().xdel(LOG, "3-0")
    found = sh("audit", "verify")
    assert found.code == 1 and found.out == "- revision 3: missing from the log\n"
    assert "the log is not what was written: 1 fault" in found.err
    assert sh("audit", "verify", "--json").json["faults"] == ["revision 3: missing from the log"]


def test_the_log_is_taken_away_and_verified(sh: Shell, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    assert sh("audit", "export", "--output", str(file)).code == 0
    assert sh("audit", "export").out == file.read_text("utf-8")
    whole = sh("audit", "verify", "--file", str(file))
    assert whole.code == 0 and whole.out == "The export is whole: 4 entries.\n"
    file.write_text(file.read_text("utf-8").replace("new-checkout", "new-cheating", 1), "utf-8")
    found = sh("audit", "verify", "--file", str(file))
    assert found.code == 1 and "- revision 3: the body does not have the digest" in found.out
    assert "the export is not what was written" in found.err
    assert sh("audit", "verify", "--file", str(file), "--json").json["whole"] is False


def test_an_export_of_some_entries(sh: Shell, tmp_path: Path) -> None:
    sh("kill", "checkout/new-checkout", "--reason", "test")
    exported = sh("audit", "export", "--action", "flag.kill", "--flag", "checkout/new-checkout")
    head, entry, end = (json.loads(line) for line in exported.out.splitlines())
    assert head["filtered"] and entry["body"]["reason"] == "test" and end == {"end": True, "entries": 1}


def test_exports_that_fail_leave_no_file(sh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be written" in sh("audit", "export", "-o", str(tmp_path / "no" / "log.jsonl")).err
    (tmp_path / "notes").write_text("hello\n")
    assert "is not an export of the log" in sh("audit", "verify", "--file", str(tmp_path / "notes")).err
    monkeypatch.setenv("DOWNHAUL_TOKEN", "wrong")
    refused = sh("audit", "export", "-o", str(tmp_path / "log.jsonl"))
    assert refused.code == 6 and not (tmp_path / "log.jsonl").exists()


def test_who_was_refused(sh: Shell, server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sh("keys", "create", "api", "watcher", "--role", "viewer", "--json").json
    monkeypatch.setenv("DOWNHAUL_TOKEN", made["token"])
    assert sh("kill", "checkout/new-checkout").code == 6
    monkeypatch.setenv("DOWNHAUL_TOKEN", ADMIN)
    server.services.audit._refusals.flush()
    shown = sh("log", "--action", "refused")
    assert shown.code == 0 and "watcher" in shown.out and "POST /api/v1/services/checkout/flags" in shown.out
    assert sh("log", "--action", "refused", "--follow").code == 2
