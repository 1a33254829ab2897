"""Lists are answered a page at a time; the cursor is opaque to clients."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from downhaul_server.services.errors import Invalid

T = TypeVar("T")

LIMIT = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Some items, and the cursor of the next page (None: this was the last)."""

    items: list[dict[str, Any]]
    next: str | None = None


def encode_cursor(position: str) -> str:
    """A cursor that continues after this position."""
    return base64.urlsafe_b64encode(position.encode("utf-8")).decode("ascii").rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """The position. Raises Invalid for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Invalid.at("cursor", message="expected the `next` of an earlier page") from None


def page_by_key(
    items: Iterable[tuple[str, T]], limit: int, cursor: str | None, present: Callable[[T], dict[str, Any]]
) -> Page:
    """A page of (key, item) pairs that come in the order of their keys; only what is on the page is presented."""
    after = decode_cursor(cursor)
    found: list[tuple[str, T]] = []
    for key, item in items:
        if after is not None and key <= after:
            continue
        if len(found) == limit:
            return Page([present(item) for _, item in found], encode_cursor(found[-1][0]))
        found.append((key, item))
    return Page([present(item) for _, item in found])
