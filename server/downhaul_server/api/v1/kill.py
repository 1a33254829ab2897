"""Kill and restore: one flag, or many in one commit."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer, operation
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services, wiring
from downhaul_server.api.schemas.actions import (
    KilledSchema,
    KillManySchema,
    KillSchema,
    RestoreManySchema,
    RestoreSchema,
)
from downhaul_server.api.v1.flags import FLAG
from downhaul_server.services.actors import Actor
from downhaul_server.services.kill import Killed

blueprint = Blueprint("kill", __name__, description="Off at once, whatever the rules say; and on again, with a reason.")

SELECTORS = ("services", "tags", "flags")


@blueprint.operation("POST", f"{FLAG}/kill")
@authenticated
@blueprint.body(KillSchema, required=False)
@blueprint.answers(200, KilledSchema)
def kill_flag(actor: Actor, body: dict[str, Any], service: str, flag: str) -> Response:
    """Force a flag's off variant in one environment.

    Needs no body, no version and no approval; killing a killed flag changes nothing and answers the kill that stands.
    """
    return _killed(services().kill.kill(actor, service, flag, operation=operation(), **_why(body)), body)


@blueprint.operation("POST", f"{FLAG}/restore", problems=(409,))
@authenticated
@blueprint.body(RestoreSchema)
@blueprint.answers(200, KilledSchema)
def restore_flag(actor: Actor, body: dict[str, Any], service: str, flag: str) -> Response:
    """Lift a kill. The flag's rules decide again."""
    return _switched(services().kill.restore(actor, service, flag, operation=operation(), **_why(body)), body)


@blueprint.operation("POST", "/api/v1/kill", problems=(404,))
@authenticated
@blueprint.body(KillManySchema)
@blueprint.answers(200, KilledSchema)
def kill_flags(actor: Actor, body: dict[str, Any]) -> Response:
    """Kill many flags in one commit: by service, by tag, by name."""
    return _killed(services().kill.kill_many(actor, operation=operation(), **_which(body), **_why(body)), body)


@blueprint.operation("POST", "/api/v1/restore", problems=(404, 409))
@authenticated
@blueprint.body(RestoreManySchema)
@blueprint.answers(200, KilledSchema)
def restore_flags(actor: Actor, body: dict[str, Any]) -> Response:
    """Lift many kills in one commit: by service, by tag, by name."""
    return _switched(services().kill.restore_many(actor, operation=operation(), **_which(body), **_why(body)), body)


def _killed(killed: Killed, body: dict[str, Any]) -> Response:
    if killed.changed:
        wiring().metrics.killed(killed.environment, len(killed.flags) - len(killed.unchanged))
    return _switched(killed, body)


def _switched(killed: Killed, body: dict[str, Any]) -> Response:
    """What was done, and how far it has come: now, or within the seconds that the client waits."""
    acknowledgement = services().acknowledgements.of(
        killed.revision, killed.committed_at, killed.touches, wait=body.get("wait")
    )
    return json_answer(killed.to_json() | acknowledgement.to_json())


def _why(body: dict[str, Any]) -> dict[str, Any]:
    return {"environment": body.get("environment"), "reason": body.get("reason")}


def _which(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in SELECTORS if name in body}
