"""An export is verified without the service: whatever was done to it since is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from downhaul.cli.exported import verify

Lines = list[dict[str, Any]]


def link(previous: str, number: int, at_ms: int, digest: str) -> str:
    text = f"{previous}:{number}:{at_ms}:{digest}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def an_export(numbers: int = 6, kind: str = "revision") -> Lines:
    lines: Lines = [{"format": "downhaul-log", "version": 1, "filtered": False}]
    chain = ""
    for number in range(1, numbers + 1):
        body = {"reason": f"reason {number} \u2602", "weight": 0.1 * number, "list": [], "nothing": None}
        digest = hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()
        following = link(chain, number, 1000 + number, digest)
        entry = {"at_ms": 1000 + number, "previous": chain, "digest": digest, "chain": following, "redacted": []}
        lines.append({kind: number} | entry | {"body": body})
        chain = following
    return [*lines, {"end": True, "entries": numbers}]


def faults(lines: Lines) -> list[str]:
    return verify(json.dumps(line) for line in lines).faults


@pytest.mark.parametrize("kind", ["revision", "number"])
def test_a_whole_one(kind: str) -> None:
    verdict = verify(f"{json.dumps(line)}\n" for line in an_export(kind=kind))
    assert verdict.faults == [] and verdict.entries == 6 and verdict.hidden == 0


def alter(lines: Lines) -> None:
    lines[3]["body"]["reason"] = "a whim"


def move_time(lines: Lines) -> None:
    lines[3]["at_ms"] = 5


def remove(lines: Lines) -> None:
    del lines[3]
    lines[-1]["entries"] = 5


def remove_unseen(lines: Lines) -> None:
    del lines[3]


def swap(lines: Lines) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def cut(lines: Lines) -> None:
    del lines[4:]


def add(lines: Lines) -> None:
    lines.append({"revision": 7})


def graft(lines: Lines) -> None:
    """An entry of another history, right in itself."""
    entry = lines[4]
    entry["previous"] = "0" * 40
    entry["chain"] = link(entry["previous"], 4, entry["at_ms"], entry["digest"])


def not_an_entry(lines: Lines) -> None:
    lines[3] = {"revision": 3}


@pytest.mark.parametrize(
    ("tamper", "first"),
    [
        (alter, "revision 3: the body does not have the digest"),
        (move_time, "revision 3: the hash does not follow"),
        (remove, "revision 4: what lies between it and 2 is missing"),
        (remove_unseen, "revision 4: what lies between it and 2 is missing"),
        (swap, "revision 4: what lies between it and 2 is missing"),
        (cut, "the end is missing"),
        (add, "line 9: there is more after the end"),
        (graft, "revision 4: the entry before is not the one"),
        (not_an_entry, "line 4: not an entry"),
    ],
)
def test_what_was_done_to_it_is_found(tamper: Callable[[Lines], None], first: str) -> None:
    lines = an_export()
    tamper(lines)
    assert faults(lines)[0].startswith(first)


def test_where_only_some_were_wanted_gaps_are_none_and_each_is_still_checked() -> None:
    lines = an_export()
    lines[0]["filtered"] = True
    del lines[3]
    lines[-1]["entries"] = 5
    assert faults(lines) == []
    alter(lines)
    assert faults(lines) != []


def test_where_a_secret_is_hidden_the_chain_is_checked_all_the_same() -> None:
    lines = an_export()
    lines[3] |= {"redacted": ["/changes/0/after/hash"], "body": {}}
    verdict = verify(json.dumps(line) for line in lines)
    assert verdict.faults == [] and verdict.hidden == 1
    move_time(lines)
    assert faults(lines) != []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format":"x","version":1}', '{"format":"downhaul-log","version":2}'])
def test_what_is_no_export(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|not JSON|object|first line"):
        verify(text.splitlines())
