"""What conditions, serves and states say, in plain words: `on for 25 % of users, and for everyone in segment beta`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from downhaul_server.services.documents import same_json

Body = Mapping[str, Any]
Names = Mapping[str, str]
"""Segment's key -> its name, for those that have one worth saying."""

NO_NAMES: Names = MappingProxyType({})
MOST_VALUES = 5
MOST_RULES = 4
WHOLE = 100_000


def condition_words(condition: Body, names: Names = NO_NAMES) -> str:
    """What holds: `country is DE or FR and in segment beta`."""
    return _clauses(condition, names, lambda attribute, says: f"{attribute} {says}", "")


def people_words(condition: Body, names: Names = NO_NAMES, *, who: str = "everyone") -> str:
    """Whom it holds for: `everyone in segment beta whose plan is pro`; `who` may be a plural (`users`)."""
    be = "is" if who == "everyone" else "are"
    words = _clauses(condition, names, lambda attribute, says: f"whose {attribute} {says}", f"who {be} ")
    lead = f"who {be} "
    return f"{who} {words.removeprefix(lead)}"


def serve_words(definition: Body, serve: Body, condition: Body | None = None, names: Names = NO_NAMES) -> str:
    """Who gets what: `blue for everyone in segment beta`, `blue for 25 % of users, red for 75 %`.

    `condition`: among those alone for whom it holds.
    """
    shares = _shares(definition, serve)
    if len(shares) == 1:
        return f"{next(iter(shares))} for {_everyone(condition, names)}"
    units = plural(str(serve.get("by", "user")))
    among = units if condition is None else people_words(condition, names, who=units)
    if definition.get("type") == "boolean":
        return f"on for {percent(shares['on'])} of {among}"
    first, *rest = [f"{percent(weight)}" for weight in shares.values()]
    others = [f"{name} for {weight}" for name, weight in zip(list(shares)[1:], rest, strict=True)]
    return ", ".join([f"{next(iter(shares))} for {first} of {among}", *others])


def state_sentence(definition: Body, state: Body, segments: Names = NO_NAMES) -> str:
    """What a flag does in an environment, without a capital and a full stop.

    `definition` has `type`, `variants`, `off_variant`, `requires`; `state` has `on`, `killed`, `rules`, `otherwise`;
    `segments` gives names to segments' keys.
    """
    if state.get("killed"):
        return f"killed: {_off(definition)} for everyone"
    if not state.get("on"):
        return f"{_off(definition)} for everyone"
    rules = _telling([rule for rule in state["rules"] if rule.get("enabled", True)], state["otherwise"])
    needs = [f"{need['flag']} is {either(need['variants'])}" for need in definition.get("requires", ())]
    sentence = _ladder(definition, rules, state["otherwise"], segments)
    return f"{sentence}, but only while {' and '.join(needs)}" if needs else sentence


def percent(weight: int) -> str:
    """Of a weight: `12.5 %`."""
    return f"{weight * 100 / WHOLE:.3f}".rstrip("0").rstrip(".") + " %"


def plural(unit: str) -> str:
    """`users`, `companies`; of an attribute that is no plain word, `values of user.id`."""
    if not unit.isalpha():
        return f"values of {unit}"
    if unit.endswith("y") and unit[-2:-1] not in {*"aeiou"}:
        return f"{unit[:-1]}ies"
    return f"{unit}es" if unit.endswith(("s", "x", "ch", "sh")) else f"{unit}s"


def value_words(value: Any) -> str:
    """A value as one reads it; quoted where it would be mistaken for words of the sentence."""
    if isinstance(value, str) and value and not any(sign.isspace() or sign in '",' for sign in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def either(values: Sequence[Any], join: str = "or") -> str:
    """`DE, FR or IT`; only the first of many."""
    said = [value_words(value) for value in values]
    if len(said) > MOST_VALUES:
        said = [*said[: MOST_VALUES - 1], f"{len(said) - MOST_VALUES + 1} more"]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} {join} {said[-1]}"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def outcome(definition: Body, variant: str) -> str:
    """What a variant is called: of a boolean flag, by its value."""
    if definition.get("type") == "boolean":
        return "on" if definition["variants"].get(variant) is True else "off"
    return variant


