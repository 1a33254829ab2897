"""The route that is decided, answered in front of Flask: a proxy asks it before each request of a visitor.

Only that one answer is given here. Whatever else may come of the request is left to the route in `edge.py`, by the same
services. A visitor's request is worth no line in the log but that of the proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING

from downhaul_server.api.asked import asked
from downhaul_server.api.auth import bearer
from downhaul_server.api.context import Wiring
from downhaul_server.api.edge import ROUTE, route_answer
from downhaul_server.api.parsing import JSON
from downhaul_server.api.problems import ProblemError
from downhaul_server.api.requests import EVERY_ANSWER, UNLESS_SAID
from downhaul_server.services import names
from downhaul_server.services.decisions import Decision
from downhaul_server.services.errors import ServiceError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = re.compile(rf"/route/v1/({names.SERVICE_KEY})/({names.FLAG_KEY})")
HEADERS = (("Content-Type", JSON), *EVERY_ANSWER.items(), *UNLESS_SAID.items())


class Routes:
    """WSGI middleware."""

    def __init__(self, app: WSGIApplication, wiring: Wiring) -> None:
        self._app = app
        self._wiring = wiring

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        place = PATH.fullmatch(environ["PATH_INFO"])
        if place is None or environ["REQUEST_METHOD"] != "GET":
            return self._app(environ, start_response)
        began = perf_counter()
        decision = self._decided(environ, place[1], place[2])
        if decision is None:
            return self._app(environ, start_response)
        body, headers = route_answer(self._wiring, decision)
        request_id = self._wiring.request_ids.of(environ)
        self._wiring.metrics.answered(ROUTE, "GET", 200, perf_counter() - began)
        start_response(
            "200 OK",
            [*HEADERS, *headers.items(), ("Content-Length", str(len(body))), ("X-Request-Id", request_id)],
        )
        return (body,)

    def _decided(self, environ: WSGIEnvironment, service: str, flag: str) -> Decision | None:
        """None: it is not to be answered here."""
        token = bearer(environ)
        if token is None:
            return None
        try:
            holder = self._wiring.services.authenticate(token)
            wanted = asked(environ)
            return self._wiring.services.decisions.decide(holder, service, flag, wanted.context, wanted.environment)
        except (ServiceError, ProblemError):
            return None
