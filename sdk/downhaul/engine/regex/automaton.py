"""Running a program: a deterministic automaton, built state by state while texts are searched.

A state is a dictionary from a character's signature to the next state; what is missing is built when it is first asked
for. Threads may build the same thing twice, to the same effect; nothing waits for anything. Time grows with the length
of the text times, at worst, the size of the program; memory is bounded by the limits below.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from downhaul.engine.regex.places import AHEAD, IS_NEWLINE, IS_WORD, OUTSIDE, around, behind
from downhaul.engine.regex.program import FOUND, Program

MAX_STATES = 1_000
MAX_ADDRESSES = 500_000  # in all states together, at eight bytes each
MAX_CHARS = 4_096

Addresses = tuple[int, ...]

_CONTEXT = IS_NEWLINE | IS_WORD


class State(dict[int, "State"]):
    """Where a search can be: at the instructions that wait for what comes next.

    `before` is the signature of the last character where one of them asks for it, else None. `verdict` is the answer
    where it is certain whatever follows; `at_end` is the answer where nothing follows.
    """

    __slots__ = ("_automaton", "at_end", "before", "verdict", "waiting")

    def __init__(
        self, automaton: Automaton, waiting: Addresses, before: int | None, *, verdict: bool | None, at_end: bool
    ) -> None:
        super().__init__()
        self._automaton = automaton
        self.waiting = waiting
        self.before = before
        self.verdict = verdict
        self.at_end = at_end

    def __missing__(self, signature: int) -> State:
        found = self[signature] = self._automaton.step(self, signature)
        return found


class Alphabet(dict[str, int]):
    """From a character to its signature: which of the program's sets it is in."""

    __slots__ = ("_charsets",)

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._charsets = program.charsets

    def __missing__(self, char: str) -> int:
        if len(self) >= MAX_CHARS:
            self.clear()
        signature = self[char] = sum(1 << bit for bit, charset in enumerate(self._charsets) if charset.has(char))
        return signature


class Automaton:
    """The searcher for one program."""

    def __init__(self, program: Program) -> None:
        self._code: Final = program.code
        self._first: Final = program.start
        self._alphabet: Final = Alphabet(program)
        self._limit: Final = min(MAX_STATES, MAX_ADDRESSES // len(program.code))
        self._states: dict[tuple[Addresses, int | None], State] = {}
        later = (self._reach([self._first], behind(before), AHEAD) for before in (0, IS_NEWLINE))
        self._only_at_start: Final = not any(later)
        self._start: Final = self._new_state(self._reach([self._first], behind(OUTSIDE), AHEAD), OUTSIDE)

    def search(self, text: str) -> bool:
        """Whether the program's expression is found anywhere in the text. Never raises."""
        state, alphabet = self._start, self._alphabet
        if state.verdict is not None:
            return state.verdict
        for char in text:
            state = state[alphabet[char]]
            if state.verdict is not None:
                return state.verdict
        return state.at_end

    def step(self, state: State, signature: int) -> State:
        """The state after a character with this signature."""
        waiting = state.waiting
        if state.before is not None:
            waiting = self._reach(waiting, around(state.before, signature), 0)
            if FOUND in waiting:
                return self._state((FOUND,), 0)
        code = self._code
        passed = [code[address].targets[0] for address in waiting if code[address].charset & signature]
        return self._state(self._reach([*passed, self._first], behind(signature), AHEAD), signature & _CONTEXT)

    def _state(self, waiting: Addresses, before: int) -> State:
        key = (waiting, before if self._looks_back(waiting) else None)
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= self._limit:
                self._forget()
            state = self._states[key] = self._new_state(waiting, before)
        return state

    def _new_state(self, waiting: Addresses, before: int) -> State:
        if FOUND in waiting:
            return State(self, waiting, None, verdict=True, at_end=True)
        if not waiting and self._only_at_start:
            return State(self, waiting, None, verdict=False, at_end=False)
        if not self._looks_back(waiting):
            return State(self, waiting, None, verdict=None, at_end=False)
        at_end = FOUND in self._reach(waiting, around(before, OUTSIDE), 0)
        return State(self, waiting, before, verdict=None, at_end=at_end)

    def _looks_back(self, waiting: Addresses) -> bool:
        return any(self._code[address].place for address in waiting)

    def _forget(self) -> None:
        """Drop all states; searches that are in one go on from it. Their ties are cut, so that no cycle keeps them."""
        states, self._states = self._states, {}
        for state in (self._start, *states.values()):
            state.clear()

    def _reach(self, addresses: Iterable[int], places: int, undecided: int) -> Addresses:
        """Where one gets from `addresses` without a character, at a place of these qualities; the rest is undecided."""
        code = self._code
        seen: set[int] = set()
        waiting: list[int] = []
        ahead = list(addresses)
        while ahead:
            address = ahead.pop()
            if address in seen:
                continue
            seen.add(address)
            targets, charset, place = code[address]
            if charset or address == FOUND or place & undecided:
                waiting.append(address)
            elif not place or place & places:
                ahead += targets
        return tuple(sorted(waiting))
