"""The short form of a split: `{"rollout": 25, "by": "user"}`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from downhaul_server.services.errors import Invalid

WHOLE = 100_000
"""The sum of a split's weights: percent, to three decimals."""
DEFAULT_UNIT = "user"


def expand(changes: Mapping[str, Any], flag: Mapping[str, Any], otherwise: Mapping[str, Any]) -> dict[str, Any]:
    """A state's changes with `rollout` and `by` spelled out as `otherwise`. Raises Invalid.

    `flag` is in its stored form, `otherwise` what it serves now: the unit of its split is kept unless `by` names one.
    """
    if "rollout" not in changes:
        if "by" in changes:
            raise Invalid.at("by", message="goes with rollout only")
        return dict(changes)
    if "otherwise" in changes:
        raise Invalid.at("rollout", message="either rollout or otherwise, not both")
    spelled = {name: value for name, value in changes.items() if name not in ("rollout", "by")}
    weight = _weight(changes["rollout"])
    split = [
        {"variant": rolled_out(flag), "weight": weight},
        {"variant": flag["off_variant"], "weight": WHOLE - weight},
    ]
    unit = changes.get("by") or otherwise.get("by") or DEFAULT_UNIT
    return spelled | {"otherwise": {"split": split, "by": unit}}


def rolled_out(flag: Mapping[str, Any]) -> str:
    """The variant that a rollout serves: a boolean's true one, else the first that is not off. Raises Invalid."""
    others = [name for name in flag["order"] if name != flag["off_variant"]]
    if flag["type"] == "boolean":
        others = [name for name in others if flag["variants"][name] is True]
    if not others:
        raise Invalid.at("rollout", message="the flag has no other variant than its off variant")
    return str(others[0])


def _weight(percent: Any) -> int:
    number = isinstance(percent, (int, float)) and not isinstance(percent, bool)
    thousandths = Decimal(str(percent)) * 1000 if number and 0 <= percent <= 100 else Decimal("0.1")
    if thousandths % 1:
        raise Invalid.at("rollout", message="expected a percentage from 0 to 100 with up to three decimals")
    return int(thousandths)
