"""Logging in (by the provider of identities, by password, by token) and out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast
from urllib.parse import urlencode

import structlog
from downhaul_server import browsers, rates
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import (
    Forbidden,
    Invalid,
    Overloaded,
    ServiceError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from downhaul_server.settings import Settings
from flask import Blueprint, Response, make_response, redirect, render_template, request

from downhaul_admin import gate

log = structlog.get_logger("downhaul_server.sign_in")

FORM = "downhaul_admin/signin.html"
NEW_PASSWORD = "downhaul_admin/signin_password.html"  # noqa: S105 - the name of a template
SUFFIX = "-sign-in"
"""Of the cookie that a browser has while it is with the provider of identities."""
STATUSES: dict[type[ServiceError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    Invalid: 422,
    TooMany: 429,
    Overloaded: 503,
    Unavailable: 503,
}
NO_TLS = (
    "This connection is not encrypted, so nobody can log in over it: a password or a session would be open to "
    "everybody on the way. Use https://, or http://localhost on the server's own machine. "
    "(Whoever runs the server may allow it all the same, with DOWNHAUL_INSECURE_COOKIES=1.)"
)
NOT_KEPT = "Your browser has not kept the cookie of the session. Allow cookies for this site, and log in again."
DIFFERENT = "The two new passwords are not the same."


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/login`, `/login/password` (a new one), `/login/provider`, `/login/callback`, `/logout`."""

    @pages.get("/login")
    @gate.public
    def login() -> Response:
        wanted = browsers.local_path(request.args.get("next"))
        if _somebody():
            return cast(Response, redirect(wanted, 303))
        return form(error=NOT_KEPT if "done" in request.args else None)

    @pages.post("/login")
    @gate.public
    def log_in() -> Response:
        return _guarded(lambda: _by_password(services) if "login" in request.form else _by_token(services))

    @pages.post("/login/password")
    @gate.public
    def choose_password() -> Response:
        return _guarded(lambda: _choose(services))

    @pages.get("/login/provider")
    @gate.public
    def to_provider() -> Response:
        return _guarded(lambda: _to_provider(services, settings))

    @pages.get("/login/callback")
    @gate.public
    def from_provider() -> Response:
        return _guarded(lambda: _from_provider(services))

    @pages.post("/logout")
    @gate.public
    def log_out() -> Response:
        return _log_out(services)


def welcome(actor: Actor, wanted: str, how: str, token: str | None = None) -> Response:
    """A new session (the browser's old one, if any, ends), its cookie, and on to the page that was wanted.

    Raises Forbidden, Unavailable.
    """
    answer = cast(Response, redirect(wanted, 303))
    renew(answer, actor, token)
    log.info("logged in", by=actor.name, kind=actor.kind, how=how, remote=gate.address())
    return answer


def renew(answer: Response, actor: Actor, token: str | None = None) -> None:
    """A session in the place of the browser's own, which has ended. Raises Unavailable."""
    started = gate.wiring().services.sessions.start(
        actor,
        address=gate.address(),
        agent=request.headers.get("User-Agent", ""),
        ends=gate.session_id(),
        token=token,
    )
    set_cookie(answer, started)


def form(template: str = FORM, *, error: str | None = None, status: int = 200, **data: Any) -> Response:
    """The page with the ways to log in, or the one for a new password; with what was typed, but no secret."""
    openid = gate.wiring().services.openid
    wanted = browsers.local_path(request.values.get("next"))
    page = render_template(
        template,
        next=wanted,
        error=error,
        no_tls=NO_TLS if gate.cookie_name() is None else None,
        login=request.form.get("login", ""),
        provider=openid.provider.name if openid else None,
        provider_url=f"/login/provider?{urlencode({'next': wanted})}",
        **data,
    )
    return make_response(page, status)


def set_cookie(answer: Response, session_id: str) -> None:
    """Until the browser is closed; the server ends the session earlier."""
    name = gate.cookie_name() or browsers.SECURE_COOKIE
    answer.set_cookie(name, session_id, **_attributes(name))


