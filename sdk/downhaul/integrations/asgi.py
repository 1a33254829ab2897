"""Flags in any ASGI application: FastAPI, Starlette, Litestar, Django, or none of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from downhaul.client import Client
from downhaul.integrations.logs import KEY
from downhaul.integrations.scopes import Context, Scopes

ASGIScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[ASGIScope, Receive, Send], Awaitable[None]]


class DownhaulMiddleware:
    """Sets the context of each HTTP request and WebSocket, and records what was evaluated. Others pass as they are.

    The attributes are what `context(scope)` returns, `scope` being ASGI's: a function is called at the first
    evaluation, when what runs before the endpoint has put a user there; a coroutine function before the application is.
    `frozen`: one view of the flags from the beginning of a request to its end; never for a WebSocket, which may last.
    `record=False`: logs and traces tell no flags, and `enabled` costs as little as without the middleware.
    """

    def __init__(
        self,
        app: Application,
        context: Context | None = None,
        client: Client | None = None,
        frozen: bool = False,
        record: bool = True,
    ) -> None:
        self._app = app
        self._scopes = Scopes(context, client, frozen=frozen, record=record)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        with await self._scopes.around_async(scope, frozen=scope["type"] == "http") as block:
            scope[KEY] = block.recording
            await self._app(scope, receive, send)
