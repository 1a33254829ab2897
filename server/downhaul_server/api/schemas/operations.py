"""What operators and instances read: status, probes, snapshots."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open
from downhaul_server.api.schemas.fields import Json, Key, Strict, service_key
from downhaul_server.api.schemas.fleet import PROCESS


class HealthSchema(Open):
    """How the store is, as the process that answers sees it."""

    state = base.String(required=True, metadata={"enum": ["following", "away", "diverged", "loading"]})
    reason = base.String(required=True, allow_none=True)
    revision = base.Integer(required=True, allow_none=True)
    epoch = base.String(required=True, allow_none=True)
    age_s = base.Float(
        required=True, allow_none=True, metadata={"description": "Seconds since Redis last confirmed what is served."}
    )
    source = base.String(required=True, allow_none=True, metadata={"enum": ["redis", "checkpoint", None]})


class ReadySchema(HealthSchema):
    """Whether requests should be sent here."""

    status = base.String(required=True, metadata={"enum": ["ok", "degraded"]})
    durability = base.Dict(required=True, metadata={"description": "What a crash and a failover of Redis keep."})


class StatusSchema(HealthSchema):
    """Health for people."""

    version = base.String(required=True, metadata={"description": "Of the server."})
    durability = base.Dict(required=True, metadata={"description": "What a crash and a failover of Redis keep."})
    durable = base.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether a crash of Redis loses nothing acknowledged; null where it does not tell."},
    )
    warnings = base.List(base.String(), required=True)


class LiveSchema(Open):
    """The process answers."""

    status = base.String(required=True, metadata={"enum": ["ok"]})


class SnapshotQuery(Strict):
    """Whose snapshot."""

    service = service_key(required=True)


class StreamQuery(SnapshotQuery):
    """Whose changes, and who wants to hear them."""

    process = Key(PROCESS, metadata={"description": "The process, as it names itself in its reports."})


class StreamEventSchema(Open):
    """One server-sent event of the stream."""

    id = base.String(metadata={"description": "`epoch:revision` after it: what `Last-Event-ID` takes."})
    event = base.String(required=True, metadata={"enum": ["snapshot", "change", "heartbeat", "end"]})
    retry = base.Integer(metadata={"description": "Milliseconds after which to come back; only with `end`."})
    data = base.String(required=True, metadata={"description": "JSON.", "contentMediaType": "application/json"})


class SnapshotSchema(Open):
    """All that one service needs in one environment, at one revision."""

    schema = base.Integer(required=True)
    epoch = base.String(required=True)
    revision = base.Integer(required=True)
    service = base.String(required=True)
    environment = base.String(required=True)
    flag_count = base.Integer(required=True)
    checksum = base.String(required=True)
    flags = base.Dict(keys=base.String(), values=Json(), required=True)
    segments = base.Dict(keys=base.String(), values=Json(), required=True)
