"""Drills."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.actions import MOST_NAMED
from downhaul_server.api.schemas.common import LONGEST_WAIT_S, Open, page_of
from downhaul_server.api.schemas.fields import Items, Number, Strict, environment_key, service_key
from downhaul_server.api.schemas.fleet import LatencySchema, StragglerSchema


class DrillCreateSchema(Strict):
    """All of it may be left out."""

    environment = environment_key(
        allow_none=True,
        metadata={"description": "When left out: the token's only one, else the server's default environment."},
    )
    services = Items(
        service_key(), most=MOST_NAMED, metadata={"description": "When left out: all that the token reaches."}
    )
    wait = Number(0, LONGEST_WAIT_S, metadata={"description": "Seconds in which all are to obey; 10 when left out."})


class DrilledSchema(Open):
    """How a service has done."""

    service = base.String(required=True)
    instances = base.Integer(required=True)
    applied = base.Integer(required=True)
    confirmed = base.Boolean(required=True)
    stragglers = base.List(base.Nested(StragglerSchema), required=True)
    latency_ms = base.Nested(LatencySchema, required=True, allow_none=True)
    error = base.String(metadata={"description": "Why the service was left out; only there when it was."})


class DrillSchema(Open):
    """A drill."""

    id = base.String(required=True)
    environment = base.String(required=True)
    revision = base.Integer(required=True, metadata={"description": "Of the kill."})
    committed_at = base.DateTime(required=True)
    confirmed = base.Boolean(required=True, metadata={"description": "Every service has, and none was left out."})
    services = base.List(base.Nested(DrilledSchema), required=True)


class LastDrillSchema(DrilledSchema):
    """The last drill of one service in one environment."""

    id = base.String(required=True)
    environment = base.String(required=True)
    revision = base.Integer(required=True)
    committed_at = base.DateTime(required=True)
    by = base.String(required=True, metadata={"description": "Who ran it; `downhaul-server` for the schedule."})
    age_s = base.Float(required=True)


DrillPageSchema = page_of(LastDrillSchema)
