"""Variants and what is served, as they are written on the command line."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click

from downhaul.cli.strict_json import loads
from downhaul.cli.words import WHOLE


def read_variants(texts: tuple[str, ...], kind: str) -> dict[str, Any] | None:
    """`blue="#00f"` -> {"blue": "#00f"}; None without any. Raises BadParameter."""
    variants: dict[str, Any] = {}
    for text in texts:
        name, equals, raw = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="'--variant'")
        if name in variants:
            raise click.BadParameter(f"{name} is there twice.", param_hint="'--variant'")
        variants[name] = _variant_value(name, raw, kind)
    return variants or None


def read_serve(text: str | None, by: str | None) -> dict[str, Any] | None:
    """`on=25,off=75` or JSON -> a `serve` document; None without a text. Raises BadParameter."""
    if text is None:
        if by is not None:
            raise click.UsageError("--by needs the shares of --otherwise.")
        return None
    if text.lstrip().startswith("{"):
        return _json_serve(text, by)
    split = [_share(part) for part in text.split(",")]
    if sum(each["weight"] for each in split) != WHOLE:
        raise click.BadParameter(f"the shares of {text} do not sum to 100.", param_hint="'--otherwise'")
    return {"split": split, "by": by or "user"}


def _variant_value(name: str, raw: str, kind: str) -> Any:
    if kind == "string" and not raw.startswith('"'):
        return raw
    try:
        return loads(raw)
    except ValueError:
        raise click.BadParameter(f"the value of {name}, {raw}, is not JSON.", param_hint="'--variant'") from None


def _json_serve(text: str, by: str | None) -> dict[str, Any]:
    if by is not None:
        raise click.UsageError("--by is for shares; JSON says it itself.")
    try:
        document = loads(text)
    except ValueError:
        raise click.BadParameter(f"{text} is not JSON.", param_hint="'--otherwise'") from None
    return dict(document)


def _share(text: str) -> dict[str, Any]:
    variant, equals, raw = text.strip().rpartition("=")
    try:
        weight = Decimal(raw.strip().removesuffix("%")) * (WHOLE // 100)
    except InvalidOperation:
        weight = Decimal("nan")
    if not equals or not variant or not weight.is_finite() or weight < 0 or weight != int(weight):
        raise click.BadParameter(
            f"{text!r} is no share: VARIANT=PERCENT, with up to three decimals.", param_hint="'--otherwise'"
        )
    return {"variant": variant, "weight": int(weight)}
