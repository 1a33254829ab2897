"""Flags: as they are made, replaced and patched, and as they are answered."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as base

from downhaul_server.api.schemas.common import QUERY, READ_ONLY, Open, PageQuery, SentBack, Stored, page_of
from downhaul_server.api.schemas.conditions import Condition, RuleSchema, Serve
from downhaul_server.api.schemas.fields import (
    LONG_TEXT,
    Bool,
    Choice,
    Day,
    Items,
    Json,
    Key,
    Map,
    Number,
    Strict,
    Text,
    environment_key,
    service_key,
)
from downhaul_server.api.schemas.fleet import WAITED, AcknowledgementSchema
from downhaul_server.services import names
from downhaul_server.services.metadata import PURPOSES

TYPES = ("boolean", "string", "number", "json")
CLIENT = {"description": "Whether client keys may evaluate it: whoever has such a key, as every browser does, sees it."}
TOLD = {"description": "Texts, numbers, true and false, told with each evaluation. They decide nothing."}
STATES = ("on", "off", "killed", "partly")
MOST_RULES = 1000


def variant_name(**options: Any) -> Text:
    """A variant's name."""
    return Text(shortest=1, longest=100, **options)


class StandingKillSchema(Open):
    """A kill that stands."""

    at = base.DateTime(required=True)
    by = base.String(required=True)
    reason = base.String(required=True, allow_none=True)


class RequirementSchema(Strict):
    """Another flag must have one of these variants."""

    flag = Key(names.FLAG_NAME, required=True, metadata={"description": "`key`, or `service/key`."})
    variants = Items(variant_name(), least=1, most=100, required=True)


class StateInSchema(Strict):
    """A flag in one environment. What is left out has its default: off, no rules."""

    on = Bool()
    killed = Json(
        metadata=READ_ONLY | {"description": "Ignored when it is sent back as it came: kills have their own endpoint."}
    )
    rules = Items(base.Nested(RuleSchema), most=MOST_RULES)
    otherwise = Serve()


class FlagPartsSchema(SentBack):
    """All that can be said of a flag."""

    service = Text(metadata=READ_ONLY)
    salt = Text(longest=LONG_TEXT, metadata=READ_ONLY)
    description = Text(longest=LONG_TEXT)
    owner = Text()
    purpose = Choice(*PURPOSES)
    tags = Items(Text(shortest=1, longest=100), most=100)
    expires = Day(allow_none=True)
    client = Bool(metadata=CLIENT)
    variants = Map(variant_name(), Json(), least=1, most=100)
    off_variant = variant_name()
    requires = Items(base.Nested(RequirementSchema), most=100)
    metadata = Map(variant_name(), Json(), most=100, metadata=TOLD)
    environments = Map(environment_key(), base.Nested(StateInSchema), most=100)


class FlagCreateSchema(FlagPartsSchema):
    """A new flag. A boolean one has the variants `on` and `off`; others need `variants` and `off_variant`."""

    key = Key(names.FLAG_KEY, required=True)
    type = Choice(*TYPES, required=True)


class FlagReplaceSchema(FlagPartsSchema):
    """A whole flag; the address gives its key."""

    key = Key(names.FLAG_KEY)
    type = Choice(*TYPES, required=True)


class StateMergeSchema(Strict):
    """A state in a merge patch: null gives a member its default again."""

    on = Bool(allow_none=True)
    killed = Json(metadata=READ_ONLY)
    rules = Items(base.Nested(RuleSchema), most=MOST_RULES, allow_none=True)
    otherwise = Serve(allow_none=True)


