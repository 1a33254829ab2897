"""`/account`: who somebody is here, what they may do, their password, and where they are logged in."""

from __future__ import annotations

from typing import Any

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
from downhaul_server.services.session_holders import holder_of
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import agents, gate, signin
from downhaul_admin.pages import page, see_other
from downhaul_admin.signin import sentence

TEMPLATE = "downhaul_admin/people/account.html"
PLACE = "/account"


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The page, and its forms."""
    pages.add_app_template_filter(agents.name, "browser")

    @pages.get(PLACE)
    @gate.person
    def account(actor: Actor) -> Response:
        return _page(services, actor)

    @pages.post(f"{PLACE}/password")
    @gate.person
    def change_password(actor: Actor) -> Response:
        if actor.kind != "person":
            raise Forbidden("only people have a password here")
        new = request.form.get("new", "")
        if new != request.form.get("again", ""):
            return _page(services, actor, status=422, errors={"again": signin.DIFFERENT})
        try:
            with signin.counted(actor.name):
                changed = services.logins.change_password(actor.name, request.form.get("current", ""), new)
        except ServiceError as error:
            return _refused(services, actor, error)
        # The old sessions have ended, this one too: it goes on under another id.
        answer = see_other(PLACE, note="Your password is changed. Everywhere else you are logged out.")
        signin.renew(answer, changed)
        return answer

    @pages.post(f"{PLACE}/sessions/<session>/end")
    @gate.person
    def end_session(actor: Actor, session: str) -> Response:
        services.sessions.revoke(*_holder(actor), session)
        return see_other(PLACE, note="That session has ended.")

    @pages.post(f"{PLACE}/sessions/end")
    @gate.person
    def end_others(actor: Actor) -> Response:
        ended = services.sessions.revoke_others(*_holder(actor), gate.session_id() or "")
        return see_other(PLACE, note=f"{ended} other session{'s have' if ended != 1 else ' has'} ended.")


def _page(services: Services, actor: Actor, *, status: int = 200, errors: dict[str, str] | None = None) -> Response:
    try:
        sessions: list[dict[str, Any]] | None = services.sessions.page(*_holder(actor), current=gate.session_id())
    except Unavailable:
        sessions = None
    person = services.people.own(actor)
    granted = [
        {"role": grant.role, "services": sorted(grant.services), "environments": sorted(grant.environments)}
        for grant in actor.grants
    ]
    return page(
        TEMPLATE,
        actor,
        status=status,
        live=False,
        person=person,
        granted=granted,
        sessions=sessions,
        errors=errors or {},
    )


def _refused(services: Services, actor: Actor, error: ServiceError) -> Response:
    if isinstance(error, Invalid):
        errors = {str(path[0]) if path else "new": sentence(message) for path, message in error.errors}
        return _page(services, actor, status=422, errors=errors)
    statuses = {Unauthenticated: 422, TooMany: 429, Overloaded: 503, Unavailable: 503}
    status = next((status for kind, status in statuses.items() if isinstance(error, kind)), 400)
    text = "This is not your password." if isinstance(error, Unauthenticated) else sentence(str(error))
    answer = _page(services, actor, status=status, errors={"current": text})
    if isinstance(error, TooMany):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _holder(actor: Actor) -> tuple[str, str | None]:
    return holder_of(actor), actor.token_id
