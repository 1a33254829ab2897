"""Drills: does a kill arrive?"""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer, operation, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.common import PageQuery
from downhaul_server.api.schemas.drills import DrillCreateSchema, DrillPageSchema, DrillSchema
from downhaul_server.services.actors import Actor

blueprint = Blueprint("drills", __name__, description="Does a kill arrive? Know before you need it.")

DRILLS = "/api/v1/drills"


@blueprint.operation("POST", DRILLS, problems=(404, 409))
@authenticated
@blueprint.body(DrillCreateSchema, required=False)
@blueprint.answers(200, DrillSchema)
def run_drill(actor: Actor, body: dict[str, Any]) -> Response:
    """Kill and restore the flag `downhaul-drill` of each service, and measure how long the fleet takes to obey.

    The flag is made where there is none. Nothing else is touched.
    """
    return json_answer(services().drills.run(actor, operation=operation(), **body))


@blueprint.operation("GET", DRILLS)
@authenticated
@blueprint.query(PageQuery)
@blueprint.answers(200, DrillPageSchema)
def list_drills(actor: Actor, query: dict[str, Any]) -> Response:
    """The last drill of each service and environment."""
    return page_answer(services().drill_results.page(actor, **query))
