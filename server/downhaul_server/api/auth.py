"""Who may call a route: each view declares its kind, outermost, so that nothing is read before the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from flask import Response, g, request

from downhaul_server import browsers, rates
from downhaul_server.addresses import client_address
from downhaul_server.api.context import services, wiring
from downhaul_server.services.actors import Actor, ClientKey, EnvironmentKey, SdkKey
from downhaul_server.services.errors import Forbidden, Unauthenticated
from downhaul_server.services.tokens import is_whole

View = Callable[..., Response]
V = TypeVar("V", bound=View)

KILLS = "kill"
"""The blueprint that nothing ever holds up."""
KIND = "downhaul_authentication"
"""The attribute of a view that says how it is authenticated: `token`, `sdk`, `either`, `evaluation`, `stream` or
`public`."""


_A_KEY = {
    SdkKey: "an SDK key, which reads snapshots under /sdk/v1",
    ClientKey: "a client key, which evaluates flags under /ofrep/v1 and does nothing else",
}


def authenticated(view: View) -> View:
    """For people and pipelines: the view gets the `Actor` as its first argument. An SDK key is refused (403)."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        holder = _holder()
        if not isinstance(holder, Actor):
            raise Forbidden(f"this is {_A_KEY[type(holder)]}; here an API token is needed")
        return view(holder, *args, **kwargs)

    return declare(checked, "token")


def instances(view: View) -> View:
    """For instances: the view gets the `SdkKey` as its first argument. An API token is refused (403)."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        holder = _holder()
        if not isinstance(holder, SdkKey):
            what = "an API token" if isinstance(holder, Actor) else _A_KEY[type(holder)]
            raise Forbidden(f"this is {what}: snapshots are read with an SDK key")
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


def evaluators(view: View) -> View:
    """For OpenFeature's clients: the view gets the `EnvironmentKey` as its first argument. An API token is refused
    (403), and a session is none of theirs: no other site can make a browser use it here."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        g.holder = holder = _by_token(_only_key(request.environ), rates.KEYS)
        if not isinstance(holder, EnvironmentKey):
            raise Forbidden("this is an API token: flags are evaluated with an SDK key or a client key")
        return view(holder, *args, **kwargs)

    return declare(checked, "evaluation")


def by_stream_token(view: View) -> View:
    """For streams that browsers open, which send no header: the view gets the `EnvironmentKey` that `?token=` was made
    for as its first argument."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        g.holder = holder = services().notices.holder(request.args.get("token", ""))
        return view(holder, *args, **kwargs)

    return declare(checked, "stream")


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


def _holder() -> Actor | EnvironmentKey:
    token = bearer(request.environ)
    holder = _by_session() if token is None else _by_token(token)
    if isinstance(holder, Actor):
        holder = replace(holder, address=address())
    g.holder = holder
    return holder


def _only_key(environ: Mapping[str, Any]) -> str:
    """From either header. Who sends two different keys is refused: nobody could tell as whom they were heard."""
    keys = {bearer(environ), environ.get("HTTP_X_API_KEY", "").strip() or None} - {None}
    if len(keys) != 1:
        raise Unauthenticated("expected one key, in the header Authorization (`Bearer <key>`) or X-API-Key")
    return str(keys.pop())


def _by_token(token: str, limit: tuple[str, ...] = rates.TOKENS) -> Actor | EnvironmentKey:
    """Raises Unauthenticated; TooMany for what only guesses look like, when too many were wrong. Never at a kill."""
    guessing = request.blueprint != KILLS and not is_whole(token)
    if guessing:
        rates.current().check(limit, address())
    try:
        return services().authenticate(token)
    except Unauthenticated:
        if request.blueprint != KILLS:
            rates.current().failed(limit, address())
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
