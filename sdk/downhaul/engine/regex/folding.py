"""Upper and lower case as one: Unicode's simple case folding, as RE2 applies it under `(?i)`."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

# Characters that no case mapping of their folded form leads back to (K for the Kelvin sign, s for the long s, ...).
_STRAYS = (
    "\u212a\u017f\u00b5\u212b\u1e9e\u0345\u1fbe\u03d0\u03f5\u03d1\u03f4\u03f0\u03d6\u03f1\u03c2\u03d5\u2126"
    "\u1c80\u1c81\u1c82\u1c83\u1c84\u1c85\u1c86\u1c87\u1c88\u1e9b\u1fd3\u1fe3\ufb05"
)
# Equal since Unicode 15.1, whatever the running Python knows.
_LATECOMERS = {"\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb05": "\ufb06"}


def fold(char: str) -> str:
    """The one character that stands for all that differ from `char` in case only."""
    if char in _LATECOMERS:
        return _LATECOMERS[char]
    return next((folded for folded in (char.casefold(), char.lower()) if len(folded) == 1), char)


@cache
def _strays() -> dict[str, str]:
    grouped: dict[str, str] = defaultdict(str)
    for stray in _STRAYS:
        grouped[fold(stray)] += stray
    return dict(grouped)


def same_letter(char: str) -> str:
    """Every character that differs from `char` in case only, `char` among them, as one string."""
    folded = fold(char)
    mapped = (folded.lower(), folded.upper(), folded.title())
    return folded + "".join(one for one in mapped if len(one) == 1) + _strays().get(folded, "")
