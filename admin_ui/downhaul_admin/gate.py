"""Who may see a page: whoever is logged in. Each view gets its Actor; what they may do there, the services decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from downhaul_server import browsers
from downhaul_server.addresses import client_address
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Unauthenticated
from downhaul_server.settings import Settings
from flask import Blueprint, Response, current_app, g, redirect, request
from flask.blueprints import BlueprintSetupState

View = Callable[..., Response]
V = TypeVar("V", bound=View)

KIND = "downhaul_authentication"
"""As the API's views declare it: `session`, or `public`."""
EXTENSION = "downhaul_admin"
BACKGROUND = "X-Downhaul-Background"
"""Header of requests that a page makes by itself: they do not keep a session from becoming idle."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the pages were made with."""

    services: Services
    settings: Settings


def attach(pages: Blueprint, services: Services, settings: Settings) -> None:
    """Make them known to the gate."""

    def remember(state: BlueprintSetupState) -> None:
        state.app.extensions[EXTENSION] = Wiring(services, settings)

    pages.record(remember)


def person(view: View) -> View:
    """For people: the view gets their `Actor` as its first argument. Whoever is not logged in is sent to do so."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        actor = current()
        return to_sign_in() if actor is None else view(actor, *args, **kwargs)

    return declare(checked, "session")


def public(view: V) -> V:
    """For everybody who can reach the server: nothing secret may be shown."""
    return declare(view, "public")


def declare(view: V, kind: str) -> V:
    """Note on a view how it is authenticated; a test reads it from every route."""
    setattr(view, KIND, kind)
    return view


def current() -> Actor | None:
    """Who is logged in; None: nobody. Raises Unavailable when that cannot be learned now. Asked once a request."""
    if "downhaul_person" not in g:
        g.downhaul_person = _resolve()
        g.holder = g.downhaul_person  # for the request's line in the log
    return cast("Actor | None", g.downhaul_person)


def session_id() -> str | None:
    """What the session's cookie holds."""
    name = cookie_name()
    return request.cookies.get(name) if name else None


def cookie_name() -> str | None:
    """Of the session's cookie on this connection; None: nobody can log in over it."""
    allowed = wiring().settings.signing_in.insecure_cookies
    return browsers.cookie_name(request.environ, insecure_allowed=allowed)


def address() -> str | None:
    """Where the request comes from."""
    return client_address(request.environ, wiring().settings.trusted_proxies)


def wiring() -> Wiring:
    """Services and settings of the app that answers this request."""
    return cast(Wiring, current_app.extensions[EXTENSION])


def to_sign_in() -> Response:
    """To the log-in, and from there to where they wanted to go. What a script fetched is told so instead."""
    place = f"/login?{urlencode({'next': _wanted()})}"
    if "HX-Request" in request.headers:
        return Response(status=401, headers={"HX-Redirect": place})
    if request.accept_mimetypes.best == "text/event-stream":
        return Response("the session has ended\n", 401, content_type="text/plain")
    return cast(Response, redirect(place, 303))


def _resolve() -> Actor | None:
    found = session_id()
    if not found:
        return None
    try:
        return wiring().services.sessions.resolve(found, address=address(), active=BACKGROUND not in request.headers)
    except Unauthenticated:
        return None


def _wanted() -> str:
    """The page that was asked for; of a form or a fragment, the page that it is in."""
    if request.method in browsers.SAFE_METHODS and "HX-Request" not in request.headers:
        return browsers.local_path(request.full_path.removesuffix("?"))
    try:
        source = urlsplit(request.referrer or "")
    except ValueError:
        return "/"
    if source.netloc != request.host:
        return "/"
    return browsers.local_path(f"{source.path}?{source.query}" if source.query else source.path)
