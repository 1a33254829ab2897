"""From an expression's text to its tree, by recursive descent. RE2's syntax, without what would need a memory."""

from __future__ import annotations

from typing import NamedTuple

from downhaul.engine.regex.brackets import bracket_set
from downhaul.engine.regex.charset import ANYTHING, NOT_NEWLINE, CharSet, one
from downhaul.engine.regex.cursor import Cursor
from downhaul.engine.regex.errors import PatternError
from downhaul.engine.regex.escapes import char_group, escaped_char
from downhaul.engine.regex.nodes import Assertion, Char, Node, choice, repeat, sequence
from downhaul.engine.regex.places import LINE_END, LINE_START, NO_WORD_EDGE, TEXT_END, TEXT_START, WORD_EDGE

MAX_LENGTH = 1_000
MAX_SIZE = 5_000
MAX_REPEAT = 1_000
MAX_DEPTH = 50  # each level takes a few frames of the caller's stack

_WHY = "is not supported, because it cannot be matched in linear time"
_UNSUPPORTED = {
    "(?=": f"lookahead {_WHY}",
    "(?!": f"lookahead {_WHY}",
    "(?<=": f"lookbehind {_WHY}",
    "(?<!": f"lookbehind {_WHY}",
    "(?>": f"an atomic group {_WHY}",
    "(?(": f"a conditional group {_WHY}",
    "(?P=": f"a backreference {_WHY}",
    "(?P>": f"recursion {_WHY}",
    "(?R": f"recursion {_WHY}",
    "(?#": "a comment is not supported",
}
_ASSERTIONS = {
    r"\A": TEXT_START,
    r"\z": TEXT_END,
    r"\b": WORD_EDGE,
    r"\B": NO_WORD_EDGE,
}
_QUANTIFIERS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_DIGITS = "0123456789"


class Flags(NamedTuple):
    """The flags in force. `(?U)` is read and means nothing: greed never decides whether there is a match."""

    i: bool = False
    m: bool = False
    s: bool = False
    U: bool = False


