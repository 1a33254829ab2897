"""How often each flag gave each answer, in this process. Counting takes no lock; the work is left to reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from downhaul.engine import Evaluator, Outcome

#: Flag, then variant; where there is no variant, the reason or the error code.
Key = tuple[str, str]
Counted = dict[int, tuple[str, "Outcome"]]

# A caller that has just read a table when it is replaced still counts in it. After this long none does.
_SETTLED_S = 60.0
_MAX_MISSES = 1000
_PREFIX: Final = len("count(")


def counted(counter: count[int]) -> int:
    """How often `next` was called on this counter. Its text, `count(5)`, is the one way to read without moving it."""
    return int(repr(counter)[_PREFIX:-1])


class Counters:
    """Adds up the outcomes in force, those that were in force before, and the calls that got their default."""

    def __init__(self) -> None:
        self._current: Counted = {}
        self._retired: list[tuple[float, Counted]] = []
        self._settled: Counter[Key] = Counter()
        self._misses: dict[Key, count[int]] = {}
        self._late: dict[Key, count[int]] = {}
        self._inherited: Counter[Key] = Counter()

    def follow(self, evaluators: Iterable[Evaluator]) -> None:
        """Read the counters of these from now on; what others have counted is kept. Not for two threads at once."""
        current = {id(outcome): (each.name, outcome) for each in evaluators for outcome in each.outcomes}
        gone = {key: pair for key, pair in self._current.items() if key not in current}
        now = monotonic()
        for at, retired in self._retired:
            if now - at > _SETTLED_S:
                self._settled.update(_sum(retired))
        self._retired = [each for each in self._retired if now - each[0] <= _SETTLED_S]
        if gone:
            self._retired.append((now, gone))
        self._current = current

    def missed(self, flag: str, code: str) -> None:
        """Count a call that got its default. Takes no lock: `setdefault` lets the first of two threads win."""
        key = (flag if len(self._misses) < _MAX_MISSES else "", code)
        next(self._misses.get(key) or self._misses.setdefault(key, count()))

    def late(self, flag: str, outcome: Outcome) -> count[int]:
        """A counter for an outcome that is followed no more, or will not be for long: it never stops being read."""
        key = (flag, _answer(outcome))
        return self._late.get(key) or self._late.setdefault(key, count())

    def read(self) -> dict[str, dict[str, int]]:
        """How often, by flag and then by variant (or reason, or error code), since the process began or was forked."""
        counts: dict[str, dict[str, int]] = {}
        for (flag, answer), number in sorted((self._total() - self._inherited).items()):
            counts.setdefault(flag, {})[answer] = number
        return counts

    def restart(self) -> None:
        """Begin at zero: what the parent has counted is the parent's."""
        self._inherited = self._total()

    def _total(self) -> Counter[Key]:
        total = Counter(self._settled)
        for each in (self._current, *(retired for _, retired in self._retired)):
            total.update(_sum(each))
        for keyed in (self._misses, self._late):
            for key, counter in list(keyed.items()):
                if number := counted(counter):
                    total[key] += number
        return total


def _sum(outcomes: Counted) -> Counter[Key]:
    total: Counter[Key] = Counter()
    for flag, outcome in outcomes.values():
        if number := counted(outcome.counter):
            total[flag, _answer(outcome)] += number
    return total


def _answer(outcome: Outcome) -> str:
    return outcome.variant or str(outcome.error_code or outcome.reason)
