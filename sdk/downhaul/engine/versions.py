"""Versions by semver.org 2.0: which text is one, and which of two precedes the other."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_NUMBER = r"(0|[1-9][0-9]*)"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_MAX_LENGTH = 1000

Precedence = tuple[Any, ...]
"""Compares as the versions do. Numbers are kept as (length, digits), so that none is too long to be read."""


@lru_cache(maxsize=2048)
def precedence(text: str) -> Precedence | None:
    """What orders this version among others (section 11 of semver.org 2.0), or None if it is no version."""
    match = _VERSION.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        return None
    major, minor, patch, prerelease = match.groups()
    release = (_number(major), _number(minor), _number(patch))
    # A pre-release comes before its release; a shorter list of identifiers before a longer one that begins like it.
    return (*release, prerelease is None, tuple(_identifier(part) for part in (prerelease or "").split(".")))


def _number(digits: str) -> tuple[int, str]:
    return len(digits), digits


def _identifier(text: str) -> tuple[int, Any]:
    return (0, _number(text)) if text.isdigit() else (1, text)
