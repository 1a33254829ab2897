"""Logging in and out."""

from __future__ import annotations

from typing import Any, cast

import structlog
from downhaul_server import browsers
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, ServiceError, Unauthenticated, Unavailable
from downhaul_server.settings import Settings
from flask import Blueprint, Response, make_response, redirect, render_template, request

from downhaul_admin import gate

log = structlog.get_logger("downhaul_server.sign_in")

NO_TLS = (
    "This connection is not encrypted, so nobody can log in over it: a password or a session would be open to "
    "everybody on the way. Use https://, or http://localhost on the server's own machine. "
    "(Whoever runs the server may allow it all the same, with DOWNHAUL_INSECURE_COOKIES=1.)"
)
NOT_KEPT = "Your browser has not kept the cookie of the session. Allow cookies for this site, and log in again."


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/login`, `/logout`."""

    @pages.get("/login")
    @gate.public
    def login() -> Response:
        wanted = browsers.local_path(request.args.get("next"))
        if _somebody():
            return cast(Response, redirect(wanted, 303))
        return form(wanted, error=NOT_KEPT if "done" in request.args else None)

    @pages.post("/login")
    @gate.public
    def log_in() -> Response:
        wanted = browsers.local_path(request.form.get("next"))
        if gate.cookie_name() is None:
            return form(wanted, status=403)
        try:
            return welcome(_by_token(services, request.form.get("token", "").strip()), wanted)
        except ServiceError as error:
            return refused(error, wanted)

    @pages.post("/logout")
    @gate.public
    def log_out() -> Response:
        return _log_out(services)


def welcome(actor: Actor, wanted: str) -> Response:
    """A new session (the browser's old one, if any, ends), its cookie, and on to the page that was wanted.

    Raises Forbidden, Unavailable.
    """
    agent = request.headers.get("User-Agent", "")
    started = gate.wiring().services.sessions.start(actor, address=gate.address(), agent=agent, ends=gate.session_id())
    log.info("logged in", by=actor.name, kind=actor.kind, remote=gate.address())
    answer = cast(Response, redirect(wanted, 303))
    set_cookie(answer, started)
    return answer


def refused(error: ServiceError, wanted: str) -> Response:
    """The form again, with what is wrong."""
    statuses = {Unauthenticated: 401, Forbidden: 403, Unavailable: 503}
    status = next((status for kind, status in statuses.items() if isinstance(error, kind)), 400)
    log.warning("log-in refused", reason=str(error), remote=gate.address())
    return form(wanted, error=sentence(str(error)), status=status)


def form(wanted: str, *, error: str | None = None, status: int = 200) -> Response:
    """The page with the ways to log in."""
    page = render_template(
        "downhaul_admin/signin.html",
        next=wanted,
        error=error,
        no_tls=NO_TLS if gate.cookie_name() is None else None,
        login=request.form.get("login", ""),
    )
    return make_response(page, status)


def set_cookie(answer: Response, session_id: str) -> None:
    """Until the browser is closed; the server ends the session earlier."""
    name = gate.cookie_name() or browsers.SECURE_COOKIE
    answer.set_cookie(name, session_id, **_attributes(name))


def sentence(text: str) -> str:
    """As people write it."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!")) else ".")


def _by_token(services: Services, token: str) -> Actor:
    if not token:
        raise Unauthenticated("a token is needed")
    holder = services.authenticate(token)
    if not isinstance(holder, Actor):
        raise Unauthenticated("this is an SDK key, for programs: people log in with an API token")
    return holder


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
            return form("/", error="The cookie is gone, but Redis is away: the session itself ends later.", status=503)
    return answer


def _attributes(name: str) -> dict[str, Any]:
    return {"secure": name == browsers.SECURE_COOKIE, "httponly": True, "samesite": "Lax", "path": "/"}


def _somebody() -> bool:
    try:
        return gate.current() is not None
    except Unavailable:
        return False
