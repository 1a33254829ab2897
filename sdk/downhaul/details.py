"""What one evaluation gave, and why, in OpenFeature's words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from downhaul.engine import Step

Given = TypeVar("Given", covariant=True)
Metadata = Mapping[str, bool | int | float | str]
NO_METADATA: Final[Metadata] = MappingProxyType({})

FLAG_NOT_FOUND: Final = "FLAG_NOT_FOUND"
TYPE_MISMATCH: Final = "TYPE_MISMATCH"
TARGETING_KEY_MISSING: Final = "TARGETING_KEY_MISSING"
PROVIDER_NOT_READY: Final = "PROVIDER_NOT_READY"
GENERAL: Final = "GENERAL"

STANDARD_REASONS: Final = {"KILLED": "DISABLED", "PREREQUISITE_FAILED": "DISABLED", "OVERRIDE": "STATIC"}
"""Reasons of ours that others have no word for, and the word of OpenFeature that says most of it."""

MESSAGES: Final = {
    FLAG_NOT_FOUND: "there is no such flag",
    TYPE_MISMATCH: "the flag is of another type",
    TARGETING_KEY_MISSING: "the context lacks the attribute that the flag is split by",
    PROVIDER_NOT_READY: "there is no snapshot yet",
    GENERAL: "the flag could not be evaluated",
}


class Details(NamedTuple, Generic[Given]):
    """What one evaluation gave, and why.

    `reason` and `error_code` are OpenFeature's words, and `KILLED`, `PREREQUISITE_FAILED`, `OVERRIDE`. `rule` is the
    name of the rule that decided. `revision` is that of the snapshot, or None where there is none. The `value` is the
    caller's default where `error_code` is one of `FLAG_NOT_FOUND`, `TYPE_MISMATCH`, `PROVIDER_NOT_READY` (there is no
    snapshot yet) and `GENERAL`; with `TARGETING_KEY_MISSING` it is that of the off variant. `metadata` is what the
    flag's owner wants told with it.
    """

    flag: str
    value: Given
    variant: str | None
    reason: str
    rule: str | None
    error_code: str | None
    error_message: str | None
    revision: int | None
    metadata: Metadata = NO_METADATA


class Explanation(NamedTuple):
    """What a flag is for one context, and why.

    `reason` and `error_code` are OpenFeature's words, and `KILLED`, `PREREQUISITE_FAILED`, `OVERRIDE`. `rule` is the
    name of the rule that decided. `age_s`: seconds since the service last confirmed the snapshot. `steps`: the way down
    the ladder.
    """

    flag: str
    value: Any
    variant: str | None
    reason: str
    rule: str | None
    error_code: str | None
    error_message: str | None
    revision: int | None
    age_s: float | None
    steps: tuple[Step, ...]


def failed(flag: str, default: Any, code: str, revision: int | None) -> Details[Any]:
    """The details of an evaluation that gave its default."""
    return Details(flag, default, None, "ERROR", None, code, MESSAGES[code], revision)
