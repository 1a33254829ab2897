"""Functions of the user's code that are told of something. What they raise harms nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVarTuple

from downhaul.health import Once

News = TypeVarTuple("News")


class Listeners(Generic[*News]):
    """Those who want to hear of one kind of news."""

    def __init__(self, once: Once, fault: str) -> None:
        """`fault`: what is logged, once for each of them, when one raises."""
        self._once = once
        self._fault = fault
        self._all: list[Callable[[*News], object]] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._all)

    def add(self, listener: Callable[[*News], object]) -> Callable[[], None]:
        """From now on this one too; gives its removal, which may be repeated."""
        self._all.append(listener)

        def remove() -> None:
            if listener in self._all:
                self._all.remove(listener)

        return remove

    def tell(self, *news: *News) -> None:
        """Tell all of them."""
        for listener in list(self._all):
            try:
                listener(*news)
            except Exception as error:  # noqa: BLE001 -- the user's code must not end the thread that hears of a kill
                self._once.warn((self._fault, id(listener)), self._fault, trace=error)
