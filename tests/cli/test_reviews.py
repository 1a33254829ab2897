"""Reviews from the command line, against the real API."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api import ADMIN, Client, open_client
from support.cli import Shell
from support.redis import FakeRedis
from werkzeug.serving import make_server

FLAG, PRODUCTION = "checkout/new-checkout", ("-e", "production")


class Team:
    """Everybody has a token of their own; production demands one approval."""

    def __init__(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        self._shell = shell
        self._patch = monkeypatch
        self._tokens = {"admin": ADMIN}
        for name, role in (("ada", "editor"), ("ben", "approver")):
            made = self.as_("admin", "keys", "create", "api", name, "--role", role, "--json").json
            self._tokens[name] = made["token"]

    def as_(self, name: str, *arguments: str):  # type: ignore[no-untyped-def]
        self._patch.setenv("DOWNHAUL_TOKEN", self._tokens[name])
        return self._shell(*arguments)


@pytest.fixture
def team(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    with open_client(FakeRedis(), tmp_path) as client:
        yield from running(client, shell, monkeypatch)


def running(client: Client, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    server = make_server("127.0.0.1", 0, client.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    logging.disable()
    monkeypatch.setenv("DOWNHAUL_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        team = Team(shell, monkeypatch)
        assert team.as_("admin", "services", "create", "checkout").code == 0
        assert team.as_("admin", "flags", "create", FLAG).code == 0
        made = team.as_("admin", "environments", "set", "production", "--protected", "--approvals", "1")
        assert (made.code, made.out) == (
            0,
            "The environment production is set; changes: with a reason and 1 approval.\n",
        )
        yield team
    finally:
        logging.disable(logging.NOTSET)
        server.shutdown()
        thread.join(5)
        server.server_close()


def asked(team: Team) -> str:
    words = ("flags", "rollout", FLAG, "25", *PRODUCTION, "--review", "--reason", "more users", "--json")
    return str(team.as_("ada", *words).json["id"])


def test_a_change_that_has_to_be_approved_says_the_command_that_asks(team: Team) -> None:
    refused = team.as_("ada", "flags", "set", FLAG, *PRODUCTION, "--on", "--reason", "go live")
    assert refused.code == 5
    said = " ".join(refused.err.split())
    assert f"downhaul flags set {FLAG} -e production --on --reason 'go live' --review" in said


def test_without_a_reason_it_says_what_is_missing(team: Team) -> None:
    refused = team.as_("ada", "flags", "set", FLAG, *PRODUCTION, "--on")
    assert refused.code == 1
    assert "needs a reason" in refused.err
    assert team.as_("ada", "flags", "set", FLAG, *PRODUCTION, "--on", "--review").code == 2
    words = ("flags", "set", FLAG, *PRODUCTION, "--on", "--review", "--reason", "x", "--wait")
    assert team.as_("ada", *words).code == 2


def test_from_asking_to_the_change(team: Team) -> None:
    opened = team.as_("ada", "flags", "set", FLAG, *PRODUCTION, "--on", "--reason", "go live", "--review")
    assert opened.code == 0
    assert "In production: switched on" in opened.out
    review = team.as_("ben", "reviews", "list", "--status", "open", "--json").json[0]["id"]
    assert review in opened.out
    shown = team.as_("ben", "reviews", "show", review)
    assert "go live" in shown.out and "You may approve" in shown.out
    assert team.as_("ben", "reviews", "approve", review).code == 2
    assert team.as_("ada", "reviews", "approve", review, "--yes").code == 6
    approved = team.as_("ben", "reviews", "approve", review, "--yes")
    assert approved.code == 0
    assert f"The review {review} of {FLAG} is applied." in approved.out
    assert team.as_("ada", "flags", "show", FLAG, "--json").json["environments"]["production"]["on"] is True
    again = team.as_("ben", "reviews", "reject", review)
    assert again.code == 5


def test_rejected_withdrawn_stale_and_taken_up_again(team: Team) -> None:
    assert "rejected" in team.as_("ben", "reviews", "reject", asked(team), "--reason", "no").out
    assert "withdrawn" in team.as_("ada", "reviews", "withdraw", asked(team)).out
    review = asked(team)
    assert team.as_("admin", "flags", "set", FLAG, *PRODUCTION, "--on", "--reason", "glass").code == 0
    stale = team.as_("ben", "reviews", "show", review)
    assert "What has changed since" in stale.out
    assert team.as_("ben", "reviews", "approve", review, "--yes").code == 5
    assert team.as_("ada", "reviews", "rebase", review).code == 0
    assert team.as_("ben", "reviews", "approve", review, "--yes", "--if-version", "1").code == 5
    assert team.as_("ben", "reviews", "approve", review, "--yes").code == 0
    assert team.as_("ada", "reviews", "apply", review).code == 5
    assert FLAG in team.as_("ada", "reviews", "list", "--service", "checkout", "-e", "production").out


def test_restores_deletions_segments_and_environments_are_asked_for_alike(team: Team) -> None:
    why = ("--review", "--reason", "x")
    assert team.as_("ada", "kill", FLAG, *PRODUCTION).code == 0
    assert team.as_("ada", "restore", FLAG, *PRODUCTION, "--reason", "x").code == 5
    assert team.as_("ada", "restore", FLAG, *PRODUCTION, *why).code == 0
    assert team.as_("ada", "restore", "--service", "checkout", *why).code == 2
    assert team.as_("ada", "flags", "delete", FLAG, *why).code == 0
    condition = '{"attribute": "plan", "op": "in", "values": ["pro"]}'
    assert team.as_("admin", "segments", "set", "beta", "--when", condition).code == 0
    rules = '[{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]'
    assert team.as_("admin", "flags", "set", FLAG, *PRODUCTION, "--rules", rules, "--reason", "x").code == 0
    other = '{"attribute": "plan", "op": "in", "values": ["free"]}'
    assert team.as_("ada", "segments", "set", "beta", "--when", other, *why).code == 0
    assert team.as_("admin", "environments", "set", "production", "--approvals", "0", *why).code == 0
    assert len(team.as_("ada", "reviews", "list", "--json").json) == 4


def test_environments_tell_what_a_change_needs(team: Team) -> None:
    assert "with a reason and 1 approval" in team.as_("ada", "environments", "list").out
    assert team.as_("admin", "environments", "set", "production").code == 2
    made = team.as_("admin", "environments", "set", "production", "--unprotected", "--reason", "glass")
    assert made.out == "The environment production is set; changes: free.\n"


def test_the_log_says_who_approved_and_who_broke_the_glass(team: Team) -> None:
    review = asked(team)
    assert team.as_("ben", "reviews", "approve", review, "--yes").code == 0
    assert team.as_("admin", "flags", "set", FLAG, *PRODUCTION, "--on", "--reason", "at night").code == 0
    for words in (("log", "--limit", "2"), ("flags", "history", FLAG)):
        said = " ".join(team.as_("ada", *words).out.replace("│", " ").split())
        assert "asked by ada" in said
        assert "broke the" in said
