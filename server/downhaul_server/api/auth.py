"""Who may call a route: each view declares one of four kinds, outermost, so that nothing is read before the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from flask import Response, g, request

from downhaul_server import browsers, rates
from downhaul_server.addresses import client_address
from downhaul_server.api.context import services, wiring
from downhaul_server.services.actors import Actor, SdkKey
from downhaul_server.services.errors import Forbidden, Unauthenticated
from downhaul_server.services.tokens import is_whole

View = Callable[..., Response]
V = TypeVar("V", bound=View)

KILLS = "kill"
"""The blueprint that nothing ever holds up."""
KIND = "downhaul_authentication"
"""The attribute of a view that says how it is authenticated: `token`, `sdk`, `either` or `public`."""


def authenticated(view: View) -> View:
    """For people and pipelines: the view gets the `Actor` as its first argument. An SDK key is refused (403)."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        holder = _holder()
        if not isinstance(holder, Actor):
            raise Forbidden("this is an SDK key: it reads snapshots under /sdk/v1; here an API token is needed")
        return view(holder, *args, **kwargs)

    return declare(checked, "token")


def instances(view: View) -> View:
    """For instances: the view gets the `SdkKey` as its first argument. An API token is refused (403)."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        holder = _holder()
        if not isinstance(holder, SdkKey):
            raise Forbidden("this is an API token: snapshots are read with an SDK key")
        return view(holder, *args, **kwargs)

    return declare(checked, "sdk")


def readers(view: View) -> View:
    """For people, pipelines and instances alike: the view gets the `Actor` or the `SdkKey` as its first argument."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        holder = _holder()
        if not isinstance(holder, Actor | SdkKey):
            raise Forbidden("this key is for neither: here an SDK key or an API token is needed")
        return view(holder, *args, **kwargs)

    return declare(checked, "either")


def public(view: V) -> V:
    """For everybody who can reach the server: nothing secret may be answered."""
    return declare(view, "public")


def declare(view: V, kind: str) -> V:
    """Note on a view how it is authenticated; a test reads it from every route."""
    setattr(view, KIND, kind)
    return view


def bearer(environ: Mapping[str, Any]) -> str | None:
    """The token that a WSGI request came with."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def address() -> str | None:
    """Where this request came from."""
    return client_address(request.environ, wiring().settings.trusted_proxies)


def _holder() -> Actor | SdkKey:
    token = bearer(request.environ)
    holder = _by_session() if token is None else _by_token(token)
    if isinstance(holder, Actor):
        holder = replace(holder, address=address())
    g.holder = holder
    return holder


def _by_token(token: str) -> Actor | SdkKey:
    """Raises Unauthenticated; TooMany for what only guesses look like, when too many were wrong. Never at a kill."""
    guessing = request.blueprint != KILLS and not is_whole(token)
    if guessing:
        rates.current().check(rates.TOKENS, address())
    try:
        return services().authenticate(token)
    except Unauthenticated:
        if request.blueprint != KILLS:
            rates.current().failed(rates.TOKENS, address())
        raise


def _by_session() -> Actor:
    """Whoever is logged in at the pages. What another site makes their browser send, is refused."""
    name = browsers.cookie_name(request.environ, insecure_allowed=wiring().settings.signing_in.insecure_cookies)
    session_id = request.cookies.get(name) if name else None
    if not session_id:
        raise Unauthenticated("expected the header `Authorization: Bearer <token>`")
    if reason := browsers.cross_site(request.environ, with_cookie=True):
        raise Forbidden(reason)
    return services().sessions.resolve(session_id)
