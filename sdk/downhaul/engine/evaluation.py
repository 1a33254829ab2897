"""What an evaluation is, in OpenFeature's words where it has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Any


class Reason(StrEnum):
    """Why a flag has its value."""

    OVERRIDE = "OVERRIDE"
    KILLED = "KILLED"
    DISABLED = "DISABLED"
    PREREQUISITE_FAILED = "PREREQUISITE_FAILED"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    STATIC = "STATIC"
    DEFAULT = "DEFAULT"
    ERROR = "ERROR"


class ErrorCode(StrEnum):
    """What went wrong, where the reason is ERROR."""

    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    GENERAL = "GENERAL"


Answer = tuple[Iterator[int], Any, "Outcome"]
"""Counter, value and outcome, side by side: to unpack three costs less than to look up two."""


class Outcome:
    """One of the answers that a flag can give: one object for each, made when the flag is compiled, and its counter.

    Only the counter ever changes. `next(counter)` counts an evaluation: one step in C, which no thread can interrupt.
    """

    __slots__ = ("answer", "counter", "error_code", "reason", "rule", "value", "variant")

    def __init__(
        self,
        value: Any,
        variant: str | None,
        reason: Reason,
        rule: str | None = None,
        error_code: ErrorCode | None = None,
    ) -> None:
        self.value = value
        self.variant = variant
        self.reason = reason
        self.rule = rule
        self.error_code = error_code
        self.counter = count()
        self.answer: Answer = (self.counter, value, self)

    def __repr__(self) -> str:
        return f"Outcome({self.value!r}, {self.variant!r}, {self.reason}, {self.rule!r}, {self.error_code})"


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder, as `explain` took it.

    `step`: override, flag, killed, on, prerequisite, rule, split or otherwise. `passed`: whether the evaluation went on
    to the next rung (for a rule: whether it matched). `detail`: a sentence. `facts`: the same as JSON.
    """

    step: str
    passed: bool
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "passed": self.passed, "detail": self.detail, **self.facts}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a flag is for one context, and why. `rule` is the name of the rule that decided."""

    flag: str
    value: Any
    variant: str | None
    reason: Reason
    rule: str | None = None
    error_code: ErrorCode | None = None
    error_message: str | None = None
    steps: tuple[Step, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "flag": self.flag,
            "value": self.value,
            "variant": self.variant,
            "reason": str(self.reason),
            "rule": self.rule,
            "error_code": str(self.error_code) if self.error_code else None,
            "error_message": self.error_message,
            "steps": [step.to_json() for step in self.steps],
        }
