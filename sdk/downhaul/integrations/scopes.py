"""The block around one request or task: its context, what it has evaluated, and one view of the flags if wanted.

Every integration makes its blocks here, and says only where they begin and end.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from contextvars import Token
from types import TracebackType
from typing import Any, Final

from downhaul.client import Client
from downhaul.context import context
from downhaul.health import Once
from downhaul.integrations import logs
from downhaul.integrations.clients import client_or_default
from downhaul.integrations.partners import attach_partners
from downhaul.integrations.recording import Recording, attach, current, note
from downhaul.later import context_later

Context = Callable[[Any], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]
"""The user's function: from the request or task to the attributes of its evaluations."""

_NOTHING: Final[Mapping[str, Any]] = {}


class Scope:
    """A block around one request or task. May be entered again, also from another task or thread."""

    def __init__(self, attributes: context, client: Client | None, recording: Recording | None = None) -> None:
        """`client`: whose flags stay as they are inside; None: they do not."""
        self.recording = Recording() if recording is None else recording
        self._attributes = attributes
        self._client = client
        self._open: list[ExitStack] = []

    def __enter__(self) -> Scope:
        with ExitStack() as stack:
            stack.enter_context(self._attributes)
            if self._client is not None:
                stack.enter_context(self._client.frozen())
            token = current.set(self.recording)
            stack.callback(_reset, token)
            self._open.append(stack.pop_all())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._open.pop().close()

    def after(self) -> Scope:
        """The same for what comes when the request has been answered, its streamed body: with live flags."""
        return Scope(self._attributes, None, self.recording)


class Scopes:
    """Makes the scopes of one application."""

    def __init__(
        self,
        function: Context | None = None,
        client: Client | None = None,
        *,
        frozen: bool = False,
        record: bool = True,
        wait: bool = True,
    ) -> None:
        """`record`: whether what `client` (default: that of `downhaul.flags`) evaluates is recorded from now on.

        `function` is called with the request or task at its first evaluation; a coroutine function, before it begins.
        `wait`: whether coroutine functions can be waited for. Raises TypeError for a function that cannot be used.
        """
        if function is not None and not callable(function):
            raise TypeError(f"context must be a function, not {function!r}")
        self.waits = function is not None and _is_async(function)
        if self.waits and not wait:
            raise TypeError(f"context must not be a coroutine function here: {function!r}")
        self.client = client_or_default(client)
        self._function = function
        self._frozen = self.client if frozen else None
        self._once = Once()
        if record:
            logs.install()
            attach(self.client, "recording", note)
            attach_partners(self.client)

    def around(self, subject: Any, *, frozen: bool = True) -> Scope:
        """The scope of a request or task. `frozen=False`: with live flags, whatever is set."""
        make = context() if self._function is None else context_later(lambda: self._attributes(subject))
        return Scope(make, self._frozen if frozen else None)

    async def around_async(self, subject: Any, *, frozen: bool = True, function: Context | None = None) -> Scope:
        """The same; a coroutine function is waited for. `function`: that one in place of the user's own."""
        function = function or (self._function if self.waits else None)
        if function is None:
            return self.around(subject, frozen=frozen)
        return Scope(context(**await self._awaited(function, subject)), self._frozen if frozen else None)

    def _attributes(self, subject: Any) -> Mapping[str, Any]:
        try:
            return self._checked(self._function(subject) if self._function else None)
        except Exception as error:  # noqa: BLE001 -- the user's function must not break the request
            return self._failed(error)

    async def _awaited(self, function: Context, subject: Any) -> Mapping[str, Any]:
        try:
            found = function(subject)
            return self._checked(await found if inspect.isawaitable(found) else found)
        except Exception as error:  # noqa: BLE001 -- as above
            return self._failed(error)

    def _checked(self, found: object) -> Mapping[str, Any]:
        if found is None:
            return _NOTHING
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise TypeError(
                f"the context function must return a dict of attributes by name, not a {type(found).__name__}"
            )
        return found

    def _failed(self, error: Exception) -> Mapping[str, Any]:
        self._once.warn(
            type(error).__qualname__,
            "the context function failed; flags are evaluated without its attributes",
            trace=error,
        )
        return _NOTHING


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _reset(token: Token[Recording | None]) -> None:
    try:
        current.reset(token)
    except ValueError:  # left from another context than it was entered in
        current.set(token.old_value if isinstance(token.old_value, Recording) else None)
