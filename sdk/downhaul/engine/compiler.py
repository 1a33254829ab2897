"""From a ruleset to what a process runs: for each flag one constant, or one plain function of the context.

Everything that the process knows beforehand is folded in. `explain` walks the same ladder over the same model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import mmh3

from downhaul.engine.bucketing import hash_of, thresholds, unit_text
from downhaul.engine.conditions import segment_references
from downhaul.engine.evaluation import ErrorCode, Outcome, Reason
from downhaul.engine.graph import dependency_order
from downhaul.engine.model import Definition, Flag, One, Requirement, Rule, Ruleset, Serve, Split
from downhaul.engine.predicates import Context, Predicate, Predicates
from downhaul.engine.values import type_of_value, variant_of

Choose = Callable[[Context], Outcome | None]
Decide = Callable[[Context], Outcome]
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Evaluator:
    """One flag, ready to run: either `constant` is the answer for every context, or `evaluate(context)` finds it."""

    name: str
    type: str
    """`boolean`, `string`, `number` or `json`: that of the value, so of an overriding value where there is one."""
    constant: Outcome | None
    evaluate: Decide | None
    outcomes: tuple[Outcome, ...]
    """All answers that it can give, for whoever reads the counters."""

    def variant(self, context: Context) -> str | None:
        """The variant for this context, for a flag that requires this one."""
        outcome = self.constant if self.evaluate is None else self.evaluate(context)
        return outcome.variant if outcome else None


def compile_ruleset(ruleset: Ruleset, known: Context = NOTHING, overrides: Context = NOTHING) -> dict[str, Evaluator]:
    """An evaluator for each flag, and for each name in `overrides` (name -> value).

    `known` holds the attributes that the process knows of itself; they win over a caller's. Compiled functions never
    raise for what a context holds.
    """
    return recompile({}, Ruleset(), ruleset, known, overrides)


def recompile(
    evaluators: Mapping[str, Evaluator],
    before: Ruleset,
    after: Ruleset,
    known: Context = NOTHING,
    overrides: Context = NOTHING,
) -> dict[str, Evaluator]:
    """The evaluators of `after`, those of flags that cannot have changed since `before` taken from `evaluators`.

    `evaluators` must come from `before` with the same `known` and `overrides`.
    """
    compiler = _Compiler(after, known, overrides)
    dirty = _dirty(before, after)
    for name, flag in after.flags.items():
        if name not in dirty and (kept := evaluators.get(name)) is not None:
            compiler.done[name] = kept
        elif not flag.definition.requires:
            compiler.compile(flag)
    requirements = {
        name: [each.flag for each in flag.definition.requires]
        for name, flag in after.flags.items()
        if flag.definition.requires and name not in compiler.done
    }
    for name in dependency_order(requirements):
        compiler.compile(after.flags[name])
    for name in overrides:
        if name not in after.flags:
            compiler.done[name] = _overridden(name, None, overrides[name])
    return compiler.done


def _dirty(before: Ruleset, after: Ruleset) -> set[str]:
    """Flags that changed, that use a segment which changed, or that require such a flag."""
    segments = _changed_segments(before, after)
    dirty: set[str] = set()
    dependents: dict[str, list[str]] = {}
    old = before.flags
    for name, flag in after.flags.items():
        known = old.get(name)
        if (known is not flag and known != flag) or (segments and not segments.isdisjoint(flag.state.segments)):
            dirty.add(name)
        for each in flag.definition.requires:
            dependents.setdefault(each.flag, []).append(name)
    gone = old.keys() - after.flags.keys()
    _spread(dirty, [*dirty, *gone], dependents)
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

    def __init__(self, ruleset: Ruleset, known: Context, overrides: Context) -> None:
        self.done: dict[str, Evaluator] = {}
        self._known = known
        self._overrides = overrides
        self._predicates = Predicates(ruleset.segments, known)

    def compile(self, flag: Flag) -> None:
        if flag.name in self._overrides:
            self.done[flag.name] = _overridden(flag.name, flag, self._overrides[flag.name])
        else:
            self.done[flag.name] = _Ladder(flag, self._predicates, self._known, self.done).evaluator()


class _Ladder:
    """Compiles one flag, rung by rung, from the top."""

    def __init__(self, flag: Flag, predicates: Predicates, known: Context, others: Mapping[str, Evaluator]) -> None:
        self._flag = flag
        self._definition: Definition = flag.definition
        self._predicates = predicates
        self._known = known
        self._others = others
        self._outcomes: dict[tuple[object, ...], Outcome] = {}

    def evaluator(self) -> Evaluator:
        answer = self._answer()
        constant, evaluate = (answer, None) if isinstance(answer, Outcome) else (None, answer)
        outcomes = tuple(self._outcomes.values())
        return Evaluator(self._flag.name, self._definition.type, constant, evaluate, outcomes)

    def _answer(self) -> Outcome | Decide:
        if self._flag.state.killed:
            return self._off(Reason.KILLED)
        if not self._flag.state.on:
            return self._off(Reason.DISABLED)
        gates = [(other, each.variants) for each in self._definition.requires if (other := self._gate(each))]
        if len(gates) < len(self._definition.requires):  # one of them can never be passed
            return self._off(Reason.PREREQUISITE_FAILED)
        open_gates = [(other.evaluate, frozenset(variants)) for other, variants in gates if other.evaluate is not None]
        decision = self._targeting()
        return _gated(open_gates, self._off(Reason.PREREQUISITE_FAILED), decision) if open_gates else decision

    def _gate(self, required: Requirement) -> Evaluator | None:
        """The flag that must have a variant, unless it is known to lack it."""
        other = self._others.get(required.flag)
        if other is None or (other.constant is not None and other.constant.variant not in required.variants):
            return None
        return other

    def _targeting(self) -> Outcome | Decide:
        entries: list[tuple[Predicate | None, Outcome | None, Choose | None]] = []
        for rule in self._flag.state.rules:
            when = self._predicates.compile(rule.when)
            served = None if when is False else self._serve(rule.serve, rule, missing=None)
            if when is False or served is None:
                continue
            fixed = served if isinstance(served, Outcome) else None
            if when is True and fixed is not None:
                return _first_match(entries, fixed)
            choose = None if isinstance(served, Outcome) else served
            entries.append((None if isinstance(when, bool) else when, fixed, choose))
        return _first_match(entries, self._otherwise())

    def _otherwise(self) -> Outcome | Choose:
        missing = self._off(Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)
        served = self._serve(self._flag.state.otherwise, None, missing)
        return missing if served is None else served

    def _serve(self, serve: Serve, rule: Rule | None, missing: Outcome | None) -> Outcome | Choose | None:
        """The answer, or what chooses it; `missing` is chosen (None: the rule does not match) without a unit."""
        if isinstance(serve, One):
            return self._outcome(serve.variant, self._reason_of_one(rule), rule)
        answers = tuple(self._outcome(variant, Reason.SPLIT, rule) for variant, _ in serve.shares)
        choose = _chooser(f"{self._definition.salt}:", serve, answers, missing)
        return choose(self._known) if serve.by in self._known else choose

    def _reason_of_one(self, rule: Rule | None) -> Reason:
        if rule is not None:
            return Reason.TARGETING_MATCH
        return Reason.DEFAULT if self._flag.state.rules else Reason.STATIC

    def _off(self, reason: Reason, error_code: ErrorCode | None = None) -> Outcome:
        return self._outcome(self._definition.off_variant, reason, None, error_code)

    def _outcome(self, variant: str, reason: Reason, rule: Rule | None, error_code: ErrorCode | None = None) -> Outcome:
        name = rule.name if rule else None
        key = (variant, reason, name, error_code)
        if key not in self._outcomes:
            self._outcomes[key] = Outcome(self._definition.variants[variant], variant, reason, name, error_code)
        return self._outcomes[key]


def _gated(gates: list[tuple[Decide, frozenset[str]]], failed: Outcome, decision: Outcome | Decide) -> Decide:
    decide = _always(decision) if isinstance(decision, Outcome) else decision

    def decide_behind_gates(context: Context) -> Outcome:
        for evaluate, variants in gates:
            if evaluate(context).variant not in variants:
                return failed
        return decide(context)

    return decide_behind_gates


def _always(outcome: Outcome) -> Decide:
    return lambda context: outcome


def _first_match(
    entries: list[tuple[Predicate | None, Outcome | None, Choose | None]], last: Outcome | Choose
) -> Outcome | Decide:
    """What the first rule that matches serves, else `last`. One rule, the commonest case, has functions of its own."""
    if not entries:
        return last  # type: ignore[return-value]  # without a unit the last rung has an answer, too
    decide: Any = _always(last) if isinstance(last, Outcome) else last
    when, fixed, choose = entries[0]
    if len(entries) == 1 and when is not None:
        return _one_rule(when, fixed, choose, decide)
    return _many_rules(tuple(entries), decide)


def _one_rule(when: Predicate, fixed: Outcome | None, choose: Choose | None, otherwise: Decide) -> Decide:
    if choose is None:
        return lambda context: fixed if when(context) else otherwise(context)  # type: ignore[return-value]

    def decide(context: Context) -> Outcome:
        if when(context):
            chosen = choose(context)
            if chosen is not None:
                return chosen
        return otherwise(context)

    return decide


def _many_rules(
    entries: tuple[tuple[Predicate | None, Outcome | None, Choose | None], ...], otherwise: Decide
) -> Decide:
    def decide(context: Context) -> Outcome:
        for when, fixed, choose in entries:
            if when is None or when(context):
                chosen = fixed if choose is None else choose(context)
                if chosen is not None:
                    return chosen
        return otherwise(context)

    return decide


def _chooser(prefix: str, split: Split, answers: tuple[Outcome, ...], missing: Outcome | None) -> Choose:
    """Finds the share of the context's unit. Hashes in place: this is the hottest code that is not a constant."""
    by, bounds = split.by, thresholds(weight for _, weight in split.shares)
    hash32 = mmh3.hash

    def choose_by_any(unit: Any) -> Outcome | None:
        text = unit_text(unit)
        return missing if text is None else answers[bisect_right(bounds, hash_of(prefix + text))]

    if len(answers) == 2:
        (first, second), bound = answers, bounds[0]

        def choose_of_two(context: Context) -> Outcome | None:
            unit = context.get(by)
            if unit.__class__ is str:
                try:
                    return first if hash32((prefix + unit).encode(), 0, False) < bound else second
                except UnicodeEncodeError:
                    pass
            return choose_by_any(unit)

        return choose_of_two
    return lambda context: choose_by_any(context.get(by))
