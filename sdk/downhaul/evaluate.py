"""The two calls that a program makes on every request: as few steps as Python allows, and nothing that can raise.

Callers read a `Live`: two tables by flag, each entry a tuple `(count, value, run)`. Where the answer depends on nothing
that the caller says, `count` and `value` are the whole answer; otherwise `count` is None and `run(context)` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from downhaul.context import ambient


class Answer(Protocol):
    """What `run` returns: the engine's `Outcome`, one object for each distinct answer of a flag."""

    @property
    def value(self) -> Any: ...
    @property
    def count(self) -> Callable[[], int]: ...


Run = Callable[[Mapping[str, Any]], Answer]
Entry = tuple[Callable[[], int] | None, Any, Run | None]
Table = dict[str, Entry]


class Live:
    """What is in force. Each table is replaced whole and never changed, so one attribute read gives a consistent one.

    `booleans` holds the boolean flags alone, so that `enabled` has no type to check; `every` holds all flags.
    """

    __slots__ = ("booleans", "every")

    def __init__(self) -> None:
        self.booleans: Table = {}
        self.every: Table = {}


class Enabled(Protocol):
    def __call__(self, flag: str, /, default: bool = False, **context: Any) -> bool: ...


class Value(Protocol):
    def __call__(self, flag: str, /, default: Any = None, **context: Any) -> Any: ...


def bind(live: Live, missed: Callable[[object, bool, Exception], None]) -> tuple[Enabled, Value]:
    """`enabled` and `value` over `live`, as closures: that saves the look-up of `self` and of its attributes.

    `missed(flag, boolean, error)` is told of each call that got its default; what it raises is dropped.
    """

    def enabled(flag: str, /, default: bool = False, **context: Any) -> bool:
        """Whether the boolean `flag` is on for `context`. Never raises, never blocks.

        `default` is the answer where there is none: no snapshot yet, no such flag, a flag of another type.
        """
        try:
            count, found, run = live.booleans[flag]
            if count:
                count()
                return found  # type: ignore[no-any-return]
            around = ambient()
            answer = run(context if around is None else {**around, **context})  # type: ignore[misc]
            answer.count()
            return answer.value  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 -- no fault of ours and no argument may break the caller
            try:  # noqa: SIM105 -- `suppress` would itself raise where the stack is full
                missed(flag, True, error)
            except Exception:  # noqa: BLE001, S110 -- nor may a user's log handler
                pass
            return default

    def value(flag: str, /, default: Any = None, **context: Any) -> Any:
        """The value of `flag`, of any type, for `context`. Never raises, never blocks.

        `default` is the answer where there is none: no snapshot yet, or no such flag. A JSON value is a copy that the
        caller may change.
        """
        try:
            count, found, run = live.every[flag]
            if count:
                count()
            else:
                around = ambient()
                answer = run(context if around is None else {**around, **context})  # type: ignore[misc]
                answer.count()
                found = answer.value
            return copied(found) if found.__class__ in _CONTAINERS else found
        except Exception as error:  # noqa: BLE001 -- as above
            try:  # noqa: SIM105 -- as above
                missed(flag, False, error)
            except Exception:  # noqa: BLE001, S110 -- as above
                pass
            return default

    return enabled, value


_CONTAINERS = frozenset((dict, list))


def copied(value: Any) -> Any:
    """A copy of a JSON value: its containers anew, its texts and numbers as they are."""
    if value.__class__ is dict:
        return {name: copied(each) for name, each in value.items()}
    if value.__class__ is list:
        return [copied(each) for each in value]
    return value
