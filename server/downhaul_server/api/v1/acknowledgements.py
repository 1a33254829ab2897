"""How far a change has come in the fleet, for those who have made it already and now want to watch."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.fleet import (
    AcknowledgementOfServicesSchema,
    AcknowledgementQuery,
    AcknowledgementSchema,
)
from downhaul_server.services.actors import Actor

blueprint = Blueprint("acknowledgement", __name__, description="Who has obeyed.")


ACKNOWLEDGEMENT = "/api/v1/acknowledgement"


@blueprint.operation("GET", ACKNOWLEDGEMENT, problems=(404,))
@authenticated
@blueprint.query(AcknowledgementQuery)
@blueprint.answers(200, AcknowledgementSchema)
def get_acknowledgement(actor: Actor, query: dict[str, Any]) -> Response:
    """How far the change of a revision has come: now, or with `wait` as soon as it is everywhere."""
    return json_answer(services().acknowledgements.of_revision(actor, **query).to_json())


@blueprint.operation("POST", ACKNOWLEDGEMENT, operation_id=False, problems=(404,))
@authenticated
@blueprint.body(AcknowledgementOfServicesSchema)
@blueprint.answers(200, AcknowledgementSchema)
def ask_services(actor: Actor, body: dict[str, Any]) -> Response:
    """The same of the instances of some services, whether the change was made to them or was not needed.

    A kill of many flags, some of which were killed already, is everywhere when all of these services have it.
    """
    return json_answer(services().acknowledgements.of_revision(actor, **body).to_json())
