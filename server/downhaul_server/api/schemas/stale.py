"""Stale flags, and leaving them alone for a while."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open, PageQuery, page_of
from downhaul_server.api.schemas.fields import LONG_TEXT, Choice, Day, Strict, Text, environment_key, service_key


class StaleQuery(PageQuery):
    """Which ones."""

    environment = environment_key(
        metadata={"description": "When left out: the token's only one, else the server's default environment."}
    )
    service = service_key()
    snoozed = Choice(
        "true", "false", metadata={"description": "`true`: only those that are snoozed; `false`: only the others."}
    )


class SnoozeSchema(Strict):
    """Until when a flag is left alone, and why."""

    until = Day(required=True, metadata={"description": "The last day; within a year."})
    reason = Text(shortest=1, longest=LONG_TEXT, required=True)


class SnoozedSchema(Open):
    """A flag that is left alone."""

    service = base.String(required=True)
    flag = base.String(required=True)
    until = base.Date(required=True)
    reason = base.String(required=True)
    by = base.String(required=True)
    at = base.DateTime(required=True)


class StandingSnoozeSchema(Open):
    """Since when, until when, and why."""

    until = base.Date(required=True)
    reason = base.String(required=True)
    by = base.String(required=True)
    at = base.DateTime(required=True)


class StaleSchema(Open):
    """A flag that may be tidied away."""

    service = base.String(required=True)
    flag = base.String(required=True)
    environment = base.String(required=True)
    reason = base.String(required=True, metadata={"enum": ["expired", "unused", "one-sided"]})
    sentence = base.String(required=True)
    variant = base.String(required=True, allow_none=True, metadata={"description": "The only one that was served."})
    last_served = base.Date(required=True, allow_none=True, metadata={"description": "In the last 30 days."})
    owner = base.String(required=True)
    purpose = base.String(required=True)
    created_at = base.DateTime(required=True)
    expires = base.Date(required=True, allow_none=True)
    snoozed = base.Nested(StandingSnoozeSchema, required=True, allow_none=True)


StalePageSchema = page_of(StaleSchema)
