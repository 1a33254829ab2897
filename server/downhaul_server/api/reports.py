"""The report that is taken, answered in front of Flask: after a change a whole fleet sends one at the same time.

Only that one answer is given here. Whatever else may come of the request is left to the route in `report.py`, with the
body as it came; the schema and the service are the same, so there is one set of rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from downhaul_server.api.auth import bearer
from downhaul_server.api.context import Wiring
from downhaul_server.api.parsing import JSON
from downhaul_server.api.report import REPORT, take
from downhaul_server.api.requests import EVERY_ANSWER, UNLESS_SAID
from downhaul_server.api.schemas.fleet import ReportSchema
from downhaul_server.services import strict_json
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.errors import ServiceError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SCHEMA = ReportSchema()
REQUIRED = frozenset(name for name, field in SCHEMA.fields.items() if field.required)
ALWAYS_NEW = frozenset({"applied_ms", "sequence", "counts"})
HEADERS = (("Content-Type", JSON), *EVERY_ANSWER.items(), *UNLESS_SAID.items())


class Reports:
    """WSGI middleware."""

    def __init__(self, app: WSGIApplication, wiring: Wiring) -> None:
        self._app = app
        self._wiring = wiring

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != REPORT or environ["REQUEST_METHOD"] != "POST":
            return self._app(environ, start_response)
        began = perf_counter()
        answer = self._taken(environ)
        if answer is None:
            return self._app(environ, start_response)
        body = json.dumps(answer, separators=(",", ":")).encode("ascii")
        request_id = self._wiring.request_ids.of(environ)
        self._wiring.metrics.answered(REPORT, "POST", 200, perf_counter() - began)
        start_response("200 OK", [*HEADERS, ("Content-Length", str(len(body))), ("X-Request-Id", request_id)])
        return (body,)

    def _taken(self, environ: WSGIEnvironment) -> dict[str, int] | None:
        """The answer to a report; None: it is not to be answered here."""
        token, length = bearer(environ), environ.get("CONTENT_LENGTH", "")
        if (
            token is None
            or environ["QUERY_STRING"]
            or environ.get("CONTENT_TYPE", "").lower() != JSON
            or not length.isdecimal()
            or not 0 < int(length) <= self._wiring.settings.max_body_bytes
        ):
            return None
        try:
            key = self._wiring.services.authenticate(token)
            return take(self._wiring, key, _report(environ, int(length))) if isinstance(key, SdkKey) else None
        except (ServiceError, ValidationError, strict_json.MalformedError, TypeError):
            return None


def _report(environ: WSGIEnvironment, length: int) -> dict[str, Any]:
    """The body, as the schema takes it. Raises MalformedError, ValidationError."""
    raw = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = BytesIO(raw)
    given = strict_json.loads(raw)
    if not isinstance(given, dict) or not REQUIRED <= given.keys() <= SCHEMA.fields.keys():
        raise ValidationError("the members are not those of a report")
    return {
        name: SCHEMA.fields[name].deserialize(value) if name in ALWAYS_NEW else _seen(name, type(value).__name__, value)
        for name, value in given.items()
    }


@lru_cache(maxsize=65536)
def _seen(name: str, kind: str, value: Any) -> Any:
    """What the schema's field makes of a value. A process sends the same ones again and again.

    `kind` tells 1 from true. Raises ValidationError, and TypeError for what cannot be remembered.
    """
    return SCHEMA.fields[name].deserialize(value)
