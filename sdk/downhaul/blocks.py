"""What a block does as a decorator: of functions and of coroutine functions, a new block for each call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def decorated(function: Function, block: Callable[[], AbstractContextManager[object]]) -> Function:
    """`function`, each call of it inside a block of its own: one object cannot be inside itself twice.

    Raises TypeError for a generator function, whose body runs when the block of the call is over; and for a class, of
    which a function would be made.
    """
    if isinstance(function, type):
        raise TypeError(f"{function.__qualname__} is a class: put the block around its functions")
    import inspect  # takes long to load, and only a decorator needs it

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} is a generator function, which runs after its call: put a `with` block inside it")
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with block():
                return await function(*args, **kwargs)

        return cast(Function, call_async)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with block():
            return function(*args, **kwargs)

    return cast(Function, call)
