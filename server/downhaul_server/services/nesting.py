"""Segments inside segments, flags behind flags: no circles, and no more of it than every process can bear.

Whoever evaluates descends level by level, on a bounded stack, and looks at a part as often as it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from downhaul.engine.graph import CycleError, dependency_order

from downhaul_server.services.errors import Invalid
from downhaul_server.services.names import flag_name, resolve
from downhaul_server.services.references import name_of, segments_in
from downhaul_server.store import View

MAX_LEVELS = 64
"""Of a segment, with all segments inside it."""
MAX_PARTS = 10_000
"""Of a segment: conditions, with those of each segment inside it as often as it is named."""
MAX_CHAIN = 32
"""Flags that require the next."""
MAX_REQUIRED = 1_000
"""Flags that a flag requires, with those that they require, as often as they are named."""

Graph = Mapping[str, list[str]]


def check_segment(view: View, key: str, condition: Any) -> None:
    """Raises Invalid at `when`, if a segment with this condition contained itself or made any too large."""
    conditions = {document.key: document.body["when"] for document in view.of_kind("segment/")} | {key: condition}
    graph = {name: [inner for _, inner in segments_in(when)] for name, when in conditions.items()}
    sizes = {name: _size(when) for name, when in conditions.items()}
    order = _order(graph, "when", "contain")
    if _largest(order, graph, {name: levels for name, (levels, _) in sizes.items()}, max) > MAX_LEVELS:
        raise Invalid.at("when", message=f"expected segments nested at most {MAX_LEVELS} deep, with all inside them")
    if _largest(order, graph, {name: parts for name, (_, parts) in sizes.items()}, sum) > MAX_PARTS:
        raise Invalid.at("when", message=f"expected at most {MAX_PARTS} conditions, with all segments inside it")


def check_requirements(view: View, flag: Mapping[str, Any]) -> None:
    """Raises Invalid at `requires`, if the flag required itself, or any flag too much."""
    if not flag["requires"]:
        return
    bodies = {name_of(document): document.body for document in view.of_kind("flag/") if document.body["requires"]}
    bodies[flag_name(flag["service"], flag["key"])] = flag
    graph = {
        name: [flag_name(*resolve(need["flag"], body["service"])) for need in body["requires"]]
        for name, body in bodies.items()
    }
    order = _order(graph, "requires", "require")
    ones = dict.fromkeys(graph, 1)
    if _largest(order, graph, ones, max) > MAX_CHAIN:
        raise Invalid.at("requires", message=f"expected chains of at most {MAX_CHAIN} flags that require the next")
    if _largest(order, graph, ones, sum) > MAX_REQUIRED:
        raise Invalid.at("requires", message=f"expected at most {MAX_REQUIRED} flags, with all that they require")


def _order(graph: Graph, field: str, verb: str) -> list[str]:
    try:
        return dependency_order(graph)
    except CycleError as error:
        raise Invalid.at(field, message=f"{' > '.join(error.cycle)}: they {verb} each other") from None


def _largest(order: list[str], graph: Graph, own: Mapping[str, int], combine: Callable[[list[int]], int]) -> int:
    """The largest of all, when each is what it is itself and its inner ones combined. (A name without edges is one.)"""
    found: dict[str, int] = {}
    for name in order:
        found[name] = own[name] + combine([0, *(found.get(inner, 1) for inner in graph[name])])
    return max(found.values(), default=0)


def _size(condition: Any) -> tuple[int, int]:
    """Levels and parts of a condition; a segment is one of each."""
    levels, parts, level = 0, 0, [condition]
    while level:
        levels, parts = levels + 1, parts + len(level)
        level = [
            inner
            for part in level
            for inner in (*part.get("all", ()), *part.get("any", ()), *([part["not"]] if "not" in part else ()))
        ]
    return levels, parts
