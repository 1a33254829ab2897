"""For instances: the report of what each has applied, and of what it has evaluated."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import instances
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import Wiring, wiring
from downhaul_server.api.schemas.fleet import PaceSchema, ReportSchema
from downhaul_server.services.actors import SdkKey

blueprint = Blueprint("reports", __name__, description="What instances say of themselves, with an SDK key.")

REPORT = "/sdk/v1/report"


@blueprint.operation("POST", REPORT, operation_id=False, problems=(404,))
@instances
@blueprint.body(ReportSchema)
@blueprint.answers(200, PaceSchema)
def post_report(key: SdkKey, body: dict[str, Any]) -> Response:
    """Say how a process is: what it has applied, and what it has evaluated since it last said so."""
    return json_answer(take(wiring(), key, body))


def take(room: Wiring, key: SdkKey, report: dict[str, Any]) -> dict[str, int]:
    """A report of the right shape; gives the answer. Raises ServiceError."""
    services = room.services
    pace = services.fleet.report(key, report)
    room.metrics.reported()
    if counts := report.get("counts"):
        service, sequence = report["service"], report.get("sequence")
        if sequence is None or services.fleet.is_new_sequence(key, service, report["process"], sequence):
            services.evaluations.add(key, service, counts)
    return {"next_report_s": pace.next_report_s, "spread_ms": pace.spread_ms}