def _off(definition: Body) -> str:
    return outcome(definition, definition["off_variant"])


def _everyone(condition: Body | None, names: Names) -> str:
    return "everyone" if condition is None else people_words(condition, names)


def _shares(definition: Body, serve: Body) -> dict[str, int]:
    """What is served to how many, those left out that nobody gets."""
    parts = serve["split"] if "split" in serve else [{"variant": serve["variant"], "weight": WHOLE}]
    shares: dict[str, int] = {}
    for part in parts:
        if part["weight"]:
            name = outcome(definition, part["variant"])
            shares[name] = shares.get(name, 0) + part["weight"]
    return shares


def _telling(rules: Sequence[Body], otherwise: Body) -> Sequence[Body]:
    """Without the last ones, where whoever they let through gets the same."""
    number = len(rules)
    while number and same_json(rules[number - 1]["serve"], otherwise):
        number -= 1
    return rules[:number]


def _ladder(definition: Body, rules: Sequence[Body], otherwise: Body, names: Names) -> str:
    base = serve_words(definition, otherwise)
    said = [serve_words(definition, rule["serve"], rule["when"], names) for rule in rules]
    if not said:
        return base
    start = f"{base.partition(' for ')[0]} for "
    if len(said) <= MOST_RULES and all(words.startswith(start) for words in said) and base != f"{start}everyone":
        return f"{base}, and for {listed([words.removeprefix(start) for words in said])}"
    if len(said) == 1:
        return f"{base}, but {said[0]}"
    if len(said) > MOST_RULES:
        said = [*said[: MOST_RULES - 1], f"{len(said) - MOST_RULES + 1} more rules"]
    return f"{'; '.join(said)}; otherwise {base}"


_SAYS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "in": ("is", "is not", ""),
        "contains": ("contains", "does not contain", ""),
        "starts_with": ("starts with", "does not start with", ""),
        "ends_with": ("ends with", "does not end with", ""),
        "matches": ("matches", "does not match", ""),
        "gt": ("is more than", "is not more than", ""),
        "gte": ("is at least", "is not at least", ""),
        "lt": ("is less than", "is not less than", ""),
        "lte": ("is at most", "is not at most", ""),
        "semver_eq": ("is version", "is not version", ""),
        "semver_gt": ("is newer than version", "is not newer than version", ""),
        "semver_gte": ("is version", "is not version", " or newer"),
        "semver_lt": ("is older than version", "is not older than version", ""),
        "semver_lte": ("is version", "is not version", " or older"),
        "before": ("is before", "is not before", ""),
        "after": ("is after", "is not after", ""),
        "cidr": ("is in the network", "is not in the network", ""),
    }
)
"""Operator -> how it is said, how it is denied, and what comes after the values."""


def _says(leaf: Body, denied: bool) -> str:
    op, values = leaf["op"], leaf.get("values", ())
    if op == "exists":
        return "is not known" if denied else "is known"
    if op == "between":
        return f"is {'not ' if denied else ''}between {either(values, 'and')}"
    says, denies, after = _SAYS[op]
    return f"{denies if denied else says} {either(values)}{after}"


Clause = Callable[[str, str], str]


def _clauses(condition: Body, names: Names, leaf: Clause, be: str, *, denied: bool = False, inner: bool = False) -> str:
    """A tree of conditions as relative clauses; `be` comes before membership of a segment."""
    if "segment" in condition:
        key = condition["segment"]
        return f"{be}{'not ' if denied else ''}in segment {names.get(key) or key}"
    if "attribute" in condition:
        return leaf(condition["attribute"], _says(condition, denied))
    if "not" in condition:
        return _clauses(condition["not"], names, leaf, be, denied=not denied, inner=inner)
    # Not (a and b) is not a, or not b.
    together = "all" in condition
    parts: Iterable[Body] = condition["all" if together else "any"]
    said = [_clauses(part, names, leaf, be, denied=denied, inner=True) for part in parts]
    words = f" {'and' if together is not denied else 'or'} ".join(said)
    return f"({words})" if inner and len(said) > 1 else words or _nothing(together is not denied, be)


def _nothing(holds: bool, be: str) -> str:
    """An empty list of conditions: all of none holds, any of none does not."""
    return f"{be}anybody" if holds else f"{be}nobody"
