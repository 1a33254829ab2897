"""What is said of a flag and decides nothing: description, owner, purpose, tags, expiry date, whom it is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from downhaul_server.services.errors import Invalid, Path

PURPOSES = ("release", "experiment", "ops", "permission")
LONGEST = {"description": 2_000, "owner": 200}
LONGEST_TAG, MOST_TAGS = 100, 100


def check(flag: Mapping[str, Any]) -> None:
    """Raises Invalid, with every fault at its field."""
    if faults := list(_faults(flag)):
        raise Invalid(faults)


def _faults(flag: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    for name, longest in LONGEST.items():
        if not isinstance(flag[name], str) or len(flag[name]) > longest:
            yield (name,), f"expected a text of at most {longest} characters"
    if flag["purpose"] not in PURPOSES:
        yield ("purpose",), f"expected one of {', '.join(PURPOSES)}"
    if not _is_tags(flag["tags"]):
        yield ("tags",), f"expected at most {MOST_TAGS} texts of 1 to {LONGEST_TAG} characters"
    if not isinstance(flag["client"], bool):
        yield ("client",), "expected true or false"
    if flag["expires"] is not None and not _is_day(flag["expires"]):
        yield ("expires",), "expected a day as YYYY-MM-DD"


def _is_tags(tags: Any) -> bool:
    return (
        isinstance(tags, list)
        and len(tags) <= MOST_TAGS
        and all(isinstance(tag, str) and 0 < len(tag) <= LONGEST_TAG for tag in tags)
    )


def _is_day(text: Any) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
