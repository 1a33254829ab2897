"""An expression as a tree. `size` bounds the instructions that a node becomes, so that a bomb is refused unexploded."""

from __future__ import annotations

from typing import NamedTuple

from downhaul.engine.regex.charset import CharSet


class Char(NamedTuple):
    """One character out of a set."""

    charset: CharSet
    size: int = 1


class Assertion(NamedTuple):
    """A place of which this is true (one bit of `places`), and no character."""

    place: int
    size: int = 1


class Sequence(NamedTuple):
    """All of these in order; without any, the empty text."""

    parts: tuple[Node, ...]
    size: int


class Choice(NamedTuple):
    """One of these."""

    options: tuple[Node, ...]
    size: int


class Repeat(NamedTuple):
    """The body, `least` to `most` times; without `most`, as often as it likes."""

    body: Node
    least: int
    most: int | None
    size: int


Node = Char | Assertion | Sequence | Choice | Repeat


def sequence(parts: list[Node]) -> Node:
    """These in order; a single one is itself."""
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts), 1 + sum(part.size for part in parts))


def choice(options: list[Node]) -> Node:
    """One of these; a single one is itself."""
    return options[0] if len(options) == 1 else Choice(tuple(options), 1 + sum(option.size for option in options))


def repeat(body: Node, least: int, most: int | None) -> Node:
    """The body so many times; each copy may need a fork."""
    copies = max(least, 1 if most is None else most, 1)
    return Repeat(body, least, most, 1 + copies * (1 + body.size))
