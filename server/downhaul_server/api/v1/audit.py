"""Is the log what was written?"""

from __future__ import annotations

from flask import Response

from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.audit import VerdictSchema
from downhaul_server.services.actors import Actor

blueprint = Blueprint("audit", __name__, description="Is the log what was written?")


@blueprint.operation("GET", "/api/v1/audit/verify")
@authenticated
@blueprint.answers(200, VerdictSchema)
def verify_log(actor: Actor) -> Response:
    """Walk the hash chain of the log. Finds what was altered, removed, put in another order or written past it.

    For administrators of everything. It reads all of the log.
    """
    return json_answer(services().audit.verify(actor).to_json())
