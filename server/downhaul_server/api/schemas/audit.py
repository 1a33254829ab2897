"""The state of the log."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open
from downhaul_server.api.schemas.fields import Json
from downhaul_server.api.schemas.history import LogFilters


class VerdictSchema(Open):
    """What a walk through the log has found."""

    whole = base.Boolean(required=True, metadata={"description": "Whether there is no fault."})
    epoch = base.String(required=True)
    revision = base.Integer(required=True, metadata={"description": "The newest that this server has served."})
    faults = base.List(base.String(), required=True, metadata={"description": "A sentence each, oldest first."})


class ExportQuery(LogFilters):
    """Which entries; all of them where nothing is said."""


class ExportLineSchema(Open):
    """A line of an export that is neither its head nor its end."""

    revision = base.Integer(metadata={"description": "Of refused attempts there is a `number` instead."})
    at = base.DateTime()
    at_ms = base.Integer()
    previous = base.String(allow_none=True, metadata={"description": "The `chain` of the entry before."})
    digest = base.String(metadata={"description": "SHA-256 of the body as it lies in the log."})
    chain = base.String(metadata={"description": "SHA-1 of `previous:revision:at_ms:digest`."})
    redacted = base.List(base.String(), metadata={"description": "JSON pointers to what is hidden in the body."})
    body = Json()
