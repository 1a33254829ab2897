"""Values as JSON sees them: `true` is not `1`, and `1.0` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downhaul.engine.model import Definition
from downhaul.engine.operators import is_number


def type_of_value(value: Any, definition: Definition | None) -> str:
    """The type of a flag that has this value: a json flag may have any."""
    if definition is not None and definition.type == "json":
        return "json"
    if isinstance(value, bool):
        return "boolean"
    if is_number(value):
        return "number"
    return "string" if isinstance(value, str) else "json"


def variant_of(definition: Definition | None, value: Any) -> str | None:
    """The first variant that has this value, or None."""
    variants = definition.variants if definition else {}
    return next((name for name, each in variants.items() if same(each, value)), None)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(each, other[name]) for name, each in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
