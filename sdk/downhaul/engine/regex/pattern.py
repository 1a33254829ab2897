"""An expression, ready to be searched for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from downhaul.engine.regex.automaton import Automaton
from downhaul.engine.regex.nodes import Assertion, Char, Node, Sequence
from downhaul.engine.regex.parser import parse
from downhaul.engine.regex.places import TEXT_END, TEXT_START
from downhaul.engine.regex.program import assemble

Search = Callable[[str], bool]


class Pattern:
    """`search(text)` says whether the expression is found anywhere in the text: in linear time, from any thread."""

    __slots__ = ("search", "text")

    def __init__(self, text: str) -> None:
        node = parse(text)
        self.text: Final = text
        self.search: Final[Search] = plain_search(node) or Automaton(assemble(node)).search

    def __repr__(self) -> str:
        return f"compile_pattern({self.text!r})"


def compile_pattern(text: str) -> Pattern:
    """The pattern of this expression. Raises PatternError, which says what is wrong and at which offset."""
    return Pattern(text)


def plain_search(node: Node) -> Search | None:
    """The method of str that does the work, where the expression is plain text, anchored or not; else None."""
    parts = node.parts if isinstance(node, Sequence) else (node,)
    at_start = parts[:1] == (Assertion(TEXT_START),)
    at_end = parts[-1:] == (Assertion(TEXT_END),)
    chars = [_plain_char(part) for part in parts[at_start : len(parts) - at_end]]
    plain = "".join(char for char in chars if char is not None)
    return _str_search(plain, at_start, at_end) if len(plain) == len(chars) else None


def _plain_char(node: Node) -> str | None:
    return node.charset.only_member if isinstance(node, Char) else None


def _str_search(plain: str, at_start: bool, at_end: bool) -> Search:
    if at_start and at_end:
        return lambda text: text == plain
    if at_start:
        return lambda text: text.startswith(plain)
    if at_end:
        return lambda text: text.endswith(plain)
    return lambda text: plain in text
