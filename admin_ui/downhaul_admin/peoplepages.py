"""`/people`: who may log in with a name of their own, and what they may do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.container import Services
from downhaul_server.services.errors import (
    AlreadyExists,
    Forbidden,
    Invalid,
    ServiceError,
    Unavailable,
    VersionMismatch,
)
from downhaul_server.services.grants import ROLES_OF_PEOPLE
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from downhaul_admin import gate
from downhaul_admin.pages import page, see_other
from downhaul_admin.signin import sentence

LIST, PERSON = "downhaul_admin/people/list.html", "downhaul_admin/people/person.html"
ROWS_TO_ADD = 2
AT_MOST = 500
MEANINGS = {
    "viewer": "sees everything, changes nothing",
    "operator": "kills flags, and nothing else that could hurt",
    "editor": "also restores, and changes flags and segments",
    "approver": "also approves what others want to change",
    "admin": "also services, environments, keys, people, webhooks",
}


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, a page for each person, and their forms."""

    @pages.get("/people")
    @gate.person
    def people(actor: Actor) -> Response:
        return _list(services, actor)

    @pages.post("/people")
    @gate.person
    def add_person(actor: Actor) -> Response:
        wanted = {name: request.form.get(name, "").strip() for name in ("login", "name", "email")}
        try:
            grants = _grants(request.form)
            made = services.people.create(actor, {**{k: v for k, v in wanted.items() if v}, "grants": grants})
        except (Invalid, AlreadyExists, Forbidden, Unavailable) as error:
            return _list(services, actor, error=error, typed=wanted, rows=_rows(request.form))
        # Shown in this answer alone: it is in no address, cookie or log.
        return _person(services, actor, made["id"], password=made["password"])

    @pages.get("/people/<person_id>")
    @gate.person
    def person(actor: Actor, person_id: str) -> Response:
        return _person(services, actor, person_id)

    @pages.post("/people/<person_id>")
    @gate.person
    def change_person(actor: Actor, person_id: str) -> Response:
        changes: dict[str, Any] = {}
        try:
            if "name" in request.form:
                changes = {name: request.form.get(name, "").strip() for name in ("name", "email")}
                changes["grants"] = _grants(request.form)
            services.people.patch(actor, person_id, changes, if_match=_version())
        except ServiceError as error:
            return _person(services, actor, person_id, error=error, typed=changes, rows=_rows(request.form))
        return see_other(f"/people/{person_id}", note="Saved. It holds from now on, for open sessions too.")

    @pages.post("/people/<person_id>/disabled")
    @gate.person
    def disable(actor: Actor, person_id: str) -> Response:
        disabled = request.form.get("disabled") == "1"
        try:
            services.people.patch(actor, person_id, {"disabled": disabled})
        except (Forbidden, Unavailable) as error:
            return _person(services, actor, person_id, error=error)
        note = "Disabled: they are logged out everywhere, and cannot log in." if disabled else "They can log in again."
        return see_other(f"/people/{person_id}", note=note)

    @pages.post("/people/<person_id>/delete")
    @gate.person
    def delete(actor: Actor, person_id: str) -> Response:
        if request.form.get("sure") != "1":
            return _person(services, actor, person_id, error=Invalid.at(message="tick the box first"))
        try:
            services.people.delete(actor, person_id)
        except (Forbidden, Unavailable) as error:
            return _person(services, actor, person_id, error=error)
        return see_other("/people", note="Deleted. What they did stays in the log.")

    @pages.post("/people/<person_id>/password")
    @gate.person
    def reset(actor: Actor, person_id: str) -> Response:
        try:
            made = services.people.reset_password(actor, person_id)
        except (Forbidden, Invalid, Unavailable) as error:
            return _person(services, actor, person_id, error=error)
        return _person(services, actor, person_id, password=made["password"])

    @pages.post("/people/<person_id>/sessions/end")
    @gate.person
    def end_all(actor: Actor, person_id: str) -> Response:
        services.people.end_sessions(actor, person_id)
        return see_other(f"/people/{person_id}", note="They are logged out everywhere.")

    @pages.post("/people/<person_id>/sessions/<session>/end")
    @gate.person
    def end_one(actor: Actor, person_id: str, session: str) -> Response:
        services.people.end_session(actor, person_id, session)
        return see_other(f"/people/{person_id}", note="That session has ended.")


