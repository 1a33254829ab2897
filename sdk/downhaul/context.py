"""The ambient context: attributes given once for everything that runs inside a block."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from downhaul.blocks import Function, decorated

_ambient: ContextVar[Mapping[str, Any] | None] = ContextVar("downhaul_context", default=None)

#: The attributes around the caller, or None: a bound C method, because the hot path calls it. Never change the result.
ambient = _ambient.get

#: Not empty from the first block on: until then no call needs to look for a block around it.
entered: list[bool] = []


class context:  # noqa: N801 -- reads as a statement: `with flags.context(user=user_id):`
    """Add attributes to every evaluation inside the block: `with flags.context(user=user_id, tenant=tenant): ...`.

    Blocks nest; the inner value of an attribute wins, and an evaluation's own keyword wins over both. The attributes
    follow the task or thread as contextvars do: asyncio tasks and `asyncio.to_thread` inherit them, a bare
    `threading.Thread` does not before Python 3.14. Also a decorator, of functions and of coroutine functions.
    """

    def __init__(self, /, **attributes: Any) -> None:
        self._attributes = attributes
        self._entered: list[tuple[Token[Mapping[str, Any] | None], Mapping[str, Any] | None]] = []

    def __enter__(self) -> None:
        if not entered:
            entered.append(True)
        around = _ambient.get()
        self._entered.append((_ambient.set(self._inside(around)), around))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        token, around = self._entered.pop()
        try:
            _ambient.reset(token)
        except ValueError:  # left from another context than it was entered in, as a closed async generator does
            _ambient.set(around)

    def __call__(self, function: Function, /) -> Function:
        return decorated(function, lambda: context(**self._attributes))

    def _inside(self, around: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return {**(around or {}), **self._attributes}


def settle(pending: Mapping[str, Any], attributes: dict[str, Any]) -> None:
    """Where `pending` is around the caller, put `attributes` in its place: plain, and so quicker to read."""
    if _ambient.get() is pending:
        _ambient.set(attributes)
