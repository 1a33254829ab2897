"""Who runs the flags, and how often they decide."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.fleet import EvaluationsQuery, EvaluationsSchema, FleetPageSchema, FleetQuery
from downhaul_server.api.v1.catalog import SERVICE
from downhaul_server.api.v1.flags import FLAG
from downhaul_server.services.actors import Actor

blueprint = Blueprint("fleet", __name__, description="The instances of each service, and what they evaluate.")


@blueprint.operation("GET", f"{SERVICE}/fleet")
@authenticated
@blueprint.query(FleetQuery)
@blueprint.answers(200, FleetPageSchema)
def list_fleet(actor: Actor, query: dict[str, Any], service: str) -> Response:
    """List the instances of a service in one environment, with what each has applied."""
    fleet = services().survey.list(actor, service, **query)
    return json_answer(
        {
            "items": fleet.page.items,
            "next": fleet.page.next,
            "epoch": fleet.epoch,
            "revision": fleet.revision,
            "counts": fleet.counts,
        }
    )


@blueprint.operation("GET", f"{FLAG}/evaluations")
@authenticated
@blueprint.query(EvaluationsQuery)
@blueprint.answers(200, EvaluationsSchema)
def list_evaluations(actor: Actor, query: dict[str, Any], service: str, flag: str) -> Response:
    """How often each variant of a flag was served, as its instances have counted."""
    return json_answer({"items": services().evaluations.of(actor, service, flag, **query)})
