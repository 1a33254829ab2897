"""Documents of the API in plain words: conditions, what is served, states, times."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

Document = Mapping[str, Any]

WHOLE = 100_000
"""The weights of a split sum to this."""

_PHRASES = MappingProxyType(
    {
        "in": "is",
        "contains": "contains",
        "starts_with": "starts with",
        "ends_with": "ends with",
        "matches": "matches",
        "gt": ">",
        "gte": ">=",
        "lt": "<",
        "lte": "<=",
        "semver_eq": "is version",
        "semver_gt": "is a version after",
        "semver_gte": "is at least version",
        "semver_lt": "is a version before",
        "semver_lte": "is at most version",
        "before": "is before",
        "after": "is after",
        "cidr": "is an address in",
    }
)


def condition(document: Document, *, nested: bool = False) -> str:
    """`plan is "pro" and (country is "DE" or country is "FR")`."""
    for word, joint in (("all", " and "), ("any", " or ")):
        if word in document:
            return _joined(document[word], word, joint, nested)
    if "not" in document:
        return f"not ({condition(document['not'])})"
    if "segment" in document:
        return f"in segment {document['segment']}"
    return _leaf(document)


def serve(document: Document) -> str:
    """`on`, or `25 % on, 75 % off, by user`."""
    if "split" not in document:
        return str(document.get("variant"))
    parts = ", ".join(f"{percent(each['weight'])} {each['variant']}" for each in document["split"])
    return f"{parts}, by {document.get('by', 'user')}"


def percent(weight: int) -> str:
    """Weights are thousandths of a percent: `25 %`, `0.125 %`."""
    return f"{weight / (WHOLE / 100):.3f}".rstrip("0").rstrip(".") + " %"


def state(flag: Document, environment: str) -> str:
    """The state of a flag in one environment, in a few words: `killed`, `off`, `on`, `on: 2 rules, 25 % on`."""
    document = flag["environments"].get(environment)
    if document is None:
        return ""
    if document["killed"]:
        return "killed"
    return _served(flag, document) if document["on"] else "off"


def state_sentence(document: Document) -> str:
    """`on`, `off`, or who has killed it, when and why."""
    killed = document["killed"]
    if not killed:
        return "on" if document["on"] else "off"
    if not isinstance(killed, Mapping):
        return "killed"
    reason = f": {killed['reason']}" if killed.get("reason") else ""
    once = "on" if document["on"] else "off"
    return f"killed by {killed.get('by')}, {when(killed.get('at'))}{reason} (once restored, it is {once})"


def value(document: Any) -> str:
    """A value as one line of JSON."""
    return json.dumps(document, ensure_ascii=False)


def when(timestamp: Any) -> str:
    """`2026-11-23 22:07:01 UTC` for an RFC 3339 time; whatever else it is, as it is."""
    moment = clock(timestamp)
    return moment if moment == str(timestamp) else f"{moment} UTC"


def clock(timestamp: Any) -> str:
    """Like `when`, for columns whose head says that it is UTC."""
    try:
        moment = datetime.fromisoformat(str(timestamp))
    except ValueError:
        return str(timestamp)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def ago(seconds: float | None) -> str:
    """`3 s ago`, `12 min ago`; nothing where it is not known."""
    if seconds is None:
        return ""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def count(number: int, noun: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(words: Sequence[str]) -> str:
    """`a, b, c`."""
    return ", ".join(words)


def _joined(parts: Sequence[Document], word: str, joint: str, nested: bool) -> str:
    if len(parts) < 2:
        return condition(parts[0], nested=nested) if parts else ("always" if word == "all" else "never")
    text = joint.join(condition(part, nested=True) for part in parts)
    return f"({text})" if nested else text


def _leaf(document: Document) -> str:
    attribute, operator, values = document.get("attribute"), str(document.get("op")), document.get("values", [])
    if operator == "exists":
        return f"{attribute} is there"
    if operator == "between" and len(values) == 2:
        return f"{attribute} is between {value(values[0])} and {value(values[1])}"
    return f"{attribute} {_PHRASES.get(operator, operator)} {' or '.join(map(value, values))}"


def _served(flag: Document, document: Document) -> str:
    rules = [rule for rule in document["rules"] if rule.get("enabled", True)]
    parts = [count(len(rules), "rule")] if rules else []
    otherwise = document["otherwise"]
    if "split" in otherwise:
        parts.append(_shares(flag, otherwise["split"]))
    elif parts or flag["variants"].get(otherwise["variant"]) is not True:
        parts.append(f"otherwise {otherwise['variant']}" if parts else str(otherwise["variant"]))
    return f"on: {listed(parts)}" if parts else "on"


def _shares(flag: Document, split: Sequence[Document]) -> str:
    """Without the off variant: its share is what is left."""
    shares = [
        f"{percent(each['weight'])} {each['variant']}" for each in split if each["variant"] != flag["off_variant"]
    ]
    return listed(shares)
