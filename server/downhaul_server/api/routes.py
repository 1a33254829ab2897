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
from downhaul_server.api.edge import ASK_EACH_TIME, ROUTE, route_answer
from downhaul_server.api.parsing import JSON
from downhaul_server.api.problems import ProblemError
from downhaul_server.api.requests import EVERY_ANSWER, UNLESS_SAID
from downhaul_server.services import names
from downhaul_server.services.actors import Actor, SdkKey
from downhaul_server.services.decisions import Decision
from downhaul_server.services.errors import ServiceError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = re.compile(rf"/route/v1/({names.SERVICE_KEY})/({names.FLAG_KEY})")
WITH_BODY = (("Content-Type", JSON), *((name, UNLESS_SAID[name]) for name in UNLESS_SAID if name not in ASK_EACH_TIME))


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
        body, headers = route_answer(self._wiring, decision, environ.get("HTTP_IF_NONE_MATCH"))
        status = 304 if body is None else 200
        self._wiring.metrics.answered(ROUTE, "GET", status, perf_counter() - began)
        every = [*headers.items(), *EVERY_ANSWER.items(), ("X-Request-Id", self._wiring.request_ids.of(environ))]
        if body is None:
            start_response("304 NOT MODIFIED", every)
            return ()
        start_response("200 OK", [*WITH_BODY, *every, ("Content-Length", str(len(body)))])
        return (body,)

    def _decided(self, environ: WSGIEnvironment, service: str, flag: str) -> Decision | None:
        """None: it is not to be answered here."""
        token = bearer(environ)
        if token is None:
            return None
        try:
            holder = self._wiring.services.authenticate(token)
            if not isinstance(holder, Actor | SdkKey):
                return None
            wanted = asked(environ)
            return self._wiring.services.decisions.decide(holder, service, flag, wanted.context, wanted.environment)
        except (ServiceError, ProblemError):
            return None
