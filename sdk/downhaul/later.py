"""Attributes that are asked for when the first flag is evaluated, and not before.

A request that evaluates no flag does not pay for them, and who the user is may become known in the middle of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import get_ident
from typing import Any

from downhaul.blocks import Function, decorated
from downhaul.context import context, settle

Make = Callable[[], Mapping[str, Any]]


class Later(Mapping[str, Any]):
    """The attributes `around`, and those that `make` gives when any of them is looked at for the first time."""

    def __init__(self, around: Mapping[str, Any] | None, make: Make) -> None:
        self._around = around or {}
        self._make = make
        self._found: dict[str, Any] | None = None
        self._asking: set[int] = set()

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> Mapping[str, Any]:
        found, thread = self._found, get_ident()
        if found is None:
            if thread in self._asking:  # `make` evaluates flags itself
                return self._around
            self._asking.add(thread)
            try:
                found = self._found = {**self._around, **self._make()}
            finally:
                self._asking.discard(thread)
        settle(self, found)
        return found


class context_later(context):  # noqa: N801 -- as `context`
    """A block like `context`, whose attributes are what `make()` gives at the first evaluation inside it.

    `make` must not raise. It is called once, also where the block is entered again; threads that evaluate at once may
    call it once each.
    """

    def __init__(self, make: Make) -> None:
        super().__init__()
        self._make = make
        self._found: Mapping[str, Any] | None = None

    def __call__(self, function: Function, /) -> Function:
        return decorated(function, lambda: context_later(self._make))

    def _inside(self, around: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return Later(around, self._ask)

    def _ask(self) -> Mapping[str, Any]:
        if self._found is None:
            self._found = self._make()
        return self._found
