"""Overrides set in code, for tests: blocks that nest, seen by every thread of the process."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from downhaul.blocks import Function, decorated

if TYPE_CHECKING:
    from downhaul.engine import Ruleset


class Layer:
    """The overrides of one block: by flag, and by keyword, where `_` may stand for `-`."""

    def __init__(
        self,
        by_flag: Mapping[str, Any],
        by_keyword: Mapping[str, Any],
        *,
        alone: bool = False,
        ruleset: Ruleset | None = None,
    ) -> None:
        """`alone`: hide everything that does not come from code, but for the flags of `ruleset`."""
        self.by_flag = dict(by_flag)
        self.by_keyword = dict(by_keyword)
        self.alone = alone
        self.ruleset = ruleset

    def values(self, flags: Container[str]) -> dict[str, Any]:
        """The overrides by the names that `flags` knows; a keyword that stands for neither counts for both."""
        values: dict[str, Any] = {}
        for keyword, value in self.by_keyword.items():
            names = (keyword, keyword.replace("_", "-"))
            values |= dict.fromkeys(next(((name,) for name in names if name in flags), names), value)
        return values | self.by_flag


class Layers:
    """The blocks that are open, outermost first. Not locked: whoever changes it holds the guard of `forks`."""

    def __init__(self) -> None:
        self._open: tuple[Layer, ...] = ()

    def add(self, layer: Layer) -> None:
        self._open = (*self._open, layer)

    def remove(self, layer: Layer) -> None:
        """By identity, not by position: the blocks of two threads need not end in the order in which they began."""
        self._open = tuple(each for each in self._open if each is not layer)

    def __bool__(self) -> bool:
        """Whether any block is open."""
        return bool(self._open)

    @property
    def alone(self) -> bool:
        """Whether a block hides everything that does not come from code."""
        return any(layer.alone for layer in self._open)

    @property
    def ruleset(self) -> Ruleset | None:
        """The flags of the innermost block that is alone."""
        return next((layer.ruleset for layer in reversed(self._open) if layer.alone), None)

    def values(self, flags: Container[str]) -> dict[str, Any]:
        """The overrides in force; the inner block wins, and one that is `alone` hides those around it."""
        values: dict[str, Any] = {}
        for layer in self._open:
            values = layer.values(flags) if layer.alone else values | layer.values(flags)
        return values


class Override:
    """A block in which flags have given values. Also a decorator, of functions and of coroutine functions."""

    def __init__(self, enter: Callable[[Layer], None], leave: Callable[[Layer], None], make: Callable[[], Layer]):
        self._enter = enter
        self._leave = leave
        self._make = make
        self._entered: list[Layer] = []

    def __enter__(self) -> None:
        layer = self._make()
        self._enter(layer)
        self._entered.append(layer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._leave(self._entered.pop())

    def __call__(self, function: Function, /) -> Function:
        return decorated(function, lambda: Override(self._enter, self._leave, self._make))
