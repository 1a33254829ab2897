"""Flags that may be tidied away."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer, no_content, operation, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.stale import SnoozedSchema, SnoozeSchema, StalePageSchema, StaleQuery
from downhaul_server.api.v1.flags import FLAG
from downhaul_server.services.actors import Actor

blueprint = Blueprint("stale", __name__, description="Flags that may be tidied away.")

SNOOZE = f"{FLAG}/snooze"


@blueprint.operation("GET", "/api/v1/stale", problems=(404,))
@authenticated
@blueprint.query(StaleQuery)
@blueprint.answers(200, StalePageSchema)
def list_stale(actor: Actor, query: dict[str, Any]) -> Response:
    """List stale flags: past their expiry date, or for 30 days unused or serving one variant only.

    Flags of purpose `permission` and `ops` are meant to stay; for them only an expiry date counts.
    """
    wanted = {"true": True, "false": False}.get(query.pop("snoozed", ""))
    return page_answer(services().staleness.list(actor, snoozed=wanted, **query))


@blueprint.operation("PUT", SNOOZE)
@authenticated
@blueprint.body(SnoozeSchema)
@blueprint.answers(200, SnoozedSchema)
def snooze_flag(actor: Actor, body: dict[str, Any], service: str, flag: str) -> Response:
    """Leave a stale flag alone until a day."""
    return json_answer(services().staleness.snooze(actor, service, flag, body, operation=operation()))


@blueprint.operation("DELETE", SNOOZE)
@authenticated
@blueprint.answers(204)
def wake_flag(actor: Actor, service: str, flag: str) -> Response:
    """End a flag's snooze."""
    services().staleness.wake(actor, service, flag, operation=operation())
    return no_content()
