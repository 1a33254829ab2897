"""What follows a backslash: `\\d` and `\\p{L}` (sets of characters), `\\n` and `\\x{e9}` (one character)."""

from __future__ import annotations

from downhaul.engine.regex.charset import CATEGORIES, PERL, Item
from downhaul.engine.regex.cursor import Cursor

HEX = "0123456789abcdefABCDEF"
CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
INSTEAD = {
    "Z": r"\Z is not supported: write \z for the end of the text",
    "G": r"\G is not supported: there is no previous match to go on from",
    "C": r"\C is not supported: a text is made of characters, not of bytes",
    "k": "a backreference is not supported, because it cannot be matched in linear time",
    "u": r"\u is not supported: write \x{...} for a character by its code point",
    "U": r"\U is not supported: write \x{...} for a character by its code point",
}


def char_group(cursor: Cursor, *, fold: bool) -> Item | None:
    """The set that starts here (`\\d`, `\\W`, `\\pL`, `\\P{Lu}`), or None. Raises PatternError."""
    if not cursor.ahead("\\"):
        return None
    letter = cursor.text[cursor.at + 1 : cursor.at + 2]
    if letter and letter in "dswDSW":
        cursor.at += 2
        return Item(PERL[letter.lower()], negated=letter.isupper(), fold=fold)
    if letter and letter in "pP":
        return _category(cursor, fold=fold)
    return None


def _category(cursor: Cursor, *, fold: bool) -> Item:
    start = cursor.at
    cursor.at += 1
    negated = cursor.take() == "P"
    name = cursor.take_until("}") if cursor.accept("{") else cursor.take()
    if name is None:
        raise cursor.error("a Unicode category without its closing }", start)
    if name.startswith("^"):
        name, negated = name[1:], not negated
    members = frozenset(category for category in CATEGORIES if name and name in (category, category[0]))
    if not members:
        raise cursor.error(rf"\p knows Unicode's general categories, such as L or Nd, and {name!r} is none", start)
    return Item(categories=members, negated=negated, fold=fold)


def escaped_char(cursor: Cursor) -> str:
    """The one character that the escape at the cursor stands for. Raises PatternError."""
    start = cursor.at
    cursor.at += 1
    letter = cursor.take()
    if not letter:
        raise cursor.error("a backslash with nothing after it", start)
    if letter == "x":
        return _hexadecimal(cursor, start)
    if letter == "0":
        return chr(int("0" + cursor.take_while("01234567", 2), 8))
    if letter in CONTROLS:
        return CONTROLS[letter]
    if letter in "123456789":
        raise cursor.error(INSTEAD["k"], start)
    if letter.isascii() and not letter.isalnum():
        return letter
    raise cursor.error(INSTEAD.get(letter, f"\\{letter} is no escape that is known here"), start)


def _hexadecimal(cursor: Cursor, start: int) -> str:
    braced = cursor.accept("{")
    digits = cursor.take_while(HEX, len(cursor.text) if braced else 2)
    whole = cursor.accept("}") and bool(digits) if braced else len(digits) == 2
    if not whole or int(digits, 16) > 0x10FFFF:
        raise cursor.error(r"\x takes two hexadecimal digits, or in braces a code point of at most 10FFFF", start)
    return chr(int(digits, 16))
