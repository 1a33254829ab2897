"""What a rule serves, as a form: one variant, or a split in per cent. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from downhaul_server.services.errors import Invalid

WHOLE = 100_000
COLOURS = 5


def to_fields(serve: Mapping[str, Any], variants: Sequence[str]) -> dict[str, Any]:
    """`{kind, variant, by, weights: {variant: per cent as text}}`."""
    if "variant" in serve:
        alone = serve["variant"]
        weights = {name: "100" if name == alone else "0" for name in variants}
        return {"kind": "variant", "variant": alone, "by": "user", "weights": weights}
    weights = dict.fromkeys(variants, "0") | {part["variant"]: _percent(part["weight"]) for part in serve["split"]}
    return {"kind": "split", "variant": variants[0], "by": serve.get("by", "user"), "weights": weights}


def sent(fields: Mapping[str, str], variants: Sequence[str]) -> dict[str, Any]:
    """The same, as it was typed."""
    return {
        "kind": fields.get("serve.kind", "variant"),
        "variant": fields.get("serve.variant", ""),
        "by": fields.get("serve.by", "").strip() or "user",
        "weights": {name: fields.get(f"serve.weight.{name}", "0").strip() or "0" for name in variants},
    }


def to_serve(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What the API takes. Raises Invalid at `serve` where it is no split of the whole."""
    if typed["kind"] != "split":
        return {"variant": typed["variant"]}
    shares = [{"variant": name, "weight": _weight(name, text)} for name, text in typed["weights"].items()]
    total = sum(share["weight"] for share in shares)
    if total != WHOLE:
        raise Invalid.at("serve", message=f"the shares have to add up to 100 %, and are {_percent(total)} % together")
    return {"split": [share for share in shares if share["weight"]], "by": typed["by"]}


def colours(variants: Sequence[str], off: str) -> dict[str, str]:
    """The same everywhere on a page; the off variant is never taken for one that is on."""
    others = [name for name in variants if name != off]
    return {off: "off"} | {name: str(number % COLOURS) for number, name in enumerate(others)}


def shares(typed: Mapping[str, Any], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """For the picture of it: `{variant, percent, start, colour}`, those that get something."""
    if typed["kind"] != "split":
        name = typed["variant"]
        return [{"variant": name, "percent": "100", "start": "0", "colour": colours.get(name, "off")}]
    found: list[dict[str, Any]] = []
    start = Decimal(0)
    for name, text in typed["weights"].items():
        try:
            size = min(max(Decimal(text), Decimal(0)), Decimal(100) - start)
        except InvalidOperation:
            continue
        if size:
            shown = {"variant": name, "percent": f"{size.normalize():f}", "start": f"{start:f}"}
            found.append(shown | {"colour": colours.get(name, "off")})
            start += size
    return found


def _weight(variant: str, text: str) -> int:
    try:
        weight = Decimal(text.replace(",", ".")) * 1000
    except InvalidOperation:
        weight = Decimal("0.1")
    if not weight.is_finite() or not 0 <= weight <= WHOLE or weight % 1:
        raise Invalid.at(
            "serve", message=f"the share of {variant} has to be from 0 to 100 %, with up to three decimals: {text!r}"
        )
    return int(weight)


def _percent(weight: int) -> str:
    return f"{Decimal(weight) / 1000:f}".rstrip("0").rstrip(".") if weight % 1000 else str(weight // 1000)
