"""Conditions as forms: a tree of groups and clauses, each field named by its place. Pure.

A node is `{kind: all | any | clause | segment, not: bool}` with `items` (groups), `attribute`, `op`, `values` (one a
line) or `segment`. Its fields are `when.kind`, `when.0.attribute`, `when.1.0.op` and so on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from downhaul.engine.operators import OPERATORS, WITHOUT_VALUES
from downhaul_server.services.errors import Invalid, ServiceError

from downhaul_admin import forms
from downhaul_admin.signin import sentence

ROOT = "when"
MOST_FIELDS = 4_000
MOST_LEVELS = 30
LONGEST_NUMBER = 6
"""Digits of a place's number, and a bit more than anybody needs of the others."""
GROUPS = ("all", "any")
OPERATORS_IN_WORDS = {
    "in": "is one of",
    "contains": "contains",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches the pattern",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "between": "is between",
    "semver_eq": "is version",
    "semver_gt": "is newer than version",
    "semver_gte": "is version … or newer",
    "semver_lt": "is older than version",
    "semver_lte": "is version … or older",
    "before": "is before the time",
    "after": "is after the time",
    "cidr": "is in the network",
    "exists": "is known",
}

Node = dict[str, Any]


def operators() -> list[tuple[str, str]]:
    """Name and words of each."""
    return [(name, OPERATORS_IN_WORDS[name]) for name in OPERATORS]


def clause() -> Node:
    """One that is not filled in yet."""
    return {"kind": "clause", "not": False, "attribute": "", "op": "in", "values": ""}


def group() -> Node:
    """One that holds when any of its clauses does."""
    return {"kind": "any", "not": False, "items": [clause()]}


def to_form(condition: Mapping[str, Any]) -> Node:
    """The tree of a condition. Its root is a group, so that there is room for more."""
    node = _node(condition)
    return node if node["kind"] in GROUPS else {"kind": "all", "not": False, "items": [node]}


def _node(condition: Mapping[str, Any]) -> Node:
    if "not" in condition:
        node = _node(condition["not"])
        return node | {"not": not node["not"]}
    for kind in GROUPS:
        if kind in condition:
            return {"kind": kind, "not": False, "items": [_node(part) for part in condition[kind]]}
    if "segment" in condition:
        return {"kind": "segment", "not": False, "segment": condition["segment"]}
    values = "\n".join(_typed(value) for value in condition.get("values", ()))
    return {
        "kind": "clause",
        "not": False,
        "attribute": condition["attribute"],
        "op": condition["op"],
        "values": values,
    }


def to_condition(node: Node) -> dict[str, Any]:
    """What the API takes. What is malformed is kept for the service to refuse, at its place."""
    kind = node["kind"]
    if kind in GROUPS:
        found: dict[str, Any] = {kind: [to_condition(item) for item in node["items"]]}
    elif kind == "segment":
        found = {"segment": node["segment"]}
    else:
        found = {"attribute": node["attribute"], "op": node["op"]}
        if node["op"] not in WITHOUT_VALUES:
            found["values"] = [_meant(line) for line in node["values"].splitlines() if line.strip()]
    return {"not": found} if node["not"] else found


def _typed(value: Any) -> str:
    """As somebody would type it: text in quotes only where it would be read as something else."""
    if isinstance(value, str) and value.strip() == value and value and "\n" not in value and _meant(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _meant(line: str) -> Any:
    text = line.strip()
    try:
        return forms.json_of(text)
    except ValueError:
        return text


def from_fields(fields: Mapping[str, str]) -> Node:
    """The tree that was sent."""
    some = dict(list(fields.items())[:MOST_FIELDS])
    return _read(some, _below(some), ROOT, 0)


def _below(fields: Mapping[str, str]) -> Mapping[str, list[str]]:
    """The places right below each place, in order."""
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for name in fields:
        parts = name.split(".", MOST_LEVELS + 1)
        for at, part in enumerate(parts):
            if not (part.isascii() and part.isdecimal() and len(part) < LONGEST_NUMBER):
                continue
            numbers[".".join(parts[:at])].add(int(part))
    return {place: [f"{place}.{number}" for number in sorted(inner)] for place, inner in numbers.items()}


def _read(fields: Mapping[str, str], below: Mapping[str, list[str]], place: str, level: int) -> Node:
    kind = fields.get(f"{place}.kind", "all" if place == ROOT else "clause")
    denied = bool(fields.get(f"{place}.not"))
    if kind in GROUPS and level < MOST_LEVELS:  # what is deeper becomes a clause of nothing, which is refused
        items = [_read(fields, below, inner, level + 1) for inner in below.get(place, ())]
        return {"kind": kind, "not": denied, "items": items}
    if kind == "segment":
        return {"kind": kind, "not": denied, "segment": fields.get(f"{place}.segment", "").strip()}
    given = {name: fields.get(f"{place}.{name}", "") for name in ("attribute", "op", "values")}
    return {"kind": "clause", "not": denied, **given, "attribute": given["attribute"].strip()}


def edited(node: Node, deed: str) -> Node:
    """After a button: `add:<place>`, `segment:<place>`, `group:<place>` (into a group), `remove:<place>`."""
    verb, _, place = deed.partition(":")
    steps = [int(step) for step in place.removeprefix(ROOT).split(".") if step.isdecimal()]
    new = {"add": clause, "segment": lambda: {"kind": "segment", "not": False, "segment": ""}, "group": group}
    return _edited(node, steps, None if verb == "remove" else new.get(verb, clause)())


def _edited(node: Node, steps: list[int], new: Node | None) -> Node:
    if node["kind"] not in GROUPS:
        return node
    items = node["items"]
    if not steps:
        return node if new is None else node | {"items": [*items, new]}
    first, *rest = steps
    if first >= len(items):
        return node
    if not rest and new is None:
        return node | {"items": items[:first] + items[first + 1 :]}
    return node | {"items": [_edited(item, rest, new) if at == first else item for at, item in enumerate(items)]}


def sent(fields: Mapping[str, str]) -> Node:
    """What a form sent, after the button that was pressed; `save` leaves it as it is."""
    tree, deed = from_fields(fields), fields.get("do", "save")
    return tree if deed == "save" else edited(tree, deed)


def faults(error: ServiceError | None) -> dict[str, str]:
    """Sentences by the field of the condition that they are about."""
    if not isinstance(error, Invalid):
        return {}
    return {
        place_of(where[where.index("when") + 1 :]): sentence(message)
        for where, message in error.errors
        if "when" in where
    }


def place_of(path: tuple[str | int, ...]) -> str:
    """The field that a fault of a condition is about: `("all", 1, "values", 0)` is `when.1.values`."""
    numbers, name = [], ""
    parts = iter(path)
    for part in parts:
        if part in GROUPS:
            following = next(parts, None)
            if isinstance(following, int):
                numbers.append(str(following))
        elif part in ("attribute", "op", "values", "segment"):
            name = str(part)
            break
    return ".".join([ROOT, *numbers, *([name] if name else [])])
