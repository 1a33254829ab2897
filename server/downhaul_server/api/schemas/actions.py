"""Kill, restore and explain."""

from __future__ import annotations

from marshmallow import INCLUDE
from marshmallow import fields as base

from downhaul_server.api.schemas.common import LONGEST_WAIT_S, Open
from downhaul_server.api.schemas.fields import LONG_TEXT, Items, Json, Key, Map, Number, Strict, Text, environment_key
from downhaul_server.api.schemas.fields import service_key as service
from downhaul_server.api.schemas.fleet import AcknowledgementSchema
from downhaul_server.services import names

MOST_NAMED = 1000


class KillSchema(Strict):
    """All of it may be left out."""

    environment = environment_key(
        allow_none=True,
        metadata={"description": "When left out: the token's only one, else the server's default environment."},
    )
    reason = Text(longest=LONG_TEXT, allow_none=True, metadata={"description": "For the log, and for who looks next."})
    wait = Number(
        0,
        LONGEST_WAIT_S,
        metadata={"description": "Seconds to wait until every instance that is concerned has applied it."},
    )


class RestoreSchema(KillSchema):
    """Switching back on is the guarded act: it needs a reason."""

    reason = Text(shortest=1, longest=LONG_TEXT, required=True)


class SelectionSchema(Strict):
    """The flags of any of `services` with any of `tags` (both, where both are given), plus `flags`."""

    services = Items(service(), most=MOST_NAMED)
    tags = Items(Text(shortest=1, longest=100), most=MOST_NAMED)
    flags = Items(Key(names.FLAG_NAME), most=MOST_NAMED, metadata={"description": "Each as `service/key`."})


class KillManySchema(SelectionSchema, KillSchema):
    """Many at once, in one commit."""


class RestoreManySchema(SelectionSchema, RestoreSchema):
    """Many at once, in one commit."""


class DurabilitySchema(Open):
    """How safe a change is."""

    survives = base.String(
        required=True,
        metadata={
            "enum": ["failover", "crash", "uncertain"],
            "description": "The loss of Redis's primary; a crash of Redis; neither for certain.",
        },
    )
    replicas = base.Integer(required=True, allow_none=True, metadata={"description": "That have confirmed it."})
    replicas_wanted = base.Integer(required=True, metadata={"description": "That it waited for."})


class KilledSchema(AcknowledgementSchema):
    """What a kill or a restore did, and how far it has come."""

    revision = base.Integer(required=True, metadata={"description": "Of the commit, or of the kill that stood."})
    environment = base.String(required=True)
    flags = base.List(base.String(), required=True, metadata={"description": "Every flag that was meant."})
    changed = base.Boolean(required=True, metadata={"description": "False: all of them were as wanted already."})
    unchanged = base.List(base.String(), required=True)
    not_found = base.List(base.String(), required=True, metadata={"description": "Named, but there is no such thing."})
    durability = base.Nested(
        DurabilitySchema,
        required=True,
        allow_none=True,
        metadata={"description": "By now, also of a request that is repeated. null: it was as wanted already."},
    )


class ExplainSchema(Strict):
    """For whom, and where."""

    environment = environment_key(allow_none=True)
    context = Map(Text(longest=LONG_TEXT), Json(), most=1000)


class StepSchema(Open):
    """One step of the evaluation, with what it looked at as further members."""

    class Meta:
        unknown = INCLUDE

    step = base.String(required=True)
    passed = base.Boolean(
        required=True, metadata={"description": "Whether the evaluation went on; for a rule: whether it matched."}
    )
    detail = base.String(required=True)


class ExplanationSchema(Open):
    """What an instance would answer, and why."""

    flag = base.String(required=True)
    environment = base.String(required=True)
    value = Json(required=True)
    variant = base.String(required=True, allow_none=True)
    reason = base.String(required=True)
    rule = base.String(required=True, allow_none=True)
    error_code = base.String(required=True, allow_none=True)
    error_message = base.String(allow_none=True)
    revision = base.Integer(required=True)
    steps = base.List(base.Nested(StepSchema), required=True)
