"""What differs between two JSON documents, as JSON pointers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from downhaul_server.services.documents import same_json

Difference = dict[str, Any]
"""`{op, path, before, after}`; `op` is add, remove or replace, `path` a JSON pointer (RFC 6901)."""


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """From `before` to `after`, down to the smallest parts that differ. Elements of lists are compared by index."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _members(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _members(dict(enumerate(before)), dict(enumerate(after)), path)
    elif not same_json(before, after):
        yield {"op": "replace", "path": path, "before": before, "after": after}


def whole(before: Any, after: Any) -> list[Difference]:
    """Of documents that may be absent (None) on one side: that is one difference, of all of it."""
    if before is None:
        return [{"op": "add", "path": "", "before": None, "after": after}]
    if after is None:
        return [{"op": "remove", "path": "", "before": before, "after": None}]
    return list(differences(before, after))


def _members(before: Mapping[Any, Any], after: Mapping[Any, Any], path: str) -> Iterator[Difference]:
    for name in dict.fromkeys((*before, *after)):
        inner = f"{path}/{_escaped(name)}"
        if name not in after:
            yield {"op": "remove", "path": inner, "before": before[name], "after": None}
        elif name not in before:
            yield {"op": "add", "path": inner, "before": None, "after": after[name]}
        else:
            yield from differences(before[name], after[name], inner)


def _escaped(name: str | int) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
