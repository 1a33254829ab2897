"""From what was found to what callers read: flags compiled, and the two tables of `evaluate` made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from downhaul.engine import Evaluator, Ruleset, compile_ruleset, recompile
from downhaul.evaluate import Entry, Table


@dataclass(frozen=True, slots=True)
class Compiled:
    """A ruleset, what the process knows of itself, its overrides, and the evaluators made of the three."""

    ruleset: Ruleset = field(default_factory=Ruleset)
    known: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    evaluators: Mapping[str, Evaluator] = field(default_factory=dict)

    def then(self, ruleset: Ruleset, known: Mapping[str, Any], overrides: Mapping[str, Any]) -> Compiled:
        """What comes after this. Flags that cannot have changed keep their evaluators, and so their counters."""
        if known == self.known and _same(overrides, self.overrides):
            evaluators = recompile(self.evaluators, self.ruleset, ruleset, known, overrides)
        else:
            evaluators = compile_ruleset(ruleset, known, overrides)
        return Compiled(ruleset, known, overrides, evaluators)

    def tables(self) -> tuple[Table, Table]:
        """The table of the boolean flags, and that of all."""
        every = {name: _entry(each) for name, each in self.evaluators.items()}
        return {name: every[name] for name, each in self.evaluators.items() if each.type == "boolean"}, every


def changed(before: Compiled, after: Compiled) -> frozenset[str]:
    """The flags that may now answer otherwise; a process that gets another identity has no change to tell of."""
    names: set[str] = set()
    if before.ruleset is not after.ruleset:
        names |= {name for name, each in after.evaluators.items() if before.evaluators.get(name) is not each}
        names |= before.evaluators.keys() - after.evaluators.keys()
    if not _same(before.overrides, after.overrides):
        both = before.overrides.keys() | after.overrides.keys()
        names |= {name for name in both if not _same_at(name, before.overrides, after.overrides)}
    return frozenset(_with_dependents(names, after.ruleset))


def _entry(evaluator: Evaluator) -> Entry:
    if evaluator.constant is None:
        return None, None, evaluator.evaluate
    return evaluator.constant.counter, evaluator.constant.value, None


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(_same_at(name, one, other) for name in one)


def _same_at(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    # By their text, because `1 == True`.
    return name in one and name in other and repr(one[name]) == repr(other[name])


def _with_dependents(names: Iterable[str], ruleset: Ruleset) -> set[str]:
    reached, grown = set(names), True
    while grown:
        more = {
            name
            for name, flag in ruleset.flags.items()
            if name not in reached and any(each.flag in reached for each in flag.definition.requires)
        }
        reached, grown = reached | more, bool(more)
    return reached
