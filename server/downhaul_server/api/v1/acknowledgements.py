"""How far a change has come in the fleet, for those who have made it already and now want to watch."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.fleet import AcknowledgementQuery, AcknowledgementSchema
from downhaul_server.services.actors import Actor

blueprint = Blueprint("acknowledgement", __name__, description="Who has obeyed.")


@blueprint.operation("GET", "/api/v1/acknowledgement", problems=(404,))
@authenticated
@blueprint.query(AcknowledgementQuery)
@blueprint.answers(200, AcknowledgementSchema)
def get_acknowledgement(actor: Actor, query: dict[str, Any]) -> Response:
    """How far the change of a revision has come: now, or with `wait` as soon as it is everywhere."""
    return json_answer(services().acknowledgements.of_revision(actor, **query).to_json())
