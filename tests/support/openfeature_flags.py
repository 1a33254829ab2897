"""The flags of OpenFeature's scenarios (`tests/conformance/openfeature/test-flags.json`), as Downhaul has them.

Two things differ by design. Their rules are expressions, ours conditions: CONDITIONS says each in our words. And where
a flag is disabled, theirs gives the caller's default, ours its off variant, whoever calls: FALLBACKS are the off
variants that make the two the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFORMANCE = Path(__file__).parents[1] / "conformance" / "openfeature"

KINDS = {bool: "boolean", str: "string", int: "number", float: "number", dict: "json"}


def equal(attribute: str, value: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": "in", "values": [value]}


BALLMER = equal("email", "ballmer@macrosoft.com")
CONDITIONS: Mapping[str, tuple[dict[str, Any], str]] = {
    "email == 'ballmer@macrosoft.com' ? 'zero' : ''": (BALLMER, "zero"),
    "!customer && email == 'ballmer@macrosoft.com' && age > 10 ? 'internal' : ''": (
        {"all": [equal("customer", False), BALLMER, {"attribute": "age", "op": "gt", "values": [10]}]},
        "internal",
    ),
}
FALLBACKS: Mapping[str, Any] = {
    "boolean-disabled-flag": False,
    "string-disabled-flag": "bye",
    "integer-disabled-flag": 1,
    "float-disabled-flag": 0.1,
    "object-disabled-flag": {"a": 1},
}
CONTEXT_AWARE = {
    "type": "string",
    "variants": {"internal": "INTERNAL", "external": "EXTERNAL"},
    "rules": [
        {
            "when": {
                "all": [
                    equal("fn", "Sulisław"),
                    equal("ln", "Świętopełk"),
                    equal("age", 29),
                    equal("customer", False),
                ]
            },
            "serve": {"variant": "internal"},
        }
    ],
    "otherwise": {"variant": "external"},
}
"""Of the older scenarios; the file does not have it."""


def flags() -> dict[str, Any]:
    """As a snapshot has them. Left out: those that have no variant by default, which no scenario evaluates."""
    theirs = json.loads((CONFORMANCE / "test-flags.json").read_text())
    ours = {name: _flag(name, each) for name, each in theirs.items() if each.get("defaultVariant")}
    return ours | {"context-aware": _whole("context-aware", **CONTEXT_AWARE, off_variant="external")}


def _flag(name: str, theirs: Mapping[str, Any]) -> dict[str, Any]:
    variants = dict(theirs["variants"])
    default = theirs["defaultVariant"]
    off = default
    if name in FALLBACKS:
        off = next((each for each, value in variants.items() if value == FALLBACKS[name]), "fallback")
        variants.setdefault(off, FALLBACKS[name])
    rules = []
    if evaluator := theirs.get("contextEvaluator"):
        when, variant = CONDITIONS[evaluator]
        rules = [{"when": when, "serve": {"variant": variant}}]
    return _whole(
        name,
        type=KINDS[type(variants[default])],
        variants=variants,
        off_variant=off,
        on=not theirs.get("disabled"),
        rules=rules,
        otherwise={"variant": default},
        metadata=theirs.get("flagMetadata") or {},
    )


def _whole(name: str, **parts: Any) -> dict[str, Any]:
    return {"salt": f"spec/{name}", "requires": [], "on": True, "killed": False, "rules": []} | parts
