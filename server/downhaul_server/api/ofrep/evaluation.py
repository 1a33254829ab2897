"""`/ofrep/v1/evaluate/flags`: one flag for a server that asks each time, all of them for a client that keeps them."""

from __future__ import annotations

import json

from flask import Response, request

from downhaul_server.api.answers import none_match
from downhaul_server.api.auth import evaluators
from downhaul_server.api.context import services, wiring
from downhaul_server.api.ofrep import bodies
from downhaul_server.api.ofrep.events import EVENTS, event_stream
from downhaul_server.services.actors import EnvironmentKey

FLAGS = "/ofrep/v1/evaluate/flags"
FLAG = f"{FLAGS}/<path:key>"
"""Clients write the slash in `service/flag` either as it is or as `%2F`; WSGI does not tell which."""
JSON = "application/json"
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}


@evaluators
def evaluate_flag(holder: EnvironmentKey, key: str) -> Response:
    """One flag, for the context in the body."""
    found = services().evaluation.one(holder, key, bodies.context())
    return Response(found.body, 400 if found.failed else 200, content_type=JSON)


@evaluators
def evaluate_flags(holder: EnvironmentKey) -> Response:
    """All flags of the key, for the context in the body; 304 where that is what the client has."""
    context, told_of = bodies.context(), bodies.told_of()
    if told_of:
        services().evaluation.catch_up(told_of)
    found = services().evaluation.all(holder, context)
    # With a new window there is a new address for the stream, so a client that has the one before has not the newest.
    etag = f'"{found.digest}-{services().notices.window:x}"'
    headers = {"ETag": etag, **PRIVATE}
    if none_match(request.headers.get("If-None-Match"), etag):
        return Response(status=304, headers=headers)
    about = {
        "metadata": {"environment": holder.environment},
        "eventStreams": [event_stream(f"{_origin()}{EVENTS}", services().notices.token(holder), found.edition)],
    }
    body = b'{"flags":%b,%b' % (found.items, json.dumps(about, separators=(",", ":")).encode("ascii")[1:])
    return Response(body, headers=headers, content_type=JSON)


def _origin() -> str:
    """Where browsers reach us: as the operator says, else as this one does."""
    return wiring().settings.public_url or request.host_url.rstrip("/")
