"""The flags that no test has tried on one of their sides, told at the end of a run, over all workers of xdist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from downhaul.testing.watch import Watch, as_text

if TYPE_CHECKING:
    from downhaul.engine import Ruleset

ATTRIBUTE = "downhaul_flags"
"""Of a report of pytest's, which carries it from a worker of pytest-xdist: what `found_by` gives."""

_TITLE = "flags with a side that no test has tried"


Found = dict[str, list[list[str]]]


def found_by(watch: Watch) -> Found:
    """What one test has found, in lists: `tried` holds flag and value (as JSON), `named` the names of one flag."""
    tried = [[name, each] for name, values in watch.tried.items() for each in values]
    return {"tried": tried, "named": [list(names) for names in watch.named]}


class SidesReport:
    """Adds up what the tests have tried, and tells what is missing. A plugin of the process that tells the results."""

    def __init__(self, ruleset: Ruleset | None) -> None:
        self._ruleset = ruleset
        self._tried: dict[str, Counter[str]] = {}
        self._named: set[tuple[str, ...]] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found: Found = getattr(report, ATTRIBUTE, {})
        for flag, value in found.get("tried", ()):
            self._tried.setdefault(flag, Counter())[value] += 1
        self._named.update(map(tuple, found.get("named", ())))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        declared = _declared(self._ruleset)
        for names in self._named:
            if not any(name in self._tried or name in declared for name in names):
                declared[names[0]] = []
        known = self._tried.keys() | declared.keys()
        if not known:
            return
        lines = list(missing(self._tried, declared))
        terminalreporter.section(_TITLE)
        for line in lines:
            terminalreporter.line(line)
        terminalreporter.line(f"tried on each of their sides: {len(known) - len(lines)} of {len(known)} flags")


def missing(tried: Mapping[str, Mapping[str, int]], declared: Mapping[str, list[str]]) -> Iterator[str]:
    """A sentence for each flag that has a side which nobody has tried.

    `tried`: flag, then value as JSON, then in how many tests. `declared`: the values that a flag can have, where they
    are known; of others a boolean has two, and anything else at least two.
    """
    for flag in sorted(tried.keys() | declared.keys()):
        seen = tried.get(flag, {})
        expected = declared.get(flag) or (["true", "false"] if set(seen) <= {"true", "false", "null"} else [])
        untried = [each for each in expected if each not in seen]
        if not seen:
            yield f"{flag}: never evaluated"
        elif untried:
            yield f"{flag}: never {' nor '.join(map(_word, untried))} ({_often(seen)})"
        elif len(seen) == 1 and not expected:
            yield f"{flag}: never anything but {_word(*seen)} ({_often(seen)})"


def _declared(ruleset: Ruleset | None) -> dict[str, list[str]]:
    """The values of a flag's variants; of one that has a single variant, other sides are not known."""
    found: dict[str, list[str]] = {}
    for name, flag in ruleset.flags.items() if ruleset else ():
        values = list(dict.fromkeys(as_text(each) for each in flag.definition.variants.values()))
        found[name] = values if len(values) > 1 else []
    return found


def _often(seen: Mapping[str, int]) -> str:
    return ", ".join(f"{_word(value)} in {count} test{'s' * (count != 1)}" for value, count in sorted(seen.items()))


def _word(text: str) -> str:
    return {"true": "on", "false": "off"}.get(text, text)
