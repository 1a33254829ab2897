"""The model of a ruleset: immutable, decided once, trusted by whoever evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from downhaul.engine.conditions import Condition, segment_references


@dataclass(frozen=True, slots=True)
class One:
    """Serve one variant."""

    variant: str


@dataclass(frozen=True, slots=True)
class Split:
    """Serve variants by weight, in the order of `shares` (variant, weight); weights sum to 100,000."""

    shares: tuple[tuple[str, int], ...]
    by: str


Serve = One | Split


@dataclass(frozen=True, slots=True)
class Rule:
    """Serve this when that holds."""

    name: str | None
    when: Condition
    serve: Serve
    enabled: bool = True
    """False: switched off. It is told of, and decides nothing."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Another flag must have one of these variants."""

    flag: str
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """What a flag is, the same in every environment."""

    type: str
    salt: str
    variants: Mapping[str, Any]
    off_variant: str
    requires: tuple[Requirement, ...] = ()
    metadata: Mapping[str, bool | int | float | str] = field(default_factory=lambda: MappingProxyType({}))
    """What its owner wants told with each evaluation. It decides nothing."""
    text: str = field(default="", repr=False)
    """The variants as JSON: equality of values in Python takes `1` for `True`."""


@dataclass(frozen=True, slots=True)
class State:
    """What a flag does in one environment."""

    on: bool
    killed: bool
    rules: tuple[Rule, ...]
    otherwise: Serve
    active: tuple[Rule, ...] = field(init=False, compare=False, repr=False)
    """The rules that are not switched off: those that decide."""
    segments: frozenset[str] = field(init=False, compare=False, repr=False)
    """The segments that its rules name themselves."""

    def __post_init__(self) -> None:
        named = (segment_references(rule.when) for rule in self.rules)
        object.__setattr__(self, "active", tuple(rule for rule in self.rules if rule.enabled))
        object.__setattr__(self, "segments", frozenset().union(*named))


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag in one environment, under the name that the snapshot gives it: `key`, or `service/key`."""

    name: str
    definition: Definition
    state: State


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All that one service needs in one environment: flags by name, and the segments that they use by key.

    Made by `decode_ruleset` and `change_ruleset`, so that every segment is there and nothing goes round in a circle.
    """

    flags: MappingProxyType[str, Flag] = field(default_factory=lambda: MappingProxyType({}))
    segments: MappingProxyType[str, Condition] = field(default_factory=lambda: MappingProxyType({}))