def sentence(text: str) -> str:
    """As people write it."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!")) else ".")


def _guarded(work: Callable[[], Response]) -> Response:
    """Over a connection on which a cookie is safe; with the form again, and what is wrong, where it is refused."""
    if gate.cookie_name() is None:
        return form(status=403)
    try:
        return work()
    except ServiceError as error:
        return _refused(error)


def _refused(error: ServiceError, template: str = FORM) -> Response:
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 400)
    text = error.errors[0][1] if isinstance(error, Invalid) else str(error)
    services = gate.wiring().services
    with suppress(Unavailable):
        login = services.logins.known(request.form.get("login", ""))
        log.warning("log-in refused", reason=text, path=request.path, login=login, remote=gate.address())
        if isinstance(error, (Unauthenticated, Forbidden, TooMany)):
            detail = f"{text} (login {login})" if login else text
            services.audit.refused(None, request.method, request.path, gate.address(), detail)
    page = form(template, error=sentence(text), status=status)
    if isinstance(error, TooMany):
        page.headers["Retry-After"] = str(error.retry_after)
    return page


def _by_token(services: Services) -> Response:
    token = request.form.get("token", "").strip()
    if not token:
        raise Unauthenticated("a token is needed")
    with counted():
        holder = services.authenticate(token)
    if not isinstance(holder, Actor):
        raise Unauthenticated("this is an SDK key, for programs: people log in with an API token")
    return welcome(holder, _wanted(), "token", token)


def _by_password(services: Services) -> Response:
    login = request.form["login"]
    with counted(login):
        actor, must_change = services.logins.authenticate(login, request.form.get("password", ""))
    if must_change:
        return form(NEW_PASSWORD)
    return welcome(actor, _wanted(), "password")


@contextmanager
def counted(login: str = "") -> Iterator[None]:
    """Around what somebody may be guessing. Raises TooMany."""
    counted_as = (rates.LOG_INS, gate.address(), login)
    rates.current().begin(*counted_as)
    try:
        yield
    except Unauthenticated:
        raise
    except ServiceError:  # it was no guess: the store is away, the new password is not good
        rates.current().succeeded(*counted_as)
        raise
    else:
        rates.current().succeeded(*counted_as)


def _choose(services: Services) -> Response:
    """A new password in the place of the first one."""
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        return form(NEW_PASSWORD, error=DIFFERENT, status=422)
    try:
        login, current = request.form.get("login", ""), request.form.get("password", "")
        with counted(login):
            actor = services.logins.change_password(login, current, new)
    except ServiceError as error:
        return _refused(error, NEW_PASSWORD)
    return welcome(actor, _wanted(), "password")


def _to_provider(services: Services, settings: Settings) -> Response:
    if services.openid is None:
        raise Unauthenticated("there is no provider of identities here")
    rates.current().begin(rates.DEPARTURES, gate.address())
    place = settings.public_url or request.host_url.rstrip("/")
    begun = services.openid.begin(f"{place}/login/callback", _wanted())
    answer = cast(Response, redirect(begun.url, 303))
    name = _meanwhile()
    answer.set_cookie(name, begun.secret, max_age=begun.lasts_s, **_attributes(name))
    return answer


def _from_provider(services: Services) -> Response:
    if services.openid is None:
        raise Unauthenticated("there is no provider of identities here")
    name = _meanwhile()
    actor, wanted = services.openid.finish(request.cookies.get(name), request.args)
    answer = welcome(actor, browsers.local_path(wanted), "provider")
    answer.delete_cookie(name, **_attributes(name))
    return answer


def _log_out(services: Services) -> Response:
    answer = cast(Response, redirect("/login", 303))
    found = gate.session_id()
    for name in (browsers.SECURE_COOKIE, browsers.PLAIN_COOKIE):
        answer.delete_cookie(name, **_attributes(name))
    answer.headers["Clear-Site-Data"] = '"cache"'
    if found:
        try:
            services.sessions.end(found)
        except Unavailable as error:
            log.warning("the session goes on until it expires", reason=str(error), remote=gate.address())
            page = form(error="The cookie is gone, but Redis is away: the session itself ends later.", status=503)
            page.headers.extend([("Set-Cookie", cookie) for cookie in answer.headers.getlist("Set-Cookie")])
            return page
    return answer


def _wanted() -> str:
    return browsers.local_path(request.values.get("next"))


def _meanwhile() -> str:
    return (gate.cookie_name() or browsers.SECURE_COOKIE) + SUFFIX


def _attributes(name: str) -> dict[str, Any]:
    secure = name.startswith(browsers.SECURE_COOKIE)
    return {"secure": secure, "httponly": True, "samesite": "Lax", "path": "/"}


def _somebody() -> bool:
    try:
        return gate.current() is not None
    except Unavailable:
        return False
