"""`/ofrep/v1/events`: the stream that tells a client to fetch its flags anew. Opened by the token in its address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from downhaul_server.api.auth import by_stream_token
from downhaul_server.api.context import services
from downhaul_server.api.lines import Line
from downhaul_server.api.stream import MEDIA_TYPE, Body
from downhaul_server.services.actors import EnvironmentKey
from downhaul_server.services.errors import Overloaded, Unavailable
from downhaul_server.services.evaluation import Edition
from downhaul_server.services.events import Event
from downhaul_server.services.notices import LONGEST_RETRY_MS

EVENTS = "/ofrep/v1/events"
HEADERS = {
    "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
    "Cache-Control": "no-cache",
    # nginx's: it is to hold nothing back.
    "X-Accel-Buffering": "no",
}
INACTIVITY_S = 120
"""A page that nobody has looked at for so long gives up its stream, and fetches its flags when somebody does."""


def event_stream(url: str, token: str, edition: Edition) -> dict[str, Any]:
    """An entry of `eventStreams`. What changes between the answer and the stream is told at the beginning of it."""
    query = urlencode({"token": token, "since": edition.digest})
    return {"type": "sse", "url": f"{url}?{query}", "inactivityDelaySec": INACTIVITY_S}


@by_stream_token
def get_events(key: EnvironmentKey) -> Response:
    """`refetchEvaluation` after every change that may concern the client; comments as signs of life."""
    room = services()
    if request.method == "HEAD":
        return Response(headers=HEADERS)
    last = request.headers.get("Last-Event-ID") or request.args.get("since")
    try:
        stream = room.notices.open(key, last)
    except (Overloaded, Unavailable):
        # An error would make a browser give up this address, and its provider ask for another one every second.
        return Response(Event.comment("no room", retry_ms=LONGEST_RETRY_MS).text, headers=HEADERS)
    return Response(Body(room.streams, stream, Line.under(request.environ)), headers=HEADERS, direct_passthrough=True)
