"""A place in the text of an expression, moving from left to right."""

from __future__ import annotations

from downhaul.engine.regex.errors import PatternError


class Cursor:
    """Reads `text`; `at` is the offset of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def next(self) -> str:
        """The next character, empty at the end."""
        return self.text[self.at : self.at + 1]

    def ahead(self, expected: str) -> bool:
        """Whether the text goes on like this."""
        return self.text.startswith(expected, self.at)

    def accept(self, expected: str) -> bool:
        """Step over this text if it is next."""
        if not self.ahead(expected):
            return False
        self.at += len(expected)
        return True

    def take(self) -> str:
        """The next character, stepped over; empty at the end."""
        char = self.next
        self.at += len(char)
        return char

    def take_while(self, allowed: str, most: int) -> str:
        """Up to `most` of the allowed characters, stepped over."""
        start = self.at
        while self.at - start < most and self.next and self.next in allowed:
            self.at += 1
        return self.text[start : self.at]

    def take_until(self, end: str) -> str | None:
        """The text before `end`, both stepped over; None, and no step, where there is no `end`."""
        stop = self.text.find(end, self.at)
        if stop < 0:
            return None
        found, self.at = self.text[self.at : stop], stop + len(end)
        return found

    def error(self, problem: str, at: int) -> PatternError:
        """The error to raise for what is found at offset `at`."""
        return PatternError(problem, at)
