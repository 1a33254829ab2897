"""The log, and the history of one flag."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import QUERY, Open, PageQuery, page_of
from downhaul_server.api.schemas.fields import Json, Key, Text, Time, environment_key, service_key
from downhaul_server.services import names


class DifferenceSchema(Open):
    """One difference; `path` is a JSON pointer into the document."""

    op = base.String(required=True, metadata={"enum": ["add", "remove", "replace"]})
    path = base.String(required=True)
    before = Json()
    after = Json()


class Happened(Open):
    """Who, when, why."""

    revision = base.Integer(required=True)
    at = base.DateTime(required=True)
    actor = base.String(required=True)
    action = base.String(required=True, metadata={"description": "Such as `flag.kill`."})
    reason = base.String(required=True, allow_none=True)


class FlagChangeSchema(Happened):
    """One change of a flag."""

    environment = base.String(
        required=True, allow_none=True, metadata={"description": "Null unless all of it happened in one."}
    )
    changes = base.List(base.Nested(DifferenceSchema), required=True)


class ChangedDocumentSchema(Open):
    """What a commit did to one document."""

    kind = base.String(required=True, metadata={"enum": ["service", "environment", "flag", "segment", "key", "hook", "person"]})
    service = base.String(required=True, allow_none=True)
    key = base.String(required=True)
    changes = base.List(base.Nested(DifferenceSchema), required=True)


class LogEntrySchema(Happened):
    """One commit."""

    documents = base.List(base.Nested(ChangedDocumentSchema), required=True)


FlagChangePageSchema = page_of(FlagChangeSchema)
LogEntryPageSchema = page_of(LogEntrySchema)


class LogQuery(PageQuery):
    """Which commits."""

    service = service_key()
    flag = Key(names.FLAG_NAME, metadata={"description": "With `service`, or as `service/flag`."})
    environment = environment_key()
    by = Text(longest=QUERY, metadata={"description": "Name of the actor."})
    action = Text(longest=QUERY, metadata={"description": "Such as `flag.kill`, or `flag` for all of them."})
    since = Time(parsed=True, metadata={"description": "From this time on (RFC 3339)."})
    until = Time(parsed=True, metadata={"description": "Before this time (RFC 3339)."})
