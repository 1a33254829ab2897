"""Rulesets for tests: documents of flags with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downhaul.engine import Evaluation, Outcome, Ruleset, compile_ruleset, decode_ruleset, explain

ON_OFF = {"on": True, "off": False}


def one(variant: str) -> dict[str, Any]:
    return {"variant": variant}


def split(by: str = "user", **weights: int) -> dict[str, Any]:
    return {"split": [{"variant": name, "weight": weight} for name, weight in weights.items()], "by": by}


def leaf(attribute: str, op: str, *values: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "values": list(values)}


def rule(when: Any, serve: Any, name: str = "a rule") -> dict[str, Any]:
    return {"name": name, "when": when, "serve": serve}


def flag(**parts: Any) -> dict[str, Any]:
    """A boolean flag that is on for everybody, but for `parts`."""
    return {
        "type": "boolean",
        "salt": "shop/flag",
        "variants": ON_OFF,
        "off_variant": "off",
        "requires": [],
        "on": True,
        "killed": False,
        "rules": [],
        "otherwise": one("on"),
    } | parts


def ruleset(segments: Mapping[str, Any] | None = None, /, **flags: dict[str, Any]) -> Ruleset:
    return decode_ruleset({"flags": flags, "segments": dict(segments or {})})


def evaluate(
    rules: Ruleset,
    name: str,
    context: Mapping[str, Any],
    known: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Any, ...]:
    """What both evaluators say, as (value, variant, reason, rule, error code); they must say the same."""
    known, overrides = known or {}, overrides or {}
    evaluator = compile_ruleset(rules, known, overrides).get(name)
    explained = explain(rules, name, context, known=known, overrides=overrides)
    if evaluator is None:
        assert str(explained.error_code) == "FLAG_NOT_FOUND"
        return answer(explained)
    outcome = evaluator.evaluate(context)
    assert answer(outcome) == answer(explained)
    return answer(outcome)


def answer(found: Outcome | Evaluation) -> tuple[Any, ...]:
    return (
        found.value,
        found.variant,
        str(found.reason),
        found.rule,
        str(found.error_code) if found.error_code else None,
    )