def _list(
    services: Services,
    actor: Actor,
    *,
    error: ServiceError | None = None,
    typed: Mapping[str, str] | None = None,
    rows: list[dict[str, str]] | None = None,
) -> Response:
    authorize(actor, Action.PEOPLE)
    query = request.args.get("q", "").strip()
    found = services.people.list(actor, query=query or None, limit=AT_MOST, cursor=request.args.get("cursor"))
    openid = services.openid
    return page(
        LIST,
        actor,
        status=_status(error),
        live=error is None,
        people=found.items,
        more=found.next,
        query=query,
        provider=openid.provider.name if openid else None,
        typed=typed or {},
        rows=rows or _rows_of([], 1),
        **_shared(error),
    )


def _person(
    services: Services,
    actor: Actor,
    person_id: str,
    *,
    error: ServiceError | None = None,
    typed: Mapping[str, Any] | None = None,
    rows: list[dict[str, str]] | None = None,
    password: str | None = None,
) -> Response:
    found = services.people.get(actor, person_id)
    try:
        sessions: Any = services.people.sessions(actor, person_id, current=gate.session_id())
    except Unavailable:
        sessions = None
    return page(
        PERSON,
        actor,
        status=_status(error),
        live=False,
        person=found,
        own=actor.token_id == person_id,
        sessions=sessions,
        password=password,
        typed=typed or found,
        rows=rows or _rows_of(found["grants"]),
        theirs=found if isinstance(error, VersionMismatch) else None,
        **_shared(error),
    )


def _shared(error: ServiceError | None) -> dict[str, Any]:
    """What both pages need for the form of a person."""
    errors: dict[str, str] = {}
    if isinstance(error, Invalid):
        errors = {_field(path): sentence(message) for path, message in error.errors}
    elif isinstance(error, AlreadyExists):
        errors = {"login": sentence(str(error))}
    elif isinstance(error, VersionMismatch):
        errors = {
            "": "Somebody else has changed this person meanwhile. Below is what you typed: look at theirs, then save."
        }
    elif error is not None:
        errors = {"": sentence(str(error))}
    return {"errors": errors, "roles": [(role, MEANINGS[role]) for role in ROLES_OF_PEOPLE]}


def _status(error: ServiceError | None) -> int:
    statuses = {Invalid: 422, AlreadyExists: 409, VersionMismatch: 409, Forbidden: 403, Unavailable: 503}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 200 if error is None else 400)


def _field(path: tuple[str | int, ...]) -> str:
    """`grants-0-services` for `("grants", 0, "services", 3)`."""
    return "-".join(map(str, path[:3]))


def _rows(form: MultiDict[str, str]) -> list[dict[str, str]]:
    """The grants as they were typed, and room for more."""
    numbers = sorted({int(found[1]) for name in form if (found := re.fullmatch(r"role-([0-9]{1,3})", name))})
    return [
        {
            "role": form.get(f"role-{n}", ""),
            **{kind: form.get(f"{kind}-{n}", "") for kind in ("services", "environments")},
        }
        for n in numbers
    ]


def _rows_of(grants: list[dict[str, Any]], more: int = ROWS_TO_ADD) -> list[dict[str, str]]:
    rows = [
        {"role": granted["role"], **{kind: _typed(granted[kind]) for kind in ("services", "environments")}}
        for granted in grants
    ]
    return rows + [{"role": "", "services": "", "environments": ""} for _ in range(more)]


def _typed(keys: list[str]) -> str:
    return "" if "*" in keys else ", ".join(keys)


def _grants(form: MultiDict[str, str]) -> list[dict[str, Any]]:
    """A row without a role is none. Raises Invalid for one that has places and no role."""
    grants = []
    for index, row in enumerate(_rows(form)):
        scopes = {kind: [key for key in re.split(r"[\s,]+", row[kind]) if key] for kind in ("services", "environments")}
        if row["role"]:
            grants.append({"role": row["role"], **{kind: keys or ["*"] for kind, keys in scopes.items()}})
        elif any(scopes.values()):
            raise Invalid.at("grants", index, "role", message="choose a role for these places, or clear them")
    return grants


def _version() -> int | None:
    text = request.form.get("version", "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
