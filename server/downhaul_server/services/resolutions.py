"""A flag's outcomes in OpenFeature's words, as JSON that is written once: all that follows `"key"` in an OFREP answer.

Reasons are those of OpenFeature's list and no others; what Downhaul knows beyond them is in `metadata`.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

from downhaul.engine import Definition, ErrorCode, Flag, Outcome, Reason

REASONS = MappingProxyType({Reason.KILLED: Reason.DISABLED, Reason.PREREQUISITE_FAILED: Reason.DISABLED})
"""Reasons of our own, and what they are told as; both serve the off variant, whatever the rules say."""


def resolution(flag: Flag, outcome: Outcome, *, for_client: bool) -> bytes:
    """The members after `key`, with the closing brace. `for_client`: for whoever may not know what rules are called."""
    if outcome.error_code is ErrorCode.TARGETING_KEY_MISSING:
        return _members(errorCode=str(outcome.error_code), errorDetails=missing_unit(flag))
    return _members(
        value=_written(flag.definition, outcome.value),
        reason=str(REASONS.get(outcome.reason, outcome.reason)),
        variant=outcome.variant,
        metadata={**flag.definition.metadata, **_metadata(outcome, for_client=for_client)},
    )


def missing_unit(flag: Flag) -> str:
    """What the context lacks."""
    by = getattr(flag.state.otherwise, "by", "user")
    return f"the flag is split by the attribute {by}, which the context lacks" + (
        ": targetingKey will do" if by in ("user", "targetingKey") else ""
    )


def _metadata(outcome: Outcome, *, for_client: bool) -> dict[str, Any]:
    if outcome.reason is Reason.KILLED:
        return {"killed": True}
    if outcome.reason is Reason.PREREQUISITE_FAILED:
        return {"prerequisiteFailed": True}
    return {} if outcome.rule is None or for_client else {"rule": outcome.rule}


def _written(definition: Definition, value: Any) -> Any:
    """JSON has one kind of number, typed clients have two: of a flag with one float, every variant is a float."""
    floats = definition.type == "number" and any(isinstance(each, float) for each in definition.variants.values())
    return float(value) if floats else value


def _members(**members: Any) -> bytes:
    return json.dumps(members, separators=(",", ":"), allow_nan=False)[1:].encode("ascii")
