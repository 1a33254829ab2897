"""One flag, written rung by rung from the top: a constant answer, or one function of the context."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mmh3

from downhaul.engine.bucketing import hash_of, thresholds, unit_text
from downhaul.engine.evaluation import Answer, ErrorCode, Outcome, Reason
from downhaul.engine.model import Flag, One, Requirement, Rule, Split
from downhaul.engine.predicates import Expression, Predicates
from downhaul.engine.source import Source

Run = Callable[[Mapping[str, Any]], Answer]

MOST_RULES = 32
"""In one function. Python takes ever longer for a longer one and lets no other thread run meanwhile; and parts of one
shape share their code."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """One flag, ready to run: `constant` is the outcome for every context, or `run(context)` finds the answer."""

    name: str
    type: str
    """`boolean`, `string`, `number` or `json`: that of the value, so of an overriding value where there is one."""
    constant: Outcome | None
    run: Run | None
    outcomes: tuple[Outcome, ...]
    """All that it can have, for whoever reads the counters."""

    def evaluate(self, context: Mapping[str, Any]) -> Outcome:
        """The outcome for this context. Counts nothing, and never raises for what a context holds."""
        if self.run is not None:
            return self.run(context)[2]
        assert self.constant is not None  # noqa: S101 -- one of the two is always there
        return self.constant


class Ladder:
    """Compiles one flag; `others` are the evaluators of the flags that it requires."""

    def __init__(
        self, flag: Flag, predicates: Predicates, known: Mapping[str, Any], others: Mapping[str, Evaluator]
    ) -> None:
        self._flag = flag
        self._definition = flag.definition
        self._predicates = predicates
        self._known = known
        self._others = others
        self._outcomes: dict[tuple[object, ...], Outcome] = {}
        self._source = Source()

    def evaluator(self) -> Evaluator:
        constant = self._constant()
        run = None if constant else self._source.function()
        return Evaluator(self._flag.name, self._definition.type, constant, run, tuple(self._outcomes.values()))

    def _constant(self) -> Outcome | None:
        """The answer, if there is but one; else None, and the source is written."""
        if self._flag.state.killed:
            return self._off(Reason.KILLED)
        if not self._flag.state.on:
            return self._off(Reason.DISABLED)
        for required in self._definition.requires:
            if failed := self._write_gate(required):
                return failed
        rules = self._flag.state.active
        write = self._write_rules if len(rules) <= MOST_RULES else self._write_rules_apart
        for start in range(0, len(rules), MOST_RULES):
            if last := write(rules[start : start + MOST_RULES]):
                return self._end(last)
        return self._write_otherwise()

    def _write_gate(self, required: Requirement) -> Outcome | None:
        """A line that lets nobody pass without the variant; an answer, if it is known already that nobody passes."""
        other = self._others.get(required.flag)
        if other is None or (other.constant is not None and other.constant.variant not in required.variants):
            return self._off(Reason.PREREQUISITE_FAILED)
        if other.run is not None:
            run, wanted = self._source.constant(other.run), self._source.constant(frozenset(required.variants))
            failed = self._answer(self._off(Reason.PREREQUISITE_FAILED))
            self._source.line(f"if {run}(c)[2].variant not in {wanted}: return {failed}")
        return None

    def _write_rules_apart(self, rules: Sequence[Rule]) -> Outcome | None:
        """As `_write_rules`, in a function of their own that answers None where no rule matches."""
        outer, self._source = self._source, Source()
        last = self._write_rules(rules)
        part, self._source = self._source, outer
        if not part.empty:
            part.line("return None")
            self._source.line(f"a = {self._source.constant(part.function())}(c)")
            self._source.line("if a is not None: return a")
        return last

    def _write_rules(self, rules: Sequence[Rule]) -> Outcome | None:
        """The lines of these rules; an answer, if one of them matches everybody, and then nothing follows."""
        for rule in rules:
            when = self._predicates.expression(rule.when, self._source)
            if when is not False and (last := self._write_rule(rule, when)):
                return last
        return None

    def _write_rule(self, rule: Rule, when: Expression) -> Outcome | None:
        """The lines of a rule; an answer, if it matches everybody and serves all of them the same."""
        if isinstance(rule.serve, One):
            served: Outcome | None = self._outcome(rule.serve.variant, Reason.TARGETING_MATCH, rule)
        elif rule.serve.by in self._known:
            served = self._known_share(rule.serve, rule)
            if served is None:  # nothing to split by: the rule never matches
                return None
        else:
            served = None
        if served and when is True:
            return served
        if when is not True:
            self._source.line(f"if {when}:")
        if served:
            self._source.line(f"return {self._answer(served)}", 1)
        elif isinstance(rule.serve, Split):
            self._write_split(rule.serve, rule, 0 if when is True else 1)
        return None

    def _write_otherwise(self) -> Outcome | None:
        serve = self._flag.state.otherwise
        if isinstance(serve, One):
            reason = Reason.DEFAULT if self._flag.state.active else Reason.STATIC
            return self._end(self._outcome(serve.variant, reason, None))
        missing = self._off(Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)
        if serve.by in self._known:
            return self._end(self._known_share(serve, None) or missing)
        self._write_split(serve, None, 0)
        return self._end(missing)

    def _end(self, last: Outcome) -> Outcome | None:
        """The last line. Where it is the only one, it is the answer."""
        if self._source.empty:
            return last
        self._source.line(f"return {self._answer(last)}")
        return None

    def _write_split(self, split: Split, rule: Rule | None, indent: int) -> None:
        """Lines that return the share of the context's unit, and go on if there is none. A plain text comes first."""
        constant = self._source.constant
        by, salt, share = constant(split.by), constant(self._salt), self._share(split, rule)
        digest, slow = constant(mmh3.mmh3_32_uintdigest), constant(_hash_of_unit)
        self._source.line("try:", indent)
        self._source.line(f"u = c[{by}]", indent + 1)
        self._source.line("if u.__class__ is str:", indent + 1)
        self._source.line(f"h = {digest}(({salt} + u).encode())", indent + 2)
        self._source.line(f"return {share}", indent + 2)
        self._source.line("except (KeyError, UnicodeEncodeError):", indent)
        self._source.line("pass", indent + 1)
        self._source.line(f"h = {slow}({salt}, c.get({by}))", indent)
        self._source.line("if h is not None:", indent)
        self._source.line(f"return {share}", indent + 1)

    def _share(self, split: Split, rule: Rule | None) -> str:
        """An expression that finds the answer for the hash `h`."""
        constant = self._source.constant
        answers = tuple(self._outcome(variant, Reason.SPLIT, rule).answer for variant, _ in split.shares)
        bounds = thresholds(weight for _, weight in split.shares)
        if len(answers) == 2:
            return f"{constant(answers[0])} if h < {constant(bounds[0])} else {constant(answers[1])}"
        return f"{constant(answers)}[{constant(bisect_right)}({constant(bounds)}, h)]"

    def _known_share(self, split: Split, rule: Rule | None) -> Outcome | None:
        """The share of this very process, where a flag is split by what it knows of itself."""
        text = unit_text(self._known[split.by])
        if text is None:
            return None
        bounds = thresholds(weight for _, weight in split.shares)
        variant, _ = split.shares[bisect_right(bounds, hash_of(self._salt + text))]
        return self._outcome(variant, Reason.SPLIT, rule)

    def _answer(self, outcome: Outcome) -> str:
        return self._source.constant(outcome.answer)

    @property
    def _salt(self) -> str:
        return f"{self._definition.salt}:"

    def _off(self, reason: Reason, error_code: ErrorCode | None = None) -> Outcome:
        return self._outcome(self._definition.off_variant, reason, None, error_code)

    def _outcome(self, variant: str, reason: Reason, rule: Rule | None, error_code: ErrorCode | None = None) -> Outcome:
        name = rule.name if rule else None
        key = (variant, reason, name, error_code)
        if key not in self._outcomes:
            self._outcomes[key] = Outcome(self._definition.variants[variant], variant, reason, name, error_code)
        return self._outcomes[key]


def _hash_of_unit(salt: str, unit: Any) -> int | None:
    """The hash of whatever is no plain text; None for what cannot be split."""
    text = unit_text(unit)
    return None if text is None else hash_of(salt + text)
