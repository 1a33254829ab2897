"""From what was found to what callers read: flags compiled, and the two tables of `evaluate` made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from downhaul.details import FLAG_NOT_FOUND, MESSAGES, NO_METADATA, PROVIDER_NOT_READY, Explanation, Metadata
from downhaul.engine import Evaluator, Ruleset, compile_ruleset, explain, recompile
from downhaul.evaluate import Table, copied

__all__ = ["Compiled", "Ruleset"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A ruleset, what the process knows of itself, its overrides, and the evaluators made of the three."""

    ruleset: Ruleset = field(default_factory=Ruleset)
    known: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    evaluators: Mapping[str, Evaluator] = field(default_factory=dict)
    revision: int | None = None
    """Of the snapshot; None where there is none."""
    ready: bool = False
    """Whether a flag that is not here does not exist: else there is no snapshot yet."""

    def then(
        self,
        ruleset: Ruleset,
        known: Mapping[str, Any],
        overrides: Mapping[str, Any],
        revision: int | None = None,
        *,
        ready: bool = True,
    ) -> Compiled:
        """What comes after this. Flags that cannot have changed keep their evaluators, and so their counters."""
        if known == self.known and _same(overrides, self.overrides):
            evaluators = recompile(self.evaluators, self.ruleset, ruleset, known, overrides)
        else:
            evaluators = compile_ruleset(ruleset, known, overrides)
        return Compiled(ruleset, known, overrides, evaluators, revision, ready)

    def tables(self) -> tuple[Table, Table]:
        """The table of the boolean flags, and that of all."""
        every: Table = {
            name: (None, None, each.run)
            if each.constant is None
            else (each.constant.counter, each.constant.value, None)
            for name, each in self.evaluators.items()
        }
        return {name: every[name] for name, each in self.evaluators.items() if each.type == "boolean"}, every

    def suits(self, evaluator: Evaluator, wanted: str | None) -> bool:
        """Whether a flag is of this type. One that is there only because it is overridden may well be a json flag."""
        kind = evaluator.type
        return wanted is None or kind == wanted or (wanted == "json" and evaluator.name not in self.ruleset.flags)

    def metadata(self, flag: str) -> Metadata:
        """What the flag's owner wants told with each evaluation."""
        found = self.ruleset.flags.get(flag)
        return found.definition.metadata if found else NO_METADATA

    def explain(self, flag: str, context: Mapping[str, Any], default: Any, age_s: float | None) -> Explanation:
        """The value of `flag` for `context`, and every step that led there. `age_s`: seconds."""
        found = explain(self.ruleset, flag, context, known=self.known, overrides=self.overrides, default=default)
        code, message = found.error_code and str(found.error_code), found.error_message
        if code == FLAG_NOT_FOUND and not self.ready:
            code, message = PROVIDER_NOT_READY, MESSAGES[PROVIDER_NOT_READY]
        return Explanation(
            flag,
            copied(found.value),
            found.variant,
            str(found.reason),
            found.rule,
            code,
            message,
            self.revision,
            age_s,
            found.steps,
        )

    def changes_since(self, before: Compiled | None) -> frozenset[str]:
        """The flags that may now answer otherwise; a process that gets another identity has no change to tell of."""
        before = before or Compiled()
        names: set[str] = set()
        if before.ruleset is not self.ruleset:
            names |= {name for name, each in self.evaluators.items() if before.evaluators.get(name) is not each}
            names |= before.evaluators.keys() - self.evaluators.keys()
        if not _same(before.overrides, self.overrides):
            both = before.overrides.keys() | self.overrides.keys()
            names |= {name for name in both if not _same_at(name, before.overrides, self.overrides)}
        return frozenset(_with_dependents(names, self.ruleset))


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
