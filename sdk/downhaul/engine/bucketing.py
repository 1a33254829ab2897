"""Which share of a split a unit falls into: the same in every process, on every machine, in every release."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any, Final

import mmh3

WHOLE: Final = 100_000
"""The sum of a split's weights, and the number of positions."""


def position(salt: str, unit: str) -> int:
    """0 to 99,999: `(murmur3_x86_32(f"{salt}:{unit}", seed=0) * 100_000) >> 32`, of the text's UTF-8."""
    return hash_of(f"{salt}:{unit}") * WHOLE >> 32


def hash_of(text: str) -> int:
    """The unsigned murmur3_x86_32 of the text. A lone surrogate is no UTF-8; it is hashed as if it were a letter."""
    try:
        return mmh3.hash(
            text.encode(), 0, False
        )  # of bytes: given a lone surrogate in a str, mmh3 5 crashes the process
    except UnicodeEncodeError:
        return mmh3.hash(text.encode("utf-8", "surrogatepass"), 0, False)


def unit_text(unit: Any) -> str | None:
    """The text of a split's attribute: strings as they are, integers in decimal; None for whatever cannot be split."""
    if isinstance(unit, str):
        return str.__str__(unit)
    if isinstance(unit, int) and not isinstance(unit, bool):
        try:
            return int.__repr__(unit)
        except ValueError:  # thousands of digits: Python refuses to write them
            return None
    return None


def thresholds(weights: Iterable[int]) -> tuple[int, ...]:
    """For each cumulative weight `w`, the smallest hash whose position is not below it.

    `position < w` is `hash * 100_000 >> 32 < w`, which is `hash < ceil(w * 2**32 / 100_000)`: one comparison a call.
    """
    return tuple(-(-(cumulative << 32) // WHOLE) for cumulative in accumulate(weights))