class FlagMergeSchema(SentBack):
    """A merge patch (RFC 7396): members that are left out stay, null gives one its default again."""

    key = Key(names.FLAG_KEY)
    type = Choice(*TYPES)
    service = Text(metadata=READ_ONLY)
    salt = Text(longest=LONG_TEXT, metadata=READ_ONLY)
    description = Text(longest=LONG_TEXT, allow_none=True)
    owner = Text(allow_none=True)
    purpose = Choice(*PURPOSES, allow_none=True)
    tags = Items(Text(shortest=1, longest=100), most=100, allow_none=True)
    expires = Day(allow_none=True)
    client = Bool(allow_none=True, metadata=CLIENT)
    variants = Map(variant_name(), Json(), most=100, allow_none=True)
    off_variant = variant_name(allow_none=True)
    requires = Items(base.Nested(RequirementSchema), most=100, allow_none=True)
    metadata = Map(variant_name(), Json(), most=100, allow_none=True, metadata=TOLD)
    environments = Map(environment_key(), base.Nested(StateMergeSchema, allow_none=True), most=100, allow_none=True)


class StatePatchSchema(Strict):
    """A change of one state: any of `on`, `rules`, `otherwise`, or the short form `rollout` with `by`."""

    on = Bool()
    rules = Items(base.Nested(RuleSchema), most=MOST_RULES)
    otherwise = Serve()
    rollout = Number(0, 100, metadata={"description": "Percent, up to three decimals: sets `otherwise` to a split."})
    by = Text(shortest=1, metadata={"description": "With `rollout`: the attribute to split by."})
    reason = Text(longest=LONG_TEXT, allow_none=True, metadata={"description": "For the log."})


class StateSchema(Open):
    """A flag in one environment."""

    on = base.Boolean(required=True)
    killed = base.Nested(StandingKillSchema, required=True, allow_none=True)
    rules = base.List(base.Nested(RuleSchema), required=True)
    otherwise = Serve(required=True)


class FlagSchema(Stored):
    """A flag, every environment filled in."""

    key = Key(names.FLAG_KEY, required=True)
    service = service_key(required=True)
    type = Choice(*TYPES, required=True)
    description = base.String(required=True)
    owner = base.String(required=True)
    purpose = Choice(*PURPOSES, required=True)
    tags = base.List(base.String(), required=True)
    expires = base.Date(required=True, allow_none=True)
    client = base.Boolean(required=True, metadata=CLIENT)
    salt = base.String(required=True)
    variants = base.Dict(keys=base.String(), values=Json(), required=True)
    off_variant = base.String(required=True)
    requires = base.List(base.Nested(RequirementSchema), required=True)
    metadata = base.Dict(keys=base.String(), values=Json(), required=True, metadata=TOLD)
    environments = base.Dict(keys=environment_key(), values=base.Nested(StateSchema), required=True)


FlagPageSchema = page_of(FlagSchema)


class WrittenFlagSchema(FlagSchema):
    """A flag as a change has left it."""

    acknowledgement = base.Nested(AcknowledgementSchema, metadata=WAITED)


class FlagListQuery(PageQuery):
    """Which flags."""

    tag = Text(longest=QUERY, metadata={"description": "Only flags with this tag."})
    state = Choice(*STATES, metadata={"description": "Only flags in this state; `partly`: on, but not for all alike."})
    environment = environment_key(metadata={"description": "Where `state` is looked at."})
    query = Text(longest=QUERY, metadata={"description": "Only flags with this text in key or description."})
    owner = Text(longest=QUERY)
    purpose = Choice(*PURPOSES)


class SegmentCreateSchema(SentBack):
    """A new segment."""

    key = Key(names.SEGMENT_KEY, required=True)
    name = Text()
    when = Condition(required=True)


class SegmentReplaceSchema(SentBack):
    """A whole segment; the address gives its key."""

    key = Key(names.SEGMENT_KEY)
    name = Text()
    when = Condition(required=True)


class SegmentSchema(Stored):
    """A named condition."""

    key = Key(names.SEGMENT_KEY, required=True)
    name = base.String(required=True)
    when = Condition(required=True)


SegmentPageSchema = page_of(SegmentSchema)


class WrittenSegmentSchema(SegmentSchema):
    """A segment as a change has left it."""

    acknowledgement = base.Nested(AcknowledgementSchema, metadata=WAITED)
