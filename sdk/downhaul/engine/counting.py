"""How often an answer was given: counted by one step in C, which no thread can interrupt, and read without moving."""

from __future__ import annotations

from typing import Final

from downhaul.engine.evaluation import Outcome

_PREFIX: Final = len("count(")


def read(outcome: Outcome) -> int:
    """How often `outcome` was counted since it was made."""
    # The text `count(5)` is the one way to read a counter of itertools without moving it.
    return int(repr(outcome.counter)[_PREFIX:-1])
