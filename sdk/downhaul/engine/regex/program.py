"""From a tree to a program of instructions and sets of characters, by Thompson's construction."""

from __future__ import annotations

from typing import NamedTuple

from downhaul.engine.regex.charset import NEWLINE, WORD, CharSet
from downhaul.engine.regex.nodes import Assertion, Char, Choice, Node, Repeat, Sequence
from downhaul.engine.regex.places import IS_NEWLINE, IS_WORD

FOUND = 0  # the address of the instruction that ends a match


class Instruction(NamedTuple):
    """Go on at each of `targets`, at a place of which `place` is true, past a character in `charset`.

    `charset` is one bit of a character's signature; 0 in `place` or `charset` asks for nothing.
    """

    targets: tuple[int, ...]
    charset: int = 0
    place: int = 0


class Program(NamedTuple):
    """`start` is the address of the first instruction. Bit n of a signature: the character is in `charsets[n]`."""

    code: tuple[Instruction, ...]
    start: int
    charsets: tuple[CharSet, ...]


def assemble(node: Node) -> Program:
    """The program that finds what this tree describes; at most `node.size` + 1 instructions."""
    assembler = _Assembler()
    start = assembler.emit(node, FOUND)
    return Program(tuple(assembler.code), start, tuple(assembler.charsets))


class _Assembler:
    """Writes the program from its end to its start, so that each instruction knows where it goes on."""

    def __init__(self) -> None:
        self.code = [Instruction(())]
        self.charsets = {NEWLINE: IS_NEWLINE, WORD: IS_WORD}  # what assertions ask for comes first

    def emit(self, node: Node, follower: int) -> int:
        """Write the node's instructions, going on at `follower`; gives the address of the first."""
        match node:
            case Char(charset):
                return self._add(Instruction((follower,), charset=self._bit(charset)))
            case Assertion(place):
                return self._add(Instruction((follower,), place=place))
            case Sequence(parts):
                for part in reversed(parts):
                    follower = self.emit(part, follower)
                return follower
            case Choice(options):
                return self._add(Instruction(tuple(self.emit(option, follower) for option in options)))
            case Repeat(body, least, most):
                if most is None:
                    return self._loop(body, least, follower)
                return self._copies(body, least, most - least, follower)

    def _add(self, instruction: Instruction) -> int:
        self.code.append(instruction)
        return len(self.code) - 1

    def _bit(self, charset: CharSet) -> int:
        return self.charsets.setdefault(charset, 1 << len(self.charsets))

    def _loop(self, body: Node, least: int, follower: int) -> int:
        fork = self._add(Instruction(()))
        entry = self.emit(body, fork)
        self.code[fork] = Instruction((entry, follower))
        return self._copies(body, least - 1, 0, entry) if least else fork

    def _copies(self, body: Node, needed: int, optional: int, follower: int) -> int:
        entry = follower
        for _ in range(optional):
            entry = self._add(Instruction((self.emit(body, entry), follower)))
        for _ in range(needed):
            entry = self.emit(body, entry)
        return entry
