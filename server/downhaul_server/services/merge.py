"""RFC 7396 JSON merge patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERVES = (("variant",), ("split", "by"))
"""The two forms of what is served. A patch to the one replaces the other: merged, they would mean nothing."""


def merge_patch(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """`target` with `patch` merged in: objects merge, null removes, all else replaces. Changes neither."""
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value) if isinstance(value, Mapping) else value
    return merged


def merge_serve(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Like `merge_patch`, for `otherwise`: `{"variant": "on"}` replaces a split."""
    for one, other in (SERVES, SERVES[::-1]):
        if one[0] in patch and other[0] not in patch:
            target = {name: value for name, value in target.items() if name not in other}
    return merge_patch(target, patch)
