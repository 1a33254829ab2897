"""Conditions as Python expressions; what the process knows already is folded into True or False."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from downhaul.engine.conditions import AllOf, AnyOf, Condition, InSegment, Leaf, Not
from downhaul.engine.source import Source

Expression = str | bool
"""An expression over the context `c`, or the answer itself."""


class Predicates:
    """Writes conditions of one ruleset for one process. A segment is a function of its own, made once and shared."""

    def __init__(self, segments: Mapping[str, Condition], known: Mapping[str, Any]) -> None:
        self._segments = segments
        self._known = known
        self._compiled: dict[str, Callable[[Any], bool] | bool] = {}

    def expression(self, condition: Condition, source: Source) -> Expression:
        match condition:
            case Leaf():
                return self._leaf(condition, source)
            case InSegment(segment):
                compiled = self._segment(segment)
                return compiled if isinstance(compiled, bool) else f"{source.constant(compiled)}(c)"
            case Not(part):
                inner = self.expression(part, source)
                return not inner if isinstance(inner, bool) else f"(not {inner})"
            case AllOf(parts):
                return _joined([self.expression(part, source) for part in parts], "and", neutral=True)
            case AnyOf(parts):
                return _joined([self.expression(part, source) for part in parts], "or", neutral=False)

    def _leaf(self, leaf: Leaf, source: Source) -> Expression:
        if leaf.attribute in self._known:
            value = self._known[leaf.attribute]
            return value is not None and leaf.test(value)
        attribute, test = source.constant(leaf.attribute), source.constant(leaf.test)
        found = f"(v := c[{attribute}] if {attribute} in c else None)"  # half the cost of `c.get`
        if leaf.members is None:
            return f"({found} is not None and {test}(v))"
        return f"(v in {source.constant(leaf.members)} if {found}.__class__ is str else {test}(v))"

    def _segment(self, segment: str) -> Callable[[Any], bool] | bool:
        if segment not in self._compiled:
            source = Source()
            expression = self.expression(self._segments[segment], source)
            if isinstance(expression, str):
                source.line(f"return {expression}")
                self._compiled[segment] = source.function()
            else:
                self._compiled[segment] = expression
        return self._compiled[segment]


def _joined(parts: list[Expression], operator: str, *, neutral: bool) -> Expression:
    if (not neutral) in parts:
        return not neutral
    expressions = [part for part in parts if isinstance(part, str)]
    return f"({f' {operator} '.join(expressions)})" if expressions else neutral
