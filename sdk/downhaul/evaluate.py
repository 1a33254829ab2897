"""The two calls that a program makes on every request: as few steps as Python allows, and nothing that can raise.

They read tables by flag, each entry a tuple `(counter, value, run)`. Where the answer depends on nothing that the
caller says, `counter` and `value` are the whole answer; otherwise `counter` is None and `run(context)` finds both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast, overload

from downhaul.context import ambient, entered

Answer = tuple[Iterator[int], Any, object]
Run = Callable[[Mapping[str, Any]], Answer]
Entry = tuple[Iterator[int] | None, Any, Run | None]
Table = dict[str, Entry]


class Enabled(Protocol):
    def __call__(self, flag: str, /, default: bool = False, **context: Any) -> bool: ...


class Value(Protocol):
    """The default says what is expected: nothing checks it at run time, as the typed getters do."""

    @overload
    def __call__(self, flag: str, /, default: bool, **context: Any) -> bool: ...
    @overload
    def __call__(self, flag: str, /, default: float, **context: Any) -> float: ...
    @overload
    def __call__(self, flag: str, /, default: str, **context: Any) -> str: ...
    @overload
    def __call__(self, flag: str, /, default: Any = None, **context: Any) -> Any: ...


class Missed(Protocol):
    def __call__(
        self, flag: object, boolean: bool, error: Exception, default: object, given: Mapping[str, Any], /
    ) -> None: ...


class Swap(Protocol):
    def __call__(self, new_booleans: Table, new_every: Table) -> None: ...


def bind(missed: Missed) -> tuple[Enabled, Value, Swap]:
    """`enabled` and `value` over tables of their own, and `swap`, which puts other tables in place of those.

    Tables are never changed, and read once in each call: as variables of a closure, because that is the one read that
    costs nothing. `booleans` holds the boolean flags alone, so that `enabled` has no type to check.
    `missed` is told of each call that got its default; what it raises is dropped.
    """
    booleans: Table = {}
    every: Table = {}

    def swap(new_booleans: Table, new_every: Table) -> None:
        nonlocal booleans, every
        booleans, every = new_booleans, new_every

    # `default` is positional for Python alone, whose search for a parameter of a keyword's name costs each keyword of
    # the context a tenth of the call; given as a keyword it is in `context`, and looked for where it is needed.

    def enabled(flag: str, default: bool = False, /, **context: Any) -> bool:
        """Whether the boolean `flag` is on for `context`. Never raises, never blocks.

        `default` is the answer where there is none: no snapshot yet, no such flag, a flag of another type.
        """
        try:
            counter, found, run = booleans[flag]
            if counter is None:
                counter, found, _ = run({**(ambient() or {}), **context} if entered else context)  # type: ignore[misc]
            next(counter)
            return found  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 -- no fault of ours and no argument may break the caller
            try:  # noqa: SIM105 -- `suppress` would itself raise where the stack is full
                missed(flag, True, error, default, context)
            except Exception:  # noqa: BLE001, S110 -- nor may a user's log handler
                pass
            return context.get("default", default)  # type: ignore[no-any-return]

    def value(flag: str, default: Any = None, /, **context: Any) -> Any:
        """The value of `flag`, of any type, for `context`. Never raises, never blocks.

        `default` is the answer where there is none: no snapshot yet, or no such flag. A JSON value is a copy that the
        caller may change.
        """
        try:
            counter, found, run = every[flag]
            if counter is None:
                counter, found, _ = run({**(ambient() or {}), **context} if entered else context)  # type: ignore[misc]
            next(counter)
            return copied(found) if found.__class__ in _CONTAINERS else found
        except Exception as error:  # noqa: BLE001 -- as above
            try:  # noqa: SIM105 -- as above
                missed(flag, False, error, default, context)
            except Exception:  # noqa: BLE001, S110 -- as above
                pass
            return context.get("default", default)

    return cast(Enabled, enabled), cast(Value, value), swap


_CONTAINERS = frozenset((dict, list))


def copied(value: Any) -> Any:
    """A copy of a JSON value: its containers anew, its texts and numbers as they are."""
    if value.__class__ is dict:
        return {name: copied(each) for name, each in value.items()}
    if value.__class__ is list:
        return [copied(each) for each in value]
    return value
