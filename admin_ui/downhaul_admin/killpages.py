"""Kill and restore of one flag: what will happen, the deed, and who has obeyed. A kill is asked for nothing more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ApprovalRequired, Invalid, OperationConflict, ServiceError, Unavailable
from downhaul_server.services.words import outcome, state_sentence
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate, obeying
from downhaul_admin.flagview import segment_names
from downhaul_admin.pages import page, places_of, see_other

FLAG = "/services/<service>/flags/<flag>"
LONGEST_VALUE = 120


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`.../kill`, `.../restore`, and how far each has come."""

    @pages.get(f"{FLAG}/kill")
    @gate.person
    def confirm_kill(actor: Actor, service: str, flag: str) -> Response:
        return _confirm(services, actor, service, flag)

    @pages.post(f"{FLAG}/kill")
    @gate.person
    def kill_flag(actor: Actor, service: str, flag: str) -> Response:
        place, reason = environment(actor), forms.text("reason")
        try:
            try:
                done = services.kill.kill(
                    actor, service, flag, environment=place, reason=reason, operation=forms.operation()
                )
            except OperationConflict:  # sent again with another reason: off is what is wanted all the same
                done = services.kill.kill(actor, service, flag, environment=place, reason=reason)
        except Unavailable as error:
            return _confirm(services, actor, service, flag, error=error)
        return see_other(f"{path(service, flag)}/kill/{done.revision}?environment={place}")

    @pages.get(f"{FLAG}/kill/<int:revision>")
    @gate.person
    def killed(actor: Actor, service: str, flag: str, revision: int) -> Response:
        return _progress(services, actor, service, flag, revision, "kill")

    @pages.get(f"{FLAG}/restore")
    @gate.person
    def confirm_restore(actor: Actor, service: str, flag: str) -> Response:
        return _guarded(services, actor, service, flag)

    @pages.post(f"{FLAG}/restore")
    @gate.person
    def restore_flag(actor: Actor, service: str, flag: str) -> Response:
        place, reason, operation = environment(actor), forms.text("reason"), forms.operation()
        try:
            if not reason:
                raise Invalid.at("reason", message="say why: a restore needs a reason")
            done = services.kill.restore(actor, service, flag, environment=place, reason=reason, operation=operation)
        except ApprovalRequired:
            return _ask(services, actor, service, flag, place, reason or "")
        except (Invalid, Unavailable, OperationConflict) as error:
            return _guarded(services, actor, service, flag, error=error)
        return see_other(f"{path(service, flag)}/restore/{done.revision}?environment={place}")

    @pages.get(f"{FLAG}/restore/<int:revision>")
    @gate.person
    def restored(actor: Actor, service: str, flag: str, revision: int) -> Response:
        return _progress(services, actor, service, flag, revision, "restore")


def path(service: str, flag: str) -> str:
    """Of a flag's page."""
    return f"/services/{service}/flags/{flag}"


def environment(actor: Actor) -> str:
    """The one that the address or the form names, whether it is there or not: nobody acts on another one unawares."""
    return request.values.get("environment") or places_of(actor)[0]


def _confirm(
    services: Services, actor: Actor, service: str, flag: str, *, error: ServiceError | None = None
) -> Response:
    place = environment(actor)
    authorize(actor, Action.KILL, service, place)
    about = _about(services, actor, service, flag, place)
    there = places_of(actor)[1]
    return page(
        "downhaul_admin/kill/confirm.html",
        actor,
        status=forms.status_of(error),
        **about,
        others=[name for name in there if name != place and actor.reaches(service, name, Action.KILL)],
        errors=forms.errors(error),
        reason=request.form.get("reason", ""),
        operation=forms.operation(),
    )


def _guarded(
    services: Services, actor: Actor, service: str, flag: str, *, error: ServiceError | None = None
) -> Response:
    """The form of a restore."""
    place = environment(actor)
    authorize(actor, Action.RESTORE, service, place)
    about = _about(services, actor, service, flag, place)
    protection = services.catalog.get_environment(actor, place)
    return page(
        "downhaul_admin/kill/restore.html",
        actor,
        status=forms.status_of(error),
        **about,
        approvals=protection["approvals"] if protection["protected"] else 0,
        may_skip=actor.kind == "admin",
        errors=forms.errors(error),
        reason=request.form.get("reason", ""),
        operation=forms.operation(),
    )


def _progress(services: Services, actor: Actor, service: str, flag: str, revision: int, verb: str) -> Response:
    place = environment(actor)
    authorize(actor, Action.READ, service, place)
    about = _about(services, actor, service, flag, place)
    found = obeying.watch(services, actor, revision, place, (service,))
    stands = (about["state"]["killed"] is not None) == (verb == "kill")
    return page("downhaul_admin/kill/progress.html", actor, **about, verb=verb, stands=stands, obeying=found)


def _ask(services: Services, actor: Actor, service: str, flag: str, place: str, reason: str) -> Response:
    """Where others have to approve it, they are asked."""
    wanted = {"service": service, "flag": flag, "environment": place, "change": {"restore": True}, "reason": reason}
    try:
        review = services.reviews.open(actor, wanted, operation=forms.operation_of_review())
    except (Invalid, Unavailable, OperationConflict) as error:
        return _guarded(services, actor, service, flag, error=error)
    note = f"Asked for approval. {flag} stays killed in {place} until somebody else has approved."
    return see_other(f"/reviews/{review['id']}", note=note)


def _about(services: Services, actor: Actor, service: str, flag: str, place: str) -> dict[str, Any]:
    """What the pages say of the flag."""
    document = services.flags.get(actor, service, flag)
    services.catalog.get_environment(actor, place)
    state = document["environments"][place]
    names = segment_names(services, actor)
    return {
        "flag": document,
        "path": path(service, flag),
        "place": place,
        "state": state,
        "now": state_sentence(document, state, names),
        "later": state_sentence(document, {**state, "killed": None}, names),
        "off": _off(document),
        "fleet": services.overview.fleet(actor, service, place),
    }


def _off(document: Mapping[str, Any]) -> str:
    """What everyone will get: `off`; where values are no mere on and off, with the value: `control, which is "v1"`."""
    name = outcome(document, document["off_variant"])
    if document["type"] == "boolean":
        return name
    value = json.dumps(document["variants"][document["off_variant"]], ensure_ascii=False)
    return f"{name}, which is {value[:LONGEST_VALUE]}{'…' if len(value) > LONGEST_VALUE else ''}"
