"""The log, and how the service is."""

from __future__ import annotations

from typing import Any

import downhaul
from flask import Response

from downhaul_server.api.answers import json_answer, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.history import LogEntryPageSchema, LogQuery
from downhaul_server.api.schemas.operations import StatusSchema
from downhaul_server.services.actors import Actor

blueprint = Blueprint("log", __name__, description="What happened, and how the service is.")


@blueprint.operation("GET", "/api/v1/log")
@authenticated
@blueprint.query(LogQuery)
@blueprint.answers(200, LogEntryPageSchema)
def list_log(actor: Actor, query: dict[str, Any]) -> Response:
    """Every change, newest first: who, what, why, when."""
    return page_answer(services().history.log(actor, **query))


@blueprint.operation("GET", "/api/v1/status")
@authenticated
@blueprint.answers(200, StatusSchema)
def get_status(actor: Actor) -> Response:
    """How the service is: the store's state and revision, what Redis promises, warnings, the version."""
    return json_answer({"version": downhaul.__version__, **services().health()})
