"""From a ruleset to what a process runs: for each flag one constant, or one plain function of the context.

Everything that the process knows beforehand is folded in. `explain` walks the same ladder over the same model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from downhaul.engine.conditions import segment_references
from downhaul.engine.evaluation import Outcome, Reason
from downhaul.engine.graph import dependency_order
from downhaul.engine.ladder import Evaluator, Ladder
from downhaul.engine.model import Flag, Ruleset
from downhaul.engine.predicates import Predicates
from downhaul.engine.values import type_of_value, variant_of

NOTHING: Mapping[str, Any] = MappingProxyType({})


def compile_ruleset(
    ruleset: Ruleset, known: Mapping[str, Any] = NOTHING, overrides: Mapping[str, Any] = NOTHING
) -> dict[str, Evaluator]:
    """An evaluator for each flag, and for each name in `overrides` (name -> value).

    `known` holds the attributes that the process knows of itself; they win over a caller's. Compiled functions never
    raise for what a context holds.
    """
    return recompile({}, Ruleset(), ruleset, known, overrides)


def recompile(
    evaluators: Mapping[str, Evaluator],
    before: Ruleset,
    after: Ruleset,
    known: Mapping[str, Any] = NOTHING,
    overrides: Mapping[str, Any] = NOTHING,
) -> dict[str, Evaluator]:
    """The evaluators of `after`, those of flags that cannot have changed since `before` taken from `evaluators`.

    `evaluators` must come from `before` with the same `known` and `overrides`.
    """
    compiler = _Compiler(after, known, overrides, evaluators)
    for name in evaluators.keys() - after.flags.keys():
        del compiler.done[name]
    requirements = {}
    for name in _dirty(before, after):
        flag = after.flags[name]
        if flag.definition.requires:
            requirements[name] = [each.flag for each in flag.definition.requires]
        else:
            compiler.compile(flag)
    for name in dependency_order(requirements):
        compiler.compile(after.flags[name])
    for name in overrides:
        if name not in after.flags:
            compiler.done[name] = _overridden(name, None, overrides[name])
    return compiler.done


def _dirty(before: Ruleset, after: Ruleset) -> set[str]:
    """Flags that changed, that use a segment which changed, or that require such a flag."""
    old, new = before.flags, after.flags
    dirty = {name for name, flag in new.items() if old.get(name) is not flag and old.get(name) != flag}
    if segments := _changed_segments(before, after):
        dirty |= {name for name, flag in new.items() if not segments.isdisjoint(flag.state.segments)}
    dependents: dict[str, list[str]] = {}
    for name, flag in new.items():
        if flag.definition.requires:
            for each in flag.definition.requires:
                dependents.setdefault(each.flag, []).append(name)
    _spread(dirty, [*dirty, *(old.keys() - new.keys())], dependents)
    return dirty


def _changed_segments(before: Ruleset, after: Ruleset) -> set[str]:
    if before.segments == after.segments:
        return set()
    from_old = {key for key, condition in after.segments.items() if before.segments.get(key) != condition}
    users: dict[str, list[str]] = {}
    for key, condition in after.segments.items():
        for used in segment_references(condition):
            users.setdefault(used, []).append(key)
    _spread(from_old, list(from_old), users)
    return from_old


def _spread(reached: set[str], pending: list[str], dependents: Mapping[str, Iterable[str]]) -> None:
    while pending:
        for name in dependents.get(pending.pop(), ()):
            if name not in reached:
                reached.add(name)
                pending.append(name)


def _overridden(name: str, flag: Flag | None, value: Any) -> Evaluator:
    definition = flag.definition if flag else None
    outcome = Outcome(value, variant_of(definition, value), Reason.OVERRIDE)
    return Evaluator(name, type_of_value(value, definition), outcome, None, (outcome,))


class _Compiler:
    """Compiles the flags of one ruleset, each after those that it requires."""

    def __init__(
        self,
        ruleset: Ruleset,
        known: Mapping[str, Any],
        overrides: Mapping[str, Any],
        done: Mapping[str, Evaluator],
    ) -> None:
        self.done = dict(done)
        self._known = known
        self._overrides = overrides
        self._predicates = Predicates(ruleset.segments, known)

    def compile(self, flag: Flag) -> None:
        if flag.name in self._overrides:
            self.done[flag.name] = _overridden(flag.name, flag, self._overrides[flag.name])
        else:
            self.done[flag.name] = Ladder(flag, self._predicates, self._known, self.done).evaluator()