def parse(text: str) -> Node:
    """The tree of this expression. Raises PatternError."""
    if len(text) > MAX_LENGTH:
        raise PatternError(f"an expression may have at most {MAX_LENGTH:,} characters", MAX_LENGTH)
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.cursor = Cursor(text)
        self.flags = Flags()
        self.depth = 0

    def whole(self) -> Node:
        node = self._choice()
        if self.cursor.next:
            raise self.cursor.error("a ) without its (", self.cursor.at)
        return node

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self.cursor.accept("|"):
            options.append(self._sequence())
        return self._bounded(choice(options), 0)

    def _sequence(self) -> Node:
        parts: list[Node] = []
        repeated = False
        while self.cursor.next and self.cursor.next not in "|)":
            start = self.cursor.at
            times = self._quantifier()
            if times is None:
                parts += self._atoms()
            elif repeated or not parts:
                raise self.cursor.error(self._repetition_problem(repeated), start)
            else:
                parts[-1] = self._bounded(repeat(parts[-1], *times), start)
            repeated = times is not None
        return self._bounded(sequence(parts), 0)

    def _bounded(self, node: Node, at: int) -> Node:
        if node.size > MAX_SIZE:
            raise self.cursor.error(f"an expression may come to at most {MAX_SIZE:,} steps when written out", at)
        return node

    def _repetition_problem(self, repeated: bool) -> str:
        if not repeated:
            return "a repetition with nothing to repeat"
        if self.cursor.text[self.cursor.at - 1] == "+":
            return f"a possessive repetition {_WHY}"
        return "a repetition of a repetition: put the inner one into a group"

    def _quantifier(self) -> tuple[int, int | None] | None:
        symbol = self.cursor.next
        if symbol in _QUANTIFIERS:
            self.cursor.at += 1
            times = _QUANTIFIERS[symbol]
        else:
            counted = self._counted()
            if counted is None:
                return None
            times = counted
        self.cursor.accept("?")  # lazy: it would change what is matched, never whether
        return times

    def _counted(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; anything else that starts with { is literal text, as in RE2 and Python."""
        start = self.cursor.at
        if not self.cursor.accept("{"):
            return None
        least = most = self.cursor.take_while(_DIGITS, MAX_LENGTH)
        if self.cursor.accept(","):
            most = self.cursor.take_while(_DIGITS, MAX_LENGTH)
        if not least or not self.cursor.accept("}"):
            self.cursor.at = start
            return None
        return self._times(int(least), int(most) if most else None, start)

    def _times(self, least: int, most: int | None, start: int) -> tuple[int, int | None]:
        if most is not None and most < least:
            raise self.cursor.error("a repetition whose upper bound is below its lower", start)
        if max(least, most or 0) > MAX_REPEAT:
            raise self.cursor.error(f"a repetition may count to at most {MAX_REPEAT:,}", start)
        return least, most

    def _atoms(self) -> list[Node]:
        """What comes next: one node, several for quoted text, none for flags."""
        cursor = self.cursor
        if cursor.ahead("("):
            return self._group()
        if cursor.ahead("["):
            return [Char(bracket_set(cursor, fold=self.flags.i))]
        if cursor.ahead("\\"):
            return self._escape()
        return [self._plain(cursor.take())]

    def _plain(self, char: str) -> Node:
        match char:
            case "^":
                return Assertion(LINE_START if self.flags.m else TEXT_START)
            case "$":
                return Assertion(LINE_END if self.flags.m else TEXT_END)
            case ".":
                return Char(ANYTHING if self.flags.s else NOT_NEWLINE)
        return self._literal(char)

    def _literal(self, char: str) -> Node:
        return Char(one(char, fold=self.flags.i))

    def _escape(self) -> list[Node]:
        place = _ASSERTIONS.get(self.cursor.text[self.cursor.at : self.cursor.at + 2])
        if place is not None:
            self.cursor.at += 2
            return [Assertion(place)]
        if self.cursor.accept(r"\Q"):
            quoted = self.cursor.take_until(r"\E")
            return [self._literal(char) for char in (self._rest() if quoted is None else quoted)]
        group = char_group(self.cursor, fold=self.flags.i)
        return [Char(CharSet((group,))) if group else self._literal(escaped_char(self.cursor))]

    def _rest(self) -> str:
        start, self.cursor.at = self.cursor.at, len(self.cursor.text)
        return self.cursor.text[start:]

    def _group(self) -> list[Node]:
        start, outside = self.cursor.at, self.flags
        if self._only_flags():
            return []
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.cursor.error(f"groups may be nested at most {MAX_DEPTH} deep", start)
        node = self._choice()
        if not self.cursor.accept(")"):
            raise self.cursor.error("a ( without its closing )", start)
        self.depth -= 1
        self.flags = outside
        return [node]

    def _only_flags(self) -> bool:
        """Read a group's head; True for `(?i)`, which is all head and holds for the rest of the group around it."""
        start = self.cursor.at
        for head, problem in _UNSUPPORTED.items():
            if self.cursor.ahead(head):
                raise self.cursor.error(problem, start)
        self.cursor.accept("(")
        if not self.cursor.accept("?"):
            return False
        if self.cursor.accept("P<") or self.cursor.accept("<"):
            self._name(start)
            return False
        return self._flags(start)

    def _name(self, start: int) -> None:
        name = self.cursor.take_until(">")
        if not name or not name.replace("_", "a").isalnum():
            raise self.cursor.error("a group's name is made of letters, digits and underscores", start)

    def _flags(self, start: int) -> bool:
        """Read `i-s)` or `i-s:`; True for the former. Raises PatternError."""
        wanted: dict[str, bool] = {}
        value, previous = True, ""
        while (letter := self.cursor.take()) not in (")", ":") or previous == "-":
            if letter and letter in "imsU":
                wanted[letter] = value
            elif letter == "-" and value:
                value = False
            else:
                raise self.cursor.error("after (? come : or flags out of i, m, s, U or a name as in (?P<name>", start)
            previous = letter
        self.flags = self.flags._replace(**wanted)
        return letter == ")"
