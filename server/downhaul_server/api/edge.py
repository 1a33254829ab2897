"""For the edge: which variant a request belongs to (`/route`), and whether a pipeline may go on (`/gate`).

They are each other's opposite where there is no answer. A proxy asks about a visitor, who must not suffer from it: a
route is then answered 200, with the variant that the proxy calls its default. A pipeline asks before it does something,
and must not do it by accident: a gate is open only when the flag says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from flask import Flask, Response, request

from downhaul_server.api import problems
from downhaul_server.api.answers import PRIVATE, json_answer, none_match
from downhaul_server.api.asked import Asked, asked, default_in, in_header
from downhaul_server.api.auth import readers
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import Wiring, services, wiring
from downhaul_server.api.problems import ProblemError
from downhaul_server.api.schemas.edge import GateQuery, GateSchema, RouteQuery, RouteSchema
from downhaul_server.services import names
from downhaul_server.services.actors import Actor, SdkKey
from downhaul_server.services.decisions import Decision
from downhaul_server.services.errors import NotFound, Unavailable

blueprint = Blueprint("edge", __name__, description="Flags for proxies, pipelines and deployment tools.")

ROUTES = "/route/v1/"
ROUTE, GATE = "/route/v1/<service>/<flag>", "/gate/v1/<service>/<flag>"
VARIANT, REASON, ERROR = "X-Downhaul-Variant", "X-Downhaul-Reason", "X-Downhaul-Error"
OLD_S = 2.0
ASK_EACH_TIME = MappingProxyType({"Cache-Control": PRIVATE, "X-Accel-Expires": "@1"})
"""Whoever keeps it may use it while we are away, and only then: to nginx it is out of date from the beginning."""
NOT_TO_KEEP = MappingProxyType({"Cache-Control": "no-store", "X-Accel-Expires": "0"})
NOT_READY = "PROVIDER_NOT_READY"
NOT_FOUND = "FLAG_NOT_FOUND"

HEADERS = {
    VARIANT: {
        "description": "The variant: on every answer, an error too. Empty where there is none and no `default`.",
        "required": True,
        "schema": {"type": "string"},
    },
    REASON: {"description": "Why, as in the body.", "schema": {"type": "string"}},
    ERROR: {"description": "The error code, where the reason is `ERROR`.", "schema": {"type": "string"}},
    "ETag": {"description": "Of the whole answer: a strong validator.", "schema": {"type": "string"}},
    "X-Accel-Expires": {
        "description": "For nginx: `@1`, to be kept for when there is no answer; `0`, not to be kept.",
        "schema": {"type": "string"},
    },
    "Age": {
        "description": "Whole seconds since Redis last confirmed what is decided by; only from 2 on.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
}


def register(app: Flask) -> None:
    """Every answer under `/route` names a variant: whoever copies the header never copies that of a visitor."""

    def name_variant(response: Response) -> Response:
        if request.path.startswith(ROUTES) and VARIANT not in response.headers:
            response.headers[VARIANT] = in_header(default_in(request.environ))
        return response

    app.after_request(name_variant)


@blueprint.operation("GET", ROUTE, versioned=True, problems=(400, 422))
@readers
@blueprint.documented_query(RouteQuery)
@blueprint.answers(200, RouteSchema, headers=HEADERS)
def get_route(holder: Actor | SdkKey, service: str, flag: str) -> Response:
    """Which variant a request gets: in the header `X-Downhaul-Variant`, for `auth_request`, `forwardAuth` and the like.

    The context's attributes are the other parameters of the query, as texts, and the headers `X-Downhaul-User` and
    `X-Downhaul-Attribute-...`. Fails open: where there is no such flag, or nothing is loaded yet, the answer is 200
    with the variant that `default` names.
    """
    if not re.fullmatch(names.SERVICE_KEY, service) or not re.fullmatch(names.FLAG_KEY, flag):
        raise NotFound("flag", service, flag)  # nor can there ever be one
    wanted = asked(request.environ)
    try:
        decision = services().decisions.decide(holder, service, flag, wanted.context, wanted.environment)
    except NotFound as error:
        return _open(wanted, service, flag, NOT_FOUND, str(error))
    except Unavailable as error:
        return _open(wanted, service, flag, NOT_READY, str(error))
    body, headers = route_answer(wiring(), decision, request.headers.get("If-None-Match"))
    if body is None:
        return Response(status=304, headers=headers)
    return Response(body, headers=headers, content_type="application/json")


@blueprint.operation("GET", GATE, problems=(400, 422))
@readers
@blueprint.documented_query(GateQuery)
@blueprint.answers(200, GateSchema)
def get_gate(holder: Actor | SdkKey, service: str, flag: str) -> Response:
    """Whether a pipeline may go on: 200 when the flag is on, 403 (`gate-closed`) when it is not.

    On is the value `true`, or with `variant` that variant. Fails closed: no such flag is 404, and nothing loaded 503.
    The context is given as for `/route`.
    """
    return _gate(holder, service, flag)


@blueprint.operation("POST", GATE, operation_id=False)
@readers
@blueprint.documented_query(GateQuery)
@blueprint.answers(200, GateSchema)
def call_gate(holder: Actor | SdkKey, service: str, flag: str) -> Response:
    """The same, for tools that can only POST, such as Flagger's webhooks. The body is not looked at."""
    return _gate(holder, service, flag)


