"""The poll that brings nothing new, answered in front of Flask: it is nearly all that a server with a fleet ever does.

Only that one answer is given here. Whatever else may come of the request (a refusal, an error, a new snapshot) is left
to the route in `sdk.py`, by the same services; so there is one set of rules, and here a short way to its usual end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING

from downhaul_server.api.answers import none_match
from downhaul_server.api.auth import bearer
from downhaul_server.api.context import Wiring
from downhaul_server.api.requests import EVERY_ANSWER
from downhaul_server.api.sdk import SNAPSHOT, snapshot_headers
from downhaul_server.services import names
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.errors import ServiceError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PLAIN_QUERY = re.compile(rf"service=({names.SERVICE_KEY})")


class Polls:
    """WSGI middleware."""

    def __init__(self, app: WSGIApplication, wiring: Wiring) -> None:
        self._app = app
        self._services = wiring.services
        self._metrics = wiring.metrics
        self._request_ids = wiring.request_ids

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != SNAPSHOT or "HTTP_IF_NONE_MATCH" not in environ:
            return self._app(environ, start_response)
        began = perf_counter()
        etag = self._unchanged(environ)
        if etag is None:
            return self._app(environ, start_response)
        headers = [
            *snapshot_headers(etag, self._services.snapshots.view.age_s).items(),
            *EVERY_ANSWER.items(),
            ("X-Request-Id", self._request_ids.of(environ)),
        ]
        self._metrics.polled(304)
        self._metrics.answered(SNAPSHOT, "GET", 304, perf_counter() - began)
        start_response("304 NOT MODIFIED", headers)
        return ()

    def _unchanged(self, environ: WSGIEnvironment) -> str | None:
        """The ETag of the snapshot that the client has and may have; None: that is not how it is."""
        query = PLAIN_QUERY.fullmatch(environ["QUERY_STRING"])
        token = bearer(environ)
        if query is None or token is None or environ["REQUEST_METHOD"] != "GET":
            return None
        try:
            key = self._services.authenticate(token)
            if not isinstance(key, SdkKey):
                return None
            etag = self._services.snapshots.get(key, query[1]).etag
        except ServiceError:
            return None
        return etag if none_match(environ["HTTP_IF_NONE_MATCH"], etag) else None
