"""The middleware, for views of both kinds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, cast

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from downhaul.integrations.django import config
from downhaul.integrations.logs import KEY
from downhaul.integrations.scopes import Context, Scope, Scopes
from downhaul.integrations.streams import within, within_async

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class DownhaulMiddleware:
    """Sets the context of each request, and records what was evaluated.

    The attributes are what DOWNHAUL["CONTEXT"] returns for the request, asked at its first evaluation. Under ASGI,
    where a view must not wait, it is asked before the view, in a thread unless it is a coroutine function; so there the
    middleware belongs after those that it depends on, as that of authentication.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        """Raises ImproperlyConfigured for a wrong setting."""
        function, frozen, record = config.read()
        self._get_response = get_response
        self._async = iscoroutinefunction(get_response)
        self._scopes = Scopes(function, frozen=frozen, record=record)
        self._function: Context | None = function
        if function is not None and not self._scopes.waits:
            self._function = cast(Context, sync_to_async(function))
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        return self._call_async(request) if self._async else self._call(request)

    def _call(self, request: HttpRequest) -> HttpResponseBase:
        with self._scopes.around(request) as scope:
            request.META[KEY] = scope.recording
            return _inside(scope, cast(HttpResponseBase, self._get_response(request)))

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        with await self._scopes.around_async(request, function=self._function) as scope:
            request.META[KEY] = scope.recording
            return _inside(scope, await cast(Awaitable[HttpResponseBase], self._get_response(request)))


def _inside(scope: Scope, response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, StreamingHttpResponse):
        content: Any = response.streaming_content
        inside = within_async if response.is_async else within
        response.streaming_content = inside(scope.after(), content)
    return response
