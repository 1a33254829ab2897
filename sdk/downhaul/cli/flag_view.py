"""Flags for people: a table of many, a page of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from downhaul.cli.output import Listed, fields, indented, plain, table
from downhaul.cli.words import condition, listed, serve, state, state_sentence, value, when

Flag = Mapping[str, Any]


def flag_table(flags: Sequence[Flag], environment: str | None) -> Listed:
    """A line for each flag, with its state in each environment (or in the one)."""
    places = (
        [environment] if environment else list(dict.fromkeys(name for flag in flags for name in flag["environments"]))
    )
    rows = [
        [
            flag["key"],
            flag["type"],
            *(_coloured(state(flag, place)) for place in places),
            flag.get("owner"),
            listed(flag.get("tags", [])),
            flag.get("expires"),
        ]
        for flag in flags
    ]
    return table(["FLAG", "TYPE", *(place.upper() for place in places), "OWNER", "TAGS", "EXPIRES"], rows)


def flag_page(flag: Flag) -> Iterator[RenderableType]:
    """What it is, then its state and rules in each environment."""
    yield plain(f"{flag['service']}/{flag['key']}", "bold")
    yield indented(fields(_facts(flag)))
    for name, document in flag["environments"].items():
        yield ""
        yield Text.assemble(plain(f"{name}: ", "bold"), _coloured(state_sentence(document)))
        yield indented(_ladder(document))


def _facts(flag: Flag) -> list[tuple[str, str | None]]:
    return [
        ("Type", flag["type"]),
        ("Description", flag.get("description")),
        ("Owner", flag.get("owner")),
        ("Purpose", flag.get("purpose")),
        ("Tags", listed(flag.get("tags", []))),
        ("Expires", flag.get("expires")),
        ("Clients", "may evaluate it: browsers see it" if flag.get("client") else None),
        *(("Variant", f"{name} = {value(variant)}{_off(flag, name)}") for name, variant in flag["variants"].items()),
        *(("Requires", f"{each['flag']} is {' or '.join(each['variants'])}") for each in flag.get("requires", [])),
        ("Version", f"{flag['version']}, of {when(flag['updated_at'])}"),
    ]


def _off(flag: Flag, variant: str) -> str:
    return " (served when off)" if variant == flag["off_variant"] else ""


def _ladder(document: Flag) -> Listed:
    """The rules in their order, then `otherwise`."""
    rules = [
        [str(number), rule.get("name"), f"when {condition(rule['when'])}", _served(rule)]
        for number, rule in enumerate(document["rules"], 1)
    ]
    otherwise = serve(document["otherwise"])
    if not rules:
        return table(["", ""], [["otherwise", otherwise]])
    return table(["NO", "RULE", "CONDITION", "SERVES"], [*rules, ["", "otherwise", "", otherwise]])


def _served(rule: Flag) -> str:
    return serve(rule["serve"]) if rule.get("enabled", True) else "switched off"


def _coloured(words: str) -> Text:
    first = words.partition(" ")[0].rstrip(":")
    return plain(words, {"killed": "bold red", "on": "green", "off": "dim"}.get(first, ""))
