"""For instances: the stream of changes. Everything is said as soon as it is known, over a connection that stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from flask import Response, request

from downhaul_server.api.auth import instances
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.lines import Line
from downhaul_server.api.schemas.operations import StreamQuery
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.stream import Reason, Stream

blueprint = Blueprint("streams", __name__, description="What instances hear, with an SDK key.")

STREAM = "/sdk/v1/stream"
CONTENT_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The second one is nginx's: it is to hold nothing back."""
POSITION = re.compile(r"([!-9;-~]{1,64}):([0-9]{1,15})")
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "description": "The `id` of the last event that was applied: the stream goes on from there where it can.",
    "schema": {"type": "string"},
}


@blueprint.operation("GET", STREAM, problems=(404, 406))
@instances
@blueprint.query(StreamQuery)
@blueprint.answers(200, content_type=CONTENT_TYPE)
def get_stream(key: SdkKey, query: dict[str, str]) -> Response:
    """Server-sent events: a snapshot or a change to begin with, every later change, and heartbeats.

    See the guide, `docs/api.md`, for the events. The server ends each stream after some time; come back then.
    """
    return Response()
