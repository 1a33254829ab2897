"""A bracket expression: `[a-z]`, `[^\\d_]`, `[[:alpha:]-]`."""

from __future__ import annotations

from downhaul.engine.regex.charset import POSIX, CharSet, Item
from downhaul.engine.regex.cursor import Cursor
from downhaul.engine.regex.escapes import char_group, escaped_char


def bracket_set(cursor: Cursor, *, fold: bool) -> CharSet:
    """The set whose `[` is at the cursor. Raises PatternError."""
    start = cursor.at
    cursor.at += 1
    negated = cursor.accept("^")
    items: list[Item] = []
    while not items or not cursor.ahead("]"):  # a ] that comes first is meant literally
        if not cursor.next:
            raise cursor.error("a [ without its closing ]", start)
        items.append(_posix(cursor, fold=fold) or char_group(cursor, fold=fold) or _range(cursor, start, fold=fold))
    cursor.at += 1
    return CharSet(tuple(items), negated=negated)


def _posix(cursor: Cursor, *, fold: bool) -> Item | None:
    if not cursor.ahead("[:") or ":]" not in cursor.text[cursor.at + 2 :]:
        return None
    start = cursor.at
    cursor.at += 2
    negated = cursor.accept("^")
    name = cursor.take_until(":]") or ""
    if name not in POSIX:
        raise cursor.error(f"there is no class of characters named {name!r}", start)
    return Item(POSIX[name], negated=negated, fold=fold)


def _range(cursor: Cursor, bracket: int, *, fold: bool) -> Item:
    start = cursor.at
    low = high = _char(cursor)
    if cursor.ahead("-") and not cursor.ahead("-]"):
        cursor.at += 1
        if not cursor.next:
            raise cursor.error("a [ without its closing ]", bracket)
        high = _char(cursor)
    if high < low:
        raise cursor.error(f"the range {low}-{high} runs backwards", start)
    return Item(((low, high),), fold=fold)


def _char(cursor: Cursor) -> str:
    return escaped_char(cursor) if cursor.ahead("\\") else cursor.take()
