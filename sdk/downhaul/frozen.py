"""One consistent view: a block in which every evaluation is answered by the flags that were in force when it began.

A view is held by a context variable, so it follows the task or thread; and it ends with its block, also for a task that
was started inside it and lives on: nobody may be out of reach of a kill for ever.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from downhaul.blocks import Function, decorated

if TYPE_CHECKING:
    from downhaul.tables import Compiled


class View:
    """What one block sees of one client."""

    __slots__ = ("block", "compiled", "outer", "over", "owner", "token")

    def __init__(self, owner: Owner, block: Frozen, outer: View | None, compiled: Compiled | None) -> None:
        self.owner = owner
        self.block = block
        self.outer = outer
        self.compiled = compiled
        self.over = False
        self.token: Token[View | None] | None = None


class Owner(Protocol):
    """Whose flags are frozen."""

    @property
    def seen(self) -> Compiled | None:
        """The flags that answer the caller."""
        ...

    def froze(self, view: View) -> None:
        """A block has begun."""
        ...

    def thawed(self, view: View) -> None:
        """It has ended."""
        ...


_views: ContextVar[View | None] = ContextVar("downhaul_views", default=None)

#: The view of the innermost block around the caller, of whatever client, if it is in any: a bound C method.
innermost = _views.get


def view_for(owner: Owner) -> View | None:
    """What the innermost block around the caller sees of this client."""
    view = innermost()
    while view is not None and (view.over or view.owner is not owner):
        view = view.outer
    return view


class Frozen:
    """A block with one consistent view of the flags. Also a decorator, of functions and of coroutine functions."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._entered: list[View] = []

    def __enter__(self) -> None:
        outer = innermost()
        while outer is not None and outer.over:  # left by a block that ended in another context
            outer = outer.outer
        view = View(self._owner, self, outer, self._owner.seen)
        self._owner.froze(view)
        view.token = _views.set(view)
        self._entered.append(view)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        view = self._own()
        self._entered.remove(view)
        self._owner.thawed(view)
        if view.token is not None and innermost() is view:  # else a block that began later is still open
            with suppress(ValueError):  # left from another context than it was entered in: there it is over as well
                _views.reset(view.token)

    def __call__(self, function: Function, /) -> Function:
        return decorated(function, lambda: Frozen(self._owner))

    def _own(self) -> View:
        """The view to leave: that of the caller's own context, since other tasks may be inside this very object."""
        view = innermost()
        while view is not None and (view.over or view.block is not self):
            view = view.outer
        return view or self._entered[-1]
