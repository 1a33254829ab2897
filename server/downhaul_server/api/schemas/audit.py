"""The state of the log."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open


class VerdictSchema(Open):
    """What a walk through the log has found."""

    whole = base.Boolean(required=True, metadata={"description": "Whether there is no fault."})
    epoch = base.String(required=True)
    revision = base.Integer(required=True, metadata={"description": "The newest that this server has served."})
    faults = base.List(base.String(), required=True, metadata={"description": "A sentence each, oldest first."})
