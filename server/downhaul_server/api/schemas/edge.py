"""What proxies and pipelines ask, and are told."""

from __future__ import annotations

from marshmallow import INCLUDE, Schema
from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open
from downhaul_server.api.schemas.fields import Json

ENVIRONMENT = "An API token's: which environment. An SDK key has its own, and may name no other."


class EdgeQuery(Schema):
    """Whom it is about: every other parameter is an attribute of the context."""

    class Meta:
        unknown = INCLUDE

    environment = base.String(metadata={"description": ENVIRONMENT})
    user = base.String(metadata={"description": "The user, by whom flags are usually split."})


class RouteQuery(EdgeQuery):
    """And what to say where there is no answer."""

    default = base.String(metadata={"description": "The variant where there is no such flag, or nothing is loaded."})


class GateQuery(EdgeQuery):
    """And what opens it."""

    variant = base.String(metadata={"description": "The variant that opens it, for a flag that is not boolean."})


class DecisionSchema(Open):
    """What a flag is for a context."""

    service = base.String(required=True)
    flag = base.String(required=True)
    environment = base.String(required=True, allow_none=True)
    variant = base.String(required=True, allow_none=True)
    value = Json(required=True, allow_none=True)
    reason = base.String(required=True)
    rule = base.String(required=True, allow_none=True, metadata={"description": "Name of the rule that decided."})
    error_code = base.String(required=True, allow_none=True)
    revision = base.Integer(required=True, allow_none=True)


class RouteSchema(DecisionSchema):
    """Which variant a request gets."""

    error_message = base.String(metadata={"description": "Only where there is no answer."})


class GateSchema(DecisionSchema):
    """The gate is open."""

    open = base.Boolean(required=True)
