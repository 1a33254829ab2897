"""`/keys`: SDK keys, client keys and API tokens. A token is shown in the answer that makes it, and never again."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from downhaul_server.services.actors import ROLES, Actor
from downhaul_server.services.container import Services
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import InProgress, Invalid, ServiceError
from downhaul_server.services.keys import EVALUATORS
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.pages import page, see_other

AT_MOST = 500
FIELDS = ("kind", "name", "role", "services", "environments", "environment", "expires")
OVERLAPS = ((24 * 3600, "1 day"), (3600, "1 hour"), (7 * 24 * 3600, "7 days"), (0, "none: it ends at once"))
MEANINGS = {
    "killer": "kills flags; cannot even read",
    "viewer": "sees everything, changes nothing",
    "operator": "kills flags, and nothing else that could hurt",
    "editor": "also restores, and changes flags and segments",
    "approver": "also approves what others want to change",
    "admin": "everything, keys and people too",
}


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, and its forms."""

    @pages.get("/keys")
    @gate.person
    def key_list(actor: Actor) -> Response:
        return _list(services, actor)

    @pages.post("/keys")
    @gate.person
    def create_key(actor: Actor) -> Response:
        try:
            made = services.keys.create(actor, _wanted(), operation=forms.operation())
        except ServiceError as error:
            return _list(services, actor, error)
        # Shown in this answer alone: it is in no address, cookie or log.
        return _list(services, actor, made=made)

    @pages.post("/keys/<key_id>/rotate")
    @gate.person
    def rotate_key(actor: Actor, key_id: str) -> Response:
        sent = request.form.get("overlap", "")
        overlap = int(sent) if re.fullmatch(r"[0-9]{1,8}", sent) else OVERLAPS[0][0]
        try:
            made = services.keys.rotate(actor, key_id, overlap=overlap, operation=forms.operation())
        except InProgress as error:
            detail = str(error).partition(": wait")[0]
            return _list(services, actor, InProgress(f"{detail}. End the older one first, or wait"), about=key_id)
        except ServiceError as error:
            return _list(services, actor, error, about=key_id)
        return _list(services, actor, made=made)

    @pages.post("/keys/<key_id>/end-previous")
    @gate.person
    def end_previous(actor: Actor, key_id: str) -> Response:
        services.keys.end_previous(actor, key_id)
        return see_other("/keys", note="The older token is refused from now on.")

    @pages.post("/keys/<key_id>/revoke")
    @gate.person
    def revoke_key(actor: Actor, key_id: str) -> Response:
        services.keys.revoke(actor, key_id)
        return see_other("/keys", note="Revoked: it is refused from now on.")


def expiry(name: str = "expires") -> str | None:
    """The end of the day that was typed, in UTC. Raises Invalid."""
    sent = request.form.get(name, "").strip()
    if not sent:
        return None
    try:
        day = datetime.strptime(sent, "%Y-%m-%d").replace(tzinfo=UTC, hour=23, minute=59, second=59)
    except ValueError:
        raise Invalid.at(name, message="expected a day, such as 2027-01-31") from None
    return timestamp(day)


def _wanted() -> dict[str, Any]:
    kind = request.form.get("kind", "")
    wanted: dict[str, Any] = {
        "kind": kind if kind in EVALUATORS else "api",
        "name": request.form.get("name", "").strip(),
        "services": forms.words("services"),
    }
    if kind in EVALUATORS:
        return wanted | {"environment": request.form.get("environment", "")}
    role = "killer" if kind == "kill" else request.form.get("role", "")
    return wanted | {"role": role, "environments": forms.words("environments"), "expires": expiry()}


def _list(
    services: Services,
    actor: Actor,
    error: ServiceError | None = None,
    *,
    made: dict[str, Any] | None = None,
    about: str | None = None,
) -> Response:
    found = services.keys.list(actor, limit=AT_MOST, cursor=request.args.get("cursor"))
    now = timestamp(datetime.now(UTC))
    return page(
        "downhaul_admin/lists/keys.html",
        actor,
        status=forms.status_of(error),
        live=False,
        items=[item | _standing(item, now) for item in found.items],
        next=found.next,
        made=made,
        roles=[(role, MEANINGS[role]) for role in ROLES if role != "killer"],
        overlaps=OVERLAPS,
        errors=forms.errors(error) if about is None else {},
        trouble_with=about,
        trouble_is=forms.errors(error).get("", "") or next(iter(forms.errors(error).values()), None),
        typed=forms.typed(*FIELDS) if error and about is None else dict.fromkeys(FIELDS, ""),
        # A new one for the next form: what was sent has been done.
        operation=forms.operation() if error else forms.new_operation(),
    )


def _standing(key: dict[str, Any], now: str) -> dict[str, Any]:
    expires, previous = key.get("expires"), key.get("previous_expires")
    return {
        "expired": expires is not None and expires <= now,
        "two_alive": previous is not None and previous > now,
    }
