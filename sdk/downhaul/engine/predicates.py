"""Compiled conditions: a plain function of the context, or True or False where the process knows the answer already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from downhaul.engine.conditions import AllOf, AnyOf, Condition, InSegment, Leaf, Not

Context = Mapping[str, Any]
Predicate = Callable[[Context], bool]
Folded = Predicate | bool


class Predicates:
    """Compiles conditions of one ruleset for one process; segments are compiled once and shared."""

    def __init__(self, segments: Mapping[str, Condition], known: Context) -> None:
        self._segments = segments
        self._known = known
        self._compiled: dict[str, Folded] = {}

    def compile(self, condition: Condition) -> Folded:
        match condition:
            case Leaf():
                return self._leaf(condition)
            case InSegment(segment):
                return self._segment(segment)
            case Not(part):
                return _negation(self.compile(part))
            case AllOf(parts):
                return self._all(parts)
            case AnyOf(parts):
                return self._any(parts)

    def _leaf(self, leaf: Leaf) -> Folded:
        if leaf.attribute in self._known:
            value = self._known[leaf.attribute]
            return value is not None and leaf.test(value)
        if leaf.members is not None:
            return _member(leaf.attribute, leaf.members)
        return _tested(leaf.attribute, leaf.test)

    def _segment(self, segment: str) -> Folded:
        if segment not in self._compiled:
            self._compiled[segment] = self.compile(self._segments[segment])
        return self._compiled[segment]

    def _all(self, conditions: tuple[Condition, ...]) -> Folded:
        if pair := self._two_members(conditions):
            return pair
        parts = [self.compile(each) for each in conditions]
        if any(part is False for part in parts):
            return False
        return _conjunction(tuple(part for part in parts if not isinstance(part, bool)))

    def _any(self, conditions: tuple[Condition, ...]) -> Folded:
        parts = [self.compile(each) for each in conditions]
        if any(part is True for part in parts):
            return True
        return _disjunction(tuple(part for part in parts if not isinstance(part, bool)))

    def _two_members(self, conditions: tuple[Condition, ...]) -> Folded | None:
        """The commonest shape of all, "country is one of these and plan is one of those", as one function."""
        folded = [each for each in conditions if not self._is_true(each)]
        if len(folded) != 2:
            return None
        first, second = folded
        if not (isinstance(first, Leaf) and isinstance(second, Leaf)):
            return None
        if first.members is None or second.members is None or {first.attribute, second.attribute} & self._known.keys():
            return None
        return _both_members(first.attribute, first.members, second.attribute, second.members)

    def _is_true(self, condition: Condition) -> bool:
        return isinstance(condition, Leaf) and condition.attribute in self._known and self._leaf(condition) is True


def _member(attribute: str, members: frozenset[str]) -> Predicate:
    def is_member(context: Context) -> bool:
        try:
            return context.get(attribute) in members
        except TypeError:  # a list or a dict is no member
            return False

    return is_member


def _both_members(attribute: str, members: frozenset[str], other: str, others: frozenset[str]) -> Predicate:
    def are_members(context: Context) -> bool:
        try:
            return context.get(attribute) in members and context.get(other) in others
        except TypeError:
            return False

    return are_members


def _tested(attribute: str, test: Callable[[Any], bool]) -> Predicate:
    def holds(context: Context) -> bool:
        value = context.get(attribute)
        return value is not None and test(value)

    return holds


def _negation(part: Folded) -> Folded:
    if isinstance(part, bool):
        return not part
    return lambda context: not part(context)


def _conjunction(parts: tuple[Predicate, ...]) -> Folded:
    if len(parts) < 2:
        return parts[0] if parts else True
    first, rest = parts[0], parts[1:]
    if len(rest) == 1:
        second = rest[0]
        return lambda context: first(context) and second(context)

    def all_hold(context: Context) -> bool:
        for part in parts:  # noqa: SIM110 -- a generator would take twice as long
            if not part(context):
                return False
        return True

    return all_hold


def _disjunction(parts: tuple[Predicate, ...]) -> Folded:
    if len(parts) < 2:
        return parts[0] if parts else False

    def any_holds(context: Context) -> bool:
        for part in parts:  # noqa: SIM110 -- as above
            if part(context):
                return True
        return False

    return any_holds
