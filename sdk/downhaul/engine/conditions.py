"""Conditions: a tree of all, any and not over leaves that test an attribute or name a segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from downhaul.engine.errors import Path
from downhaul.engine.operators import Test


@dataclass(frozen=True, slots=True)
class Leaf:
    """Holds when the attribute is there, is not null and passes the test."""

    attribute: str
    op: str
    values: tuple[Any, ...]
    test: Test = field(compare=False, repr=False)
    members: frozenset[str] | None = field(default=None, compare=False, repr=False)
    """The values as a set, where the test is nothing but membership among strings."""
    kinds: tuple[type, ...] = field(default=(), repr=False)
    """Types of the values: equality of leaves must tell `1` from `True`."""


@dataclass(frozen=True, slots=True)
class InSegment:
    """Holds when the segment's condition does."""

    segment: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when every part does; without parts always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when at least one part does; without parts never."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds when its part does not: also when the attribute that the part asks for is missing."""

    part: Condition


Condition = Leaf | InSegment | AllOf | AnyOf | Not


def references(condition: Condition, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Each segment that the condition names, and where: `(("all", 0, "segment"), "beta")`."""
    match condition:
        case InSegment(segment):
            yield (*path, "segment"), segment
        case AllOf(parts) | AnyOf(parts):
            name = "all" if isinstance(condition, AllOf) else "any"
            for index, part in enumerate(parts):
                yield from references(part, (*path, name, index))
        case Not(part):
            yield from references(part, (*path, "not"))


def segment_references(condition: Condition) -> frozenset[str]:
    """The segments that the condition names itself."""
    return frozenset(segment for _, segment in references(condition))
