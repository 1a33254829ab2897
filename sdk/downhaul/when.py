"""Two functions of one signature, and a flag that decides at each call which of them runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from downhaul.answers import Answers

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def when(
    answers: Answers,
    flag: str,
    otherwise: Callable[Arguments, Result],
    context: Callable[Arguments, Mapping[str, Any]] | None,
    default: bool,
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """A decorator: what it decorates runs where `flag` is on, else `otherwise`."""
    if not callable(otherwise):
        raise TypeError(f"otherwise: expected a function, got {otherwise!r}")
    if context is not None and (not callable(context) or _is_async(context)):
        raise TypeError(f"context: expected a function, not a coroutine function, got {context!r}")

    def is_on(*args: Arguments.args, **kwargs: Arguments.kwargs) -> bool:
        try:
            attributes = {} if context is None else context(*args, **kwargs)
            return answers.enabled(flag, default, **attributes)
        except Exception as error:  # noqa: BLE001 -- of `context`: a flag must not break what it guards
            answers.missed(flag, True, error, default, {})
            return default

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        if not callable(function):
            raise TypeError(f"when: expected a function to decorate, got {function!r}")
        if _is_async(function) is not _is_async(otherwise):
            one, other = (function, otherwise) if _is_async(function) else (otherwise, function)
            raise TypeError(f"when: {_name(one)} is a coroutine function and {_name(other)} is not; both have to be")
        if _is_async(function):

            @wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                side = cast(Callable[..., Any], function if is_on(*args, **kwargs) else otherwise)
                return await side(*args, **kwargs)

            return cast(Callable[Arguments, Result], call_async)

        @wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            return (function if is_on(*args, **kwargs) else otherwise)(*args, **kwargs)

        return call

    return decorate


def _is_async(function: Callable[..., Any]) -> bool:
    import inspect  # takes long to load, and only a decorator needs it

    return any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))
