"""Reviews: a change that others approve before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, post_load
from marshmallow import fields as base

from downhaul_server.api.schemas.catalog import EnvironmentPatchSchema
from downhaul_server.api.schemas.common import Open, PageQuery, page_of
from downhaul_server.api.schemas.fields import (
    LONG_TEXT,
    Bool,
    Choice,
    Json,
    Key,
    Strict,
    Text,
    environment_key,
    service_key,
)
from downhaul_server.api.schemas.flags import FlagMergeSchema, FlagReplaceSchema, SegmentReplaceSchema, StatePatchSchema
from downhaul_server.api.schemas.history import DifferenceSchema
from downhaul_server.services import names
from downhaul_server.services.review_forms import STATUSES

SHAPES: Mapping[str, Mapping[str, type[Schema]]] = MappingProxyType(
    {
        "flag": {"replace": FlagReplaceSchema, "patch": FlagMergeSchema},
        "segment": {"replace": SegmentReplaceSchema},
        "environment": {"patch": EnvironmentPatchSchema},
    }
)
"""What `replace` and `patch` hold depends on what they are asked of."""


class StateChangeSchema(StatePatchSchema):
    """A change of one state; the reason is the review's."""

    class Meta:
        exclude = ("reason",)


class AskedChangeSchema(Strict):
    """Exactly one of these."""

    state = base.Nested(StateChangeSchema, metadata={"description": "Of a flag in `environment`."})
    replace = Json(allow_none=False, metadata={"description": "A whole flag or segment, as PUT takes it."})
    patch = Json(allow_none=False, metadata={"description": "Of a flag or an environment, as PATCH takes it."})
    delete = Bool(metadata={"description": "True: delete the flag or the environment."})
    restore = Bool(metadata={"description": "True: lift the flag's kill in `environment`."})


class ReviewOpenSchema(Strict):
    """Ask for a change of a flag (`service` and `flag`), of a segment, or of an environment itself."""

    service = service_key()
    flag = Key(names.FLAG_KEY)
    segment = Key(names.SEGMENT_KEY)
    environment = environment_key(
        metadata={"description": "Of `state` and `restore` (else the default one); or alone: what is to be changed."}
    )
    change = base.Nested(AskedChangeSchema, required=True)
    reason = Text(shortest=1, longest=LONG_TEXT, required=True)

    @post_load
    def _shaped(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        kind = "flag" if "flag" in data else "segment" if "segment" in data else "environment"
        for verb, schema in SHAPES[kind].items():
            if verb in data["change"]:
                try:
                    data["change"][verb] = schema().load(data["change"][verb])
                except ValidationError as error:
                    raise ValidationError({"change": {verb: error.messages}}) from None
        return data


class ReviewReasonSchema(Strict):
    """Why, for the log."""

    reason = Text(longest=LONG_TEXT, allow_none=True)


class ApprovalSchema(Open):
    """Who said yes, and when."""

    by = base.String(required=True)
    at = base.DateTime(required=True)


class ClosedSchema(Open):
    """Who ended it (by applying, rejecting or withdrawing it), when and why."""

    by = base.String(required=True)
    at = base.DateTime(required=True)
    reason = base.String(required=True, allow_none=True)


class ReviewSchema(Open):
    """A change that was asked for, what it would do, and who has approved it."""

    id = base.String(required=True)
    status = Choice(*STATUSES, required=True)
    service = base.String(required=True, allow_none=True)
    flag = base.String(required=True, allow_none=True)
    segment = base.String(required=True, allow_none=True)
    environment = base.String(required=True, allow_none=True)
    environments = base.List(
        base.String(), required=True, metadata={"description": "Where it changes what is evaluated."}
    )
    change = base.Dict(required=True)
    reason = base.String(required=True)
    author = base.String(required=True)
    at = base.DateTime(required=True)
    updated_at = base.DateTime(required=True)
    expires_at = base.DateTime(required=True)
    summary = base.List(base.String(), required=True, metadata={"description": "What it does, in plain sentences."})
    differences = base.List(base.Nested(DifferenceSchema), required=True)
    before = base.Dict(required=True, allow_none=True)
    after = base.Dict(required=True, allow_none=True)
    base_version = base.Integer(required=True)
    current = base.Dict(
        required=True, allow_none=True, metadata={"description": "With `stale`: what is there now, unlike `before`."}
    )
    moved = base.List(
        base.String(), required=True, metadata={"description": "With `stale`: what has changed since, in sentences."}
    )
    approvals = base.List(base.Nested(ApprovalSchema), required=True)
    approvals_needed = base.Integer(required=True)
    closed = base.Nested(ClosedSchema, required=True, allow_none=True)
    may = base.List(base.String(), required=True, metadata={"description": "What the caller could do with it now."})
    version = base.Integer(required=True, metadata={"description": "For `If-Match`: what the caller has looked at."})


ReviewPageSchema = page_of(ReviewSchema)


class ReviewListQuery(PageQuery):
    """Which reviews."""

    status = Choice(*STATUSES)
    service = service_key()
    environment = environment_key()
