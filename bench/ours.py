"""What is measured of ours, by itself and beside the peers: `enabled` as a program has it, and the floor."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

import flags as measured
from downhaul.answers import Answers
from downhaul.engine import decode_ruleset
from downhaul.evaluate import bind
from downhaul.health import Once
from downhaul.tables import Compiled

KNOWN = {"build": measured.BUILD, "service": "bench", "environment": "production"}
Work = Callable[[int], object]


def enabled_over(documents: dict[str, Any]) -> Callable[..., bool]:
    """`enabled` as a program has it, over these flags."""
    compiled = Compiled().then(decode_ruleset({"flags": documents, "segments": {}}), KNOWN, {})

    def missed(flag: object, boolean: bool, error: Exception, default: object, given: object, /) -> None:
        raise AssertionError(f"{flag} was not evaluated: {error!r}")

    enabled, _, swap = bind(missed)
    swap(*compiled.tables())
    return enabled


def answers_over(documents: dict[str, Any]) -> Answers:
    """All the getters that a client has, over these flags."""
    answers = Answers(Once())
    answers.force(Compiled().then(decode_ruleset({"flags": documents, "segments": {}}), KNOWN, {}, 1))
    return answers


def floor() -> Work:
    table = {"plain-on": True}

    def bare(name: str) -> bool:
        return table[name]

    def run(times: int) -> None:
        for _ in repeat(None, times):
            bare("plain-on")

    return run
