"""What a flag of the file serves: as the API has it, or in one of two short forms."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from downhaul.engine import DecodeError
from downhaul.engine.bucketing import WHOLE
from downhaul.engine.errors import Path


def spell_out(serve: Any, flag: Mapping[str, Any], path: Path) -> Any:
    """`"on"` as `{"variant": "on"}`, `{"rollout": 25, "by": "user"}` as a split; anything else as it is.

    `flag` has its variants already. Raises DecodeError for a rollout that cannot be.
    """
    if isinstance(serve, str):
        return {"variant": serve}
    if not isinstance(serve, dict) or "rollout" not in serve:
        return serve
    for name in serve:
        if name not in ("rollout", "by"):
            raise DecodeError((*path, name), "unknown field; expected rollout, by")
    return rollout(serve["rollout"], serve.get("by", "user"), flag, (*path, "rollout"))


def rollout(percent: Any, by: Any, flag: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The split that gives so many percent the first variant that is not off. Raises DecodeError."""
    number = isinstance(percent, int | float) and not isinstance(percent, bool)
    weight = Decimal(str(percent)) * 1000 if number and 0 <= percent <= 100 else Decimal("0.1")
    if weight % 1:
        raise DecodeError(path, f"expected a percentage from 0 to 100 with up to three decimals, found {percent!r}")
    shares = [
        {"variant": _rolled_out(flag, path), "weight": int(weight)},
        {"variant": flag["off_variant"], "weight": WHOLE - int(weight)},
    ]
    return {"split": shares, "by": by}


def _rolled_out(flag: Mapping[str, Any], path: Path) -> str:
    variants = flag["variants"] if isinstance(flag["variants"], dict) else {}
    others = [name for name in variants if name != flag["off_variant"]]
    if flag["type"] == "boolean":
        others = [name for name in others if variants[name] is True]
    if not others:
        raise DecodeError(path, "expected a flag with another variant than its off variant")
    return str(others[0])
