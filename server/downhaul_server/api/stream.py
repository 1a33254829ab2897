"""For instances: the stream of changes. Everything is said as soon as it is known, over a connection that stays."""

from __future__ import annotations

import re

from flask import Response, request

from downhaul_server.api import problems
from downhaul_server.api.auth import instances
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.lines import Line
from downhaul_server.api.problems import ProblemError
from downhaul_server.api.schemas.operations import StreamEventSchema, StreamQuery
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.events import Event
from downhaul_server.services.stream import Stream, why
from downhaul_server.services.streams import Streams

blueprint = Blueprint("streams", __name__, description="What instances hear, with an SDK key.")

STREAM = "/sdk/v1/stream"
MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
    "Cache-Control": "no-store",
    # nginx's: it is to hold nothing back.
    "X-Accel-Buffering": "no",
}
POSITION = re.compile(r"([!-9;-~]{1,64}):([0-9]{1,15})")


@blueprint.operation("GET", STREAM, headers=("LastEventId",), problems=(404, 406, 422))
@instances
@blueprint.query(StreamQuery)
@blueprint.answers(200, StreamEventSchema, content_type=MEDIA_TYPE, description="Server-sent events, without end.")
def get_stream(key: SdkKey, query: dict[str, str]) -> Response:
    """What an instance lacks, then every change as soon as it is made, and heartbeats.

    The events are in the guide, `docs/api.md`. The server ends a stream after some time: come back then.
    """
    _demand_event_stream()
    if request.method == "HEAD":
        services().snapshots.get(key, query["service"])
        return Response(headers=HEADERS)
    streams = services().streams
    last = position(request.headers.get("Last-Event-ID"))
    stream = streams.open(key, query["service"], query.get("process"), last)
    return Response(Body(streams, stream, Line.under(request.environ)), headers=HEADERS, direct_passthrough=True)


def position(last_event_id: str | None) -> tuple[str, int] | None:
    """Epoch and revision. What cannot be read as such is no position of ours: the stream begins anew."""
    found = POSITION.fullmatch(last_event_id or "")
    return (found[1], int(found[2])) if found else None


class Body:
    """A stream as the body of a WSGI answer: piece by piece, or by itself where it has the connection for it."""

    __slots__ = ("_begun", "_line", "_stream", "_streams")

    def __init__(self, streams: Streams, stream: Stream, line: Line | None) -> None:
        self._streams = streams
        self._stream = stream
        self._line = line
        self._begun = False

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        if self._line is None:
            return self._piece()
        if not self._begun:
            self._begun = True
            return b""  # Lets gunicorn send the answer's head, and nothing else.
        self._pass_on(self._line)
        raise StopIteration

    def close(self) -> None:
        """The answer is over, or nobody wants it."""
        if self._line is not None:
            self._line.release()
        self._streams.close(self._stream)

    def _piece(self) -> bytes:
        item = self._stream.take()
        if not isinstance(item, Event):
            raise StopIteration
        return item.text

    def _pass_on(self, line: Line) -> None:
        """Send all that cannot be sent at once, until the end of the stream."""
        stream = self._stream
        line.watch(lambda error: stream.finish(why(error)))
        stream.send_through(line.send_now, line.cut)
        try:
            while (item := stream.take()) is not None:
                line.send(item)
        except OSError as error:
            stream.finish(why(error))


def _demand_event_stream() -> None:
    if request.headers.get("Accept") and request.accept_mimetypes.best_match([MEDIA_TYPE]) is None:
        raise ProblemError(problems.NOT_ACCEPTABLE, f"this is sent as {MEDIA_TYPE} only, which Accept does not take")
