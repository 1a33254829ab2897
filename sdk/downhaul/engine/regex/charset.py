"""Sets of characters: what one `.`, `[a-z]`, `\\d`, `\\p{L}` or literal character of an expression stands for."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from downhaul.engine.regex.folding import same_letter

Range = tuple[str, str]

# RE2's ASCII meanings: \s has no vertical tab, [[:space:]] has.
PERL: dict[str, tuple[Range, ...]] = {
    "d": (("0", "9"),),
    "s": (("\t", "\n"), ("\f", "\r"), (" ", " ")),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
}

POSIX: dict[str, tuple[Range, ...]] = {
    "alnum": (("0", "9"), ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "ascii": (("\x00", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\x00", "\x1f"), ("\x7f", "\x7f")),
    "digit": (("0", "9"),),
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": PERL["w"],
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}

# Unicode's general categories, without "not assigned": what that holds changes with every release of Unicode.
CATEGORIES = frozenset(
    "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cs".split()  # noqa: SIM905
)


class Item(NamedTuple):
    """Characters in one of `ranges` (both ends included) or `categories`; with `fold`, in any case of the letter."""

    ranges: tuple[Range, ...] = ()
    categories: frozenset[str] = frozenset()
    negated: bool = False
    fold: bool = False

    def has(self, char: str) -> bool:
        candidates = same_letter(char) if self.fold else char
        return any(self._holds(candidate) for candidate in candidates) != self.negated

    def _holds(self, char: str) -> bool:
        if any(low <= char <= high for low, high in self.ranges):
            return True
        return bool(self.categories) and unicodedata.category(char) in self.categories


class CharSet(NamedTuple):
    """Characters in one of `items`; when `negated`, all the others."""

    items: tuple[Item, ...]
    negated: bool = False

    def has(self, char: str) -> bool:
        return any(item.has(char) for item in self.items) != self.negated

    @property
    def only_member(self) -> str | None:
        """The one character of a set that is one plain character."""
        ranges = self.items[0].ranges if self.items else ()
        return ranges[0][0] if ranges and self == one(ranges[0][0], fold=False) else None


def one(char: str, *, fold: bool) -> CharSet:
    """Just this character, with `fold` in every case."""
    return CharSet((Item(((char, char),), fold=fold and len(same_letter(char)) > 1),))


ANYTHING = CharSet((), negated=True)
NEWLINE = CharSet((Item((("\n", "\n"),)),))
NOT_NEWLINE = CharSet(NEWLINE.items, negated=True)
WORD = CharSet((Item(PERL["w"]),))
