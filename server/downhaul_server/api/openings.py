"""The stream that is opened, in front of Flask: after a restart a whole fleet comes back at the same time.

Only that one answer is given here. Whatever else may come of the request is left to the route in `stream.py`, by the
same services.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING

from downhaul_server.addresses import client_address
from downhaul_server.api.auth import bearer
from downhaul_server.api.context import Wiring
from downhaul_server.api.lines import Line
from downhaul_server.api.requests import EVERY_ANSWER, UNLESS_SAID, log_request
from downhaul_server.api.schemas.fleet import PROCESS
from downhaul_server.api.stream import HEADERS, MEDIA_TYPE, STREAM, Body, position
from downhaul_server.services import names
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.errors import ServiceError
from downhaul_server.services.stream import Stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PLAIN_QUERY = re.compile(rf"service=({names.SERVICE_KEY})(?:&process=({PROCESS}))?")
PLAIN_ACCEPT = frozenset({MEDIA_TYPE, "*/*", ""})
ALWAYS = tuple((UNLESS_SAID | HEADERS | EVERY_ANSWER).items())


class Openings:
    """WSGI middleware."""

    def __init__(self, app: WSGIApplication, wiring: Wiring) -> None:
        self._app = app
        self._wiring = wiring

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != STREAM or environ["REQUEST_METHOD"] != "GET":
            return self._app(environ, start_response)
        began = perf_counter()
        stream = self._opened(environ)
        if stream is None:
            return self._app(environ, start_response)
        request_id = self._wiring.request_ids.of(environ)
        start_response("200 OK", [*ALWAYS, ("X-Request-Id", request_id)])
        seconds = perf_counter() - began
        self._wiring.metrics.answered(STREAM, "GET", 200, seconds)
        remote = client_address(environ, self._wiring.settings.trusted_proxies)
        log_request(request_id, "GET", STREAM, 200, seconds, stream.key.name, remote)
        return Body(self._wiring.services.streams, stream, Line.under(environ))

    def _opened(self, environ: WSGIEnvironment) -> Stream | None:
        """The stream that is asked for in the plainest way; None: that is not how it is, or it is refused."""
        query, token = PLAIN_QUERY.fullmatch(environ["QUERY_STRING"]), bearer(environ)
        if query is None or token is None or environ.get("HTTP_ACCEPT", "") not in PLAIN_ACCEPT:
            return None
        services = self._wiring.services
        try:
            key = services.authenticate(token)
            if not isinstance(key, SdkKey):
                return None
            return services.streams.open(key, query[1], query[2], position(environ.get("HTTP_LAST_EVENT_ID")))
        except ServiceError:
            return None