def route_answer(room: Wiring, decision: Decision, known: str | None) -> tuple[bytes | None, dict[str, str]]:
    """Body and headers of the answer to a route that was decided; counted.

    `known`: If-None-Match. No body: 304, for what the client has is the same answer.
    """
    error = str(decision.error_code) if decision.error_code else None
    room.metrics.routed(decision.service, decision.flag, decision.variant, error or str(decision.reason))
    headers = {VARIANT: in_header(decision.variant), REASON: str(decision.reason), **ASK_EACH_TIME}
    if error:
        headers[ERROR] = error
    age_s = room.services.decisions.age_s
    if age_s >= OLD_S:
        headers["Age"] = str(int(age_s))
    body = _json(_shown(decision))
    headers["ETag"] = f'"{blake2b(body, digest_size=9).hexdigest()}"'
    return (None if none_match(known, headers["ETag"]) else body), headers


def _gate(holder: Actor | SdkKey, service: str, flag: str) -> Response:
    wanted = asked(request.environ)
    decision = services().decisions.decide(holder, service, flag, wanted.context, wanted.environment)
    if wanted.variant is None and decision.type != "boolean":
        fault = problems.in_query(
            ("variant",), f"expected the variant that opens it: the flag's type is {decision.type}"
        )
        raise ProblemError(problems.INVALID, f"variant: {fault['detail']}", errors=[fault])
    is_open = decision.value is True if wanted.variant is None else decision.variant == wanted.variant
    if is_open:
        return json_answer({"open": True, **_shown(decision)})
    detail = f"{service}/{flag} is {decision.variant} in {decision.environment}: {decision.reason}"
    raise ProblemError(
        problems.GATE_CLOSED,
        detail,
        variant=decision.variant,
        reason=str(decision.reason),
        revision=decision.revision,
    )


def _open(wanted: Asked, service: str, flag: str, code: str, message: str) -> Response:
    """Nobody is kept out because a flag is not there."""
    wiring().metrics.routed(None, None, None, code)
    shown = {
        "service": service,
        "flag": flag,
        "environment": None,
        "variant": wanted.default or None,
        "value": None,
        "reason": "ERROR",
        "rule": None,
        "error_code": code,
        "error_message": message,
        "revision": None,
    }
    headers = {VARIANT: in_header(wanted.default), REASON: "ERROR", ERROR: code, **NOT_TO_KEEP}
    return Response(_json(shown), headers=headers, content_type="application/json")


def _shown(decision: Decision) -> dict[str, Any]:
    return {
        "service": decision.service,
        "flag": decision.flag,
        "environment": decision.environment,
        "variant": decision.variant,
        "value": decision.value,
        "reason": str(decision.reason),
        "rule": decision.rule,
        "error_code": str(decision.error_code) if decision.error_code else None,
        "revision": decision.revision,
    }


def _json(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode("ascii")
