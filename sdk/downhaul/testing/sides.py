"""Both sides of a flag: a test that runs once for each, with pytest, with unittest, or inside of one test."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import wraps
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from downhaul.blocks import Function
from downhaul.testing.isolation import IsolatedFlags, begun, current, each_test, is_case
from downhaul.testing.watch import as_text, names_of

if TYPE_CHECKING:
    from contextlib import ExitStack

    from downhaul.engine import Ruleset

Sides = Mapping[str, Sequence[Any]]
"""Flag -> the values that it is to have, one after the other."""

MARK = "downhaul_both"


class Choice(NamedTuple):
    """A flag and one of its values. `keyword`: the name is a keyword, in which `_` may stand for `-`."""

    name: str
    keyword: bool
    value: Any

    @property
    def title(self) -> str:
        """The flag, as it is told."""
        return names_of(self.name)[0] if self.keyword else self.name

    @property
    def id(self) -> str:
        """For the name of a test, fit for `-k`: `new-checkout:on`."""
        return f"{self.title}:{words(self.value)}"


class Sided(NamedTuple):
    """A flag and all values that it is to have; None: those that it has in the file of flags, or on and off."""

    name: str
    keyword: bool
    values: tuple[Any, ...] | None

    def choices(self, ruleset: Ruleset | None) -> list[Choice]:
        """Each of its sides. Raises ValueError for a flag whose other sides are not known."""
        values = self.values if self.values is not None else _declared(self.name, ruleset)
        return [Choice(self.name, self.keyword, value) for value in values]


class Both:
    """What `both` gives: a decorator, a mark for `pytestmark`, and what a test can iterate over."""

    def __init__(self, flags: tuple[Sided, ...]) -> None:
        self.flags = flags

    @property
    def mark(self) -> Any:
        """For lists of marks: `pytestmark = [both("new-checkout")]`."""
        import pytest

        return getattr(pytest.mark, MARK).with_args(self).mark

    def __call__(self, decorated: Function, /) -> Function:
        if is_case(decorated):
            return each_test(decorated, self._each_in_turn)
        return _marked(self, decorated if isinstance(decorated, type) else self._each_in_turn(decorated))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each combination of sides, in force until the next: `{"new-checkout": True}`. Needs isolated flags."""
        flags = current()
        if flags is None:
            raise RuntimeError(
                "both() is iterated over where flags are isolated: with the fixture `flags`, or isolated()"
            )
        for choices in combinations(self.flags, flags.ruleset):
            with chosen(flags, choices):
                yield {each.title: each.value for each in choices}

    def _each_in_turn(self, function: Function) -> Function:
        """In a TestCase a loop of subtests; elsewhere the function as it is, for pytest makes tests of its sides."""
        import inspect  # takes long to load

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                if not (args and is_case(type(args[0]))):
                    return await function(*args, **kwargs)
                for title in self._subtests():
                    with args[0].subTest(**title):
                        await function(*args, **kwargs)
                return None

            return cast(Function, call_async)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not (args and is_case(type(args[0]))):
                return function(*args, **kwargs)
            for title in self._subtests():
                with args[0].subTest(**title):
                    function(*args, **kwargs)
            return None

        return cast(Function, call)

    def _subtests(self) -> Iterator[dict[str, Any]]:
        if current() is not None:
            yield from self
        else:
            with begun():
                yield from self


def both(*flags: str | Sides, **values: Sequence[Any]) -> Both:
    """Run a test on each side of a flag, and of several in each combination.

    `both("new-checkout")`: on and off, or each variant that the flag has in the file of flags (docs/testing.md).
    `both(button_colour=["red", "blue"])`, `both({"payments/limit": [1, 100]})`: with these values. In a keyword, `_`
    stands for `-`. Raises TypeError for anything else.
    """
    sided: list[Sided] = []
    for each in flags:
        if isinstance(each, str):
            sided.append(Sided(each, False, None))
        elif isinstance(each, Mapping):
            sided += [Sided(name, False, _listed(name, listed)) for name, listed in each.items()]
        else:
            raise TypeError(f"both() takes names of flags, or a dict of flags and lists of values, not {each!r}")
    sided += [Sided(name, True, _listed(name, listed)) for name, listed in values.items()]
    if not sided:
        raise TypeError("both() needs a flag")
    return Both(tuple(sided))


def combinations(flags: Sequence[Sided], ruleset: Ruleset | None) -> list[tuple[Choice, ...]]:
    """One side of each flag, in every combination. Raises ValueError."""
    return list(product(*(each.choices(ruleset) for each in flags)))


def chosen(flags: IsolatedFlags, choices: Sequence[Choice]) -> ExitStack:
    """A block in which flags have these sides."""
    by_flag = {each.name: each.value for each in choices if not each.keyword}
    return flags.within(by_flag, {each.name: each.value for each in choices if each.keyword})


def words(value: Any) -> str:
    """A value for people: on, off, a text as it is, else JSON."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else as_text(value)


def _declared(name: str, ruleset: Ruleset | None) -> tuple[Any, ...]:
    flag = ruleset.flags.get(name) if ruleset else None
    if flag is None or flag.definition.type == "boolean":
        return True, False
    values = tuple(flag.definition.variants.values())
    if len(values) < 2:
        raise ValueError(f"{name} has but one value in the file of flags: name its sides, both({{{name!r}: [...]}})")
    return values


def _listed(name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence) or not values:
        raise TypeError(f"both() takes a list of values for {name}, not {values!r}")
    return tuple(values)


def _marked(both: Both, decorated: Function) -> Function:
    """With a mark for pytest, if it is pytest that runs."""
    if "pytest" not in sys.modules:
        return decorated
    return cast(Function, getattr(sys.modules["pytest"].mark, MARK).with_args(both)(decorated))
