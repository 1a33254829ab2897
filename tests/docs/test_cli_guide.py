"""docs/cli.md: every example is given to the command, in the page's order, against a real server; only ids are ours."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli import Shell
from support.guides import blocks
from support.typed import House, Terminal

pytestmark = [pytest.mark.redis, pytest.mark.slow]

IN_A_TERMINAL = ("pip install", "case $?")
"""Blocks that are more than commands of ours."""
ID = re.compile(r"4f1c09aa27|3f2a9c|746eb1f9b8556432")
STDIN = {"slack-address.txt": "https://hooks.slack.com/services/T0/B0/x\n"}
RULES = '[{"name": "beta testers", "when": {"segment": "beta"}, "serve": {"variant": "on"}}]'
ENDS = {
    "flags delete checkout/new-checkout": 2,  # it asks, and here nobody can answer; the next line says `--yes`
    "reviews approve 4f1c09aa27": 2,
    "reviews apply 4f1c09aa27 --if-version 58": 1,  # nobody has approved it
    "webhooks test 746eb1f9b8556432": 1,  # nobody has that address
}
"""What does not end with 0, and why."""

Example = tuple[list[str], str | None]
"""Words, and what is given on stdin."""


def examples() -> Iterator[Example]:
    for block in blocks("docs/cli.md", "sh"):
        if not any(word in block.text for word in IN_A_TERMINAL):
            yield from map(_example, block.text.splitlines())


def _example(line: str) -> Example:
    """The command, without the pipe, the redirection or the `$(...)` around it."""
    match = re.fullmatch(r"(?:\w+=\$\(|eval \"\$\()?downhaul (.*?)(?:\)\"?)?(?: < (\S+)| > \S+| \| .*)?", line)
    assert match, f"this is no example that is understood: {line}"
    return shlex.split(match[1]), match[2]


class World:
    """What an example needs is there before it, and what it makes is not."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._server = house.server
        self._protected = False
        self._changed = True

    def ready(self, words: list[str]) -> list[str]:
        """The words with ids and versions that are there."""
        noun, verb, *rest = [*words, "", ""]
        if self._protected and "--review" not in words:
            self._house.unprotect()
        if self._changed:
            self._house.furnish()
        self._protected = noun == "reviews" or "--protected" in words
        self._changed = verb in ("create", "delete") or noun in ("kill", "drill")
        if verb in ("create", "delete"):
            self._make_room(noun, verb, rest[0])
        made = self._made(noun, verb) if ID.search(" ".join(words)) else ""
        path = {
            "flags": "services/checkout/flags/new-checkout",
            "segments": "segments/beta",
            "services": "services/checkout",
            "environments": "environments/staging",
        }.get(noun, f"{noun}/{made}")
        found = [made if ID.fullmatch(word) else word for word in words]
        if "--if-version" in words:
            found[words.index("--if-version") + 1] = str(self._house.version(path))
        return found

    def _make_room(self, noun: str, verb: str, name: str) -> None:
        if noun == "services":
            self._house.clear(service=verb == "create")
        elif verb == "create" and noun in ("flags", "environments", "people"):
            service, _, key = name.rpartition("/")
            place = (
                f"services/{service}/flags/{key}"
                if service
                else f"{noun}/{self._person(key) if noun == 'people' else key}"
            )
            self._server.call("DELETE", f"/api/v1/{place}")

    def _person(self, login: str) -> str:
        people = self._server.call("GET", "/api/v1/people").json()["items"]
        return next((each["id"] for each in people if each["login"] == login), "nobody")

    def _made(self, noun: str, verb: str) -> str:
        """The id of a new one."""
        if noun == "reviews":
            return self._review()
        body: dict[str, Any] = {
            "keys": {"kind": "api", "name": "made", "role": "viewer"},
            "links": {"name": "made", "service": "checkout", "flag": "new-checkout", "environment": "production"},
            "webhooks": {"name": "made", "url": "https://hooks.example.com/in"},
        }[noun]
        found: str = self._server.made(noun, body)["id"]
        if verb == "end-previous":
            self._server.made(f"keys/{found}/rotate", {})
        return found

    def _review(self) -> str:
        """Somebody else's, so that it may be approved; one's own with the token of the house."""
        self._server.call("PATCH", "/api/v1/environments/production", {"protected": True, "approvals": 1})
        return self._house.ask_for_review()


def test_every_example(
    house: House, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    for name, text in (("rules.json", RULES), ("condition.json", '{"attribute": "plan", "op": "exists"}')):
        (tmp_path / name).write_text(text)
    flag = house.server.call("GET", "/api/v1/services/checkout/flags/new-checkout").json()
    (tmp_path / "flag.json").write_text(json.dumps({**flag, "key": "copy"}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOWNHAUL_URL", house.server.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    world, wrong, count = World(house), [], 0
    for words, given in examples():
        ours = world.ready(words)
        monkeypatch.setenv(
            "DOWNHAUL_TOKEN",
            house.approver if words[:2] in (["reviews", "approve"], ["reviews", "reject"]) else house.token,
        )
        monkeypatch.setattr("sys.stdin", io.StringIO(STDIN.get(given or "", f"{house.token}\n")))
        if words[:2] == ["audit", "verify"] and "--file" in words:
            assert shell("audit", "export", "--output", "log.jsonl").code == 0
        if "--follow" in words:  # until Ctrl-C
            terminal.type(f"timeout --preserve-status --signal INT 2 downhaul {shlex.join(ours)}")
            continue
        done = shell(*(house.here(word) for word in ours))
        count += 1
        if done.code != ENDS.get(" ".join(words), 0):
            wrong.append((done.code, " ".join(words), done.err or done.out))
    assert not wrong, "\n".join(map(str, wrong))
    assert count > 100
    assert set(ENDS) <= {" ".join(words) for words, _ in examples()}


def test_the_blocks_that_are_more_than_commands(house: House, terminal: Terminal) -> None:
    install, decide = (
        block for block in blocks("docs/cli.md", "sh") if any(word in block.text for word in IN_A_TERMINAL)
    )
    lines = house.here(install).replace('pip install "downhaul[cli]"', "downhaul --version")
    assert "checkout/new-checkout" in terminal.type(lines)
    assert "it is off, everywhere" in terminal.type(decide.text)
