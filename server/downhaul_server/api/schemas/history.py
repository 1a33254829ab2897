"""The log, and the history of one flag."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import QUERY, Open, PageQuery, page_of
from downhaul_server.api.schemas.fields import Json, Key, Strict, Text, Time, environment_key, service_key
from downhaul_server.services import names

KINDS = ["service", "environment", "flag", "segment", "key", "person", "link", "hook", "review", "snooze"]


class DifferenceSchema(Open):
    """One difference; `path` is a JSON pointer into the document."""

    op = base.String(required=True, metadata={"enum": ["add", "remove", "replace"]})
    path = base.String(required=True)
    before = Json()
    after = Json()


class AppliedReviewSchema(Open):
    """The review that a commit applies."""

    id = base.String(required=True)
    author = base.String(required=True)
    approvers = base.List(base.String(), required=True)


class Happened(Open):
    """Who, when, why."""

    revision = base.Integer(required=True)
    at = base.DateTime(required=True)
    actor = base.String(required=True)
    action = base.String(required=True, metadata={"description": "Such as `flag.kill`."})
    reason = base.String(required=True, allow_none=True)
    review = base.Nested(AppliedReviewSchema, metadata={"description": "The review that it applies."})
    broke_glass = base.List(
        base.String(),
        metadata={"description": "Environments whose approvals the bootstrap administrator went past."},
    )


class FlagChangeSchema(Happened):
    """One change of a flag."""

    environment = base.String(
        required=True, allow_none=True, metadata={"description": "Null unless all of it happened in one."}
    )
    changes = base.List(base.Nested(DifferenceSchema), required=True)


class ChangedDocumentSchema(Open):
    """What a commit did to one document."""

    kind = base.String(
        required=True, metadata={"enum": ["service", "environment", "flag", "segment", "key", "hook", "person"]}
    )
    service = base.String(required=True, allow_none=True)
    key = base.String(required=True)
    name = base.String(allow_none=True, metadata={"description": "What people call it, where its key is an id."})
    changes = base.List(base.Nested(DifferenceSchema), required=True)


class ActorSchema(Open):
    """Who it was, to those who may audit everything."""

    name = base.String(required=True)
    kind = base.String(required=True, metadata={"description": "admin, token, person, link, sdk or system."})
    role = base.String(allow_none=True)
    token = base.String(allow_none=True, metadata={"description": "Id of the key, person or link."})
    address = base.String(allow_none=True, metadata={"description": "Where the request came from."})


class RefusedSchema(Open):
    """An attempt that was refused, or several of the same caller."""

    number = base.Integer(required=True)
    attempt = base.String(required=True, metadata={"description": "Such as `POST`."})
    target = base.String(required=True, metadata={"description": "The path; of unknown callers, its pattern."})
    detail = base.String(required=True)
    address = base.String(required=True, allow_none=True)
    count = base.Integer(required=True, metadata={"description": "How often, between `first` and `last`."})
    first = base.DateTime(required=True)
    last = base.DateTime(required=True)


class LogEntrySchema(Happened):
    """One commit."""

    documents = base.List(base.Nested(ChangedDocumentSchema), required=True)
    by = base.Nested(ActorSchema, allow_none=True, metadata={"description": "For those who may audit everything."})
    refused = base.Nested(RefusedSchema, metadata={"description": "Only of the action `refused`."})


FlagChangePageSchema = page_of(FlagChangeSchema)
LogEntryPageSchema = page_of(LogEntrySchema)


class LogFilters(Strict):
    """Which commits."""

    service = service_key()
    flag = Key(names.FLAG_NAME, metadata={"description": "With `service`, or as `service/flag`."})
    environment = environment_key()
    by = Text(longest=QUERY, metadata={"description": "Name of the actor."})
    action = Text(
        longest=QUERY,
        metadata={
            "description": "Such as `flag.kill`, or `flag` for all of them; `refused`: the attempts that were refused."
        },
    )
    since = Time(parsed=True, metadata={"description": "From this time on (RFC 3339)."})
    until = Time(parsed=True, metadata={"description": "Before this time (RFC 3339)."})


class LogQuery(LogFilters, PageQuery):
    """Which commits, a page of them at a time."""
