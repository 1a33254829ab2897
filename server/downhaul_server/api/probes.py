"""For operators: is it alive, should it get requests, and its metrics. Public: they tell nothing about flags."""

from __future__ import annotations

from typing import Any

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST

from downhaul_server.api import problems
from downhaul_server.api.answers import json_answer
from downhaul_server.api.auth import public
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services, wiring
from downhaul_server.api.problems import ProblemError
from downhaul_server.api.schemas.operations import LiveSchema, ReadySchema

blueprint = Blueprint("operators", __name__, description="Probes and metrics. They need no token.")

PROMISE = ("survives_crash", "survives_failover", "replicas", "replicas_wanted", "replicas_confirmed")
SHOWN = ("state", "reason", "revision", "epoch", "age_s", "source")


@blueprint.operation("GET", "/livez")
@public
@blueprint.answers(200, LiveSchema)
def livez() -> Response:
    """The process answers. Says nothing about Redis: restarting would not help there."""
    return json_answer({"status": "ok"})


@blueprint.operation("GET", "/readyz", problems=(503,))
@public
@blueprint.answers(200, ReadySchema)
def readyz() -> Response:
    """Whether requests should be sent here.

    `ok`: Redis is followed. `degraded`: Redis is away, reads and polls go on from memory (or from the checkpoint: see
    `source`), writes fail. 503: nothing is loaded yet, or Redis holds another history than the one that was served.
    `durability` says what Redis promised when it was last asked.
    """
    health = services().health()
    shown = {name: health[name] for name in SHOWN}
    shown["durability"] = {name: health["durability"].get(name) for name in PROMISE}
    if health["state"] == "following":
        return json_answer({"status": "ok", **shown})
    if health["state"] == "away" and health["revision"] is not None:
        return json_answer({"status": "degraded", **shown})
    raise _unready(shown)


@blueprint.operation("GET", "/metrics")
@public
@blueprint.answers(200, content_type="text/plain", description="Prometheus's text format.")
def metrics() -> Response:
    """Metrics for Prometheus."""
    return Response(wiring().metrics.render(), content_type=CONTENT_TYPE_LATEST)


def _unready(shown: dict[str, Any]) -> ProblemError:
    detail = shown["reason"] or f"the store is {shown['state']}"
    return ProblemError(problems.UNAVAILABLE, detail, headers={"Retry-After": "1"}, **shown)
