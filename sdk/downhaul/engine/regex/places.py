"""What can be true of a place between two characters; one bit each, so that all that is true fits in one number.

The characters beside the place are known by their signatures, of which only the first two bits matter here.
"""

from __future__ import annotations

from typing import Final

TEXT_START: Final = 1
LINE_START: Final = 2
TEXT_END: Final = 4
LINE_END: Final = 8
WORD_EDGE: Final = 16
NO_WORD_EDGE: Final = 32

BEHIND: Final = TEXT_START | LINE_START  # known from the character before
AHEAD: Final = TEXT_END | LINE_END | WORD_EDGE | NO_WORD_EDGE  # not known before the next character is

IS_NEWLINE: Final = 1
IS_WORD: Final = 2
OUTSIDE: Final = -1  # in place of a signature, before the first character and after the last


def behind(before: int) -> int:
    """What the character before a place says of it."""
    if before == OUTSIDE:
        return BEHIND
    return LINE_START if before & IS_NEWLINE else 0


def around(before: int, after: int) -> int:
    """All that is true of the place between characters with these signatures."""
    edge = WORD_EDGE if _is_word(before) != _is_word(after) else NO_WORD_EDGE
    if after == OUTSIDE:
        return behind(before) | edge | TEXT_END | LINE_END
    return behind(before) | edge | (LINE_END if after & IS_NEWLINE else 0)


def _is_word(signature: int) -> bool:
    return signature != OUTSIDE and bool(signature & IS_WORD)
