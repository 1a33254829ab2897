"""How often each flag gave each answer, in this process. Counting takes no lock; the work is left to reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from time import monotonic

from downhaul.engine import ErrorCode, Evaluator, Outcome, Reason
from downhaul.engine.counting import read

#: Flag, then variant; where there is no variant, the reason or the error code.
Key = tuple[str, str]
Counted = dict[int, tuple[str, Outcome]]

# A caller that has just read a table when it is replaced still counts in it. After this long none does.
_SETTLED_S = 60.0
_MAX_MISSES = 1000


class Counters:
    """Adds up the outcomes in force, those that were in force before, and the calls that got their default."""

    def __init__(self) -> None:
        self._current: Counted = {}
        self._retired: list[tuple[float, Counted]] = []
        self._settled: Counter[Key] = Counter()
        self._misses: dict[Key, Outcome] = {}
        self._inherited: Counter[Key] = Counter()

    def follow(self, evaluators: Iterable[Evaluator]) -> None:
        """Read the counters of these from now on; what others have counted is kept. Not for two threads at once."""
        current = {id(outcome): (each.name, outcome) for each in evaluators for outcome in each.outcomes}
        gone = {key: pair for key, pair in self._current.items() if key not in current}
        now = monotonic()
        for at, counted in self._retired:
            if now - at > _SETTLED_S:
                self._settled.update(_sum(counted))
        self._retired = [each for each in self._retired if now - each[0] <= _SETTLED_S]
        if gone:
            self._retired.append((now, gone))
        self._current = current

    def missed(self, flag: str, code: ErrorCode) -> None:
        """Count a call that got its default. Takes no lock: `setdefault` lets the first of two threads win."""
        key = (flag if len(self._misses) < _MAX_MISSES else "", str(code))
        outcome = self._misses.get(key)
        if outcome is None:
            outcome = self._misses.setdefault(key, Outcome(None, None, Reason.ERROR, error_code=code))
        next(outcome.counter)

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
        for counted in (self._current, *(each for _, each in self._retired)):
            total.update(_sum(counted))
        for key, outcome in list(self._misses.items()):
            total[key] += read(outcome)
        return total


def _sum(counted: Counted) -> Counter[Key]:
    total: Counter[Key] = Counter()
    for flag, outcome in counted.values():
        if number := read(outcome):
            total[flag, outcome.variant or str(outcome.error_code or outcome.reason)] += number
    return total
