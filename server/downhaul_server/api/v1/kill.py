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
    return _killed(services().kill.kill(actor, service, flag, operation=operation(), **_why(body)))


@blueprint.operation("POST", f"{FLAG}/restore")
@authenticated
@blueprint.body(RestoreSchema)
@blueprint.answers(200, KilledSchema)
def restore_flag(actor: Actor, body: dict[str, Any], service: str, flag: str) -> Response:
    """Lift a kill. The flag's rules decide again."""
    restored = services().kill.restore(actor, service, flag, operation=operation(), **_why(body))
    return json_answer(restored.to_json())


@blueprint.operation("POST", "/api/v1/kill", problems=(404,))
@authenticated
@blueprint.body(KillManySchema)
@blueprint.answers(200, KilledSchema)
def kill_flags(actor: Actor, body: dict[str, Any]) -> Response:
    """Kill many flags in one commit: by service, by tag, by name."""
    return _killed(services().kill.kill_many(actor, operation=operation(), **_which(body), **_why(body)))


@blueprint.operation("POST", "/api/v1/restore", problems=(404,))
@authenticated
@blueprint.body(RestoreManySchema)
@blueprint.answers(200, KilledSchema)
def restore_flags(actor: Actor, body: dict[str, Any]) -> Response:
    """Lift many kills in one commit: by service, by tag, by name."""
    restored = services().kill.restore_many(actor, operation=operation(), **_which(body), **_why(body))
    return json_answer(restored.to_json())


def _killed(killed: Killed) -> Response:
    if killed.changed:
        wiring().metrics.killed(killed.environment, len(killed.flags) - len(killed.unchanged))
    return json_answer(killed.to_json())


def _why(body: dict[str, Any]) -> dict[str, Any]:
    return {"environment": body.get("environment"), "reason": body.get("reason")}


def _which(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in SELECTORS if name in body}
