"""Points in time by RFC 3339, with an offset, exact to the last digit."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_MAX_LENGTH = 1000

Instant = tuple[int, str]
"""Seconds since 0001-01-01T00:00:00Z, and the digits of the fraction without trailing zeros. Compares as time does."""


@lru_cache(maxsize=2048)
def instant(text: str) -> Instant | None:
    """The point in time, or None if the text is none (no offset, no such day, hour 24, ...)."""
    match = _TIME.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    offset = _offset(match[8], int(match[9] or 0), int(match[10] or 0))
    # Section 5.6 allows second 60 for leap seconds; it is the moment at which the next minute begins.
    if hour > 23 or minute > 59 or second > 60 or offset is None:
        return None
    try:
        days = date(year, month, day).toordinal() - 1
    except ValueError:
        return None
    return ((days * 24 + hour) * 60 + minute) * 60 + second - offset, (match[7] or "").rstrip("0")


def _offset(sign: str | None, hours: int, minutes: int) -> int | None:
    if hours > 23 or minutes > 59:
        return None
    return (-1 if sign == "-" else 1) * (hours * 60 + minutes) * 60
