"""Is the log what was written?"""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.audit import ExportLineSchema, ExportQuery, VerdictSchema
from downhaul_server.services.actors import Actor

JSON_LINES = "application/x-ndjson"

blueprint = Blueprint("audit", __name__, description="Is the log what was written?")


@blueprint.operation("GET", "/api/v1/audit/verify")
@authenticated
@blueprint.answers(200, VerdictSchema)
def verify_log(actor: Actor) -> Response:
    """Walk the hash chain of the log. Finds what was altered, removed, put in another order or written past it.

    For administrators of everything. It reads all of the log.
    """
    return json_answer(services().audit.verify(actor).to_json())


@blueprint.operation("GET", "/api/v1/audit/export", problems=(422,))
@authenticated
@blueprint.query(ExportQuery)
@blueprint.answers(200, ExportLineSchema, content_type=JSON_LINES, description="One JSON document a line.")
def export_log(actor: Actor, query: dict[str, Any]) -> Response:
    """The log as JSON lines, oldest first, with what is needed to verify it without us.

    For administrators of everything. The first line says what this is, the last one (`end`) that nothing is missing.
    With the action `refused`: the refused attempts. How to verify it is in the guide, `docs/api.md`.
    """
    headers = {"Content-Disposition": 'attachment; filename="downhaul-log.jsonl"', "X-Accel-Buffering": "no"}
    return Response(services().audit.export(actor, **query), headers=headers, content_type=JSON_LINES)
