"""For instances: the snapshot. Asked by every process of a fleet every few seconds, so as thin as a view can be."""

from __future__ import annotations

from functools import lru_cache

from flask import Response, request

from downhaul_server.api.answers import PRIVATE, none_match
from downhaul_server.api.auth import instances
from downhaul_server.api.blueprint import Blueprint, only_documents
from downhaul_server.api.context import wiring
from downhaul_server.api.schemas.operations import SnapshotQuery, SnapshotSchema
from downhaul_server.services.actors import SdkKey

blueprint = Blueprint("instances", __name__, description="What the SDK reads, with an SDK key.")

SNAPSHOT = "/sdk/v1/snapshot"
SCHEMA = SnapshotQuery()
OLD_S = 2.0
ETAG = {"description": "`epoch:revision`, in quotes: a strong validator.", "schema": {"type": "string"}}

AGE = {
    "description": "Whole seconds since Redis last confirmed that this is the newest; only from 2 on.",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}


@blueprint.operation("GET", SNAPSHOT, versioned=True, problems=(404,))
@instances
@only_documents(blueprint.query(SnapshotQuery))
@blueprint.answers(200, SnapshotSchema, headers={"ETag": ETAG, "Age": AGE})
def get_snapshot(key: SdkKey) -> Response:
    """Everything that one service needs in the key's environment.

    It is sent as it is, without compression: a strong ETag names bytes. A proxy in front may compress (and weaken
    the ETag to `W/"..."`, which is accepted). Poll it with `If-None-Match`.
    """
    room = wiring()
    snapshot = room.services.snapshots.get(key, _service(request.query_string))
    headers = snapshot_headers(snapshot.etag, room.services.snapshots.view.age_s)
    if none_match(request.environ.get("HTTP_IF_NONE_MATCH"), snapshot.etag):
        room.metrics.polled(304)
        return Response(status=304, headers=headers)
    room.metrics.polled(200)
    return Response(snapshot.body, headers=headers, content_type="application/json")


def snapshot_headers(etag: str, age_s: float) -> dict[str, str]:
    """What 200 and 304 say alike; `Age` where Redis has not confirmed for longer than it does when all is well."""
    headers = {"ETag": etag, "Cache-Control": PRIVATE, "Vary": "Authorization"}
    return headers if age_s < OLD_S else headers | {"Age": str(int(age_s))}


@lru_cache(maxsize=1024)
def _service(query: bytes) -> str:
    """What this request's query string names. A fleet sends few different ones, so each is parsed once."""
    service: str = blueprint.ARGUMENTS_PARSER.parse(SCHEMA, location="query")["service"]
    return service
