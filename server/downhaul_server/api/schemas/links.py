"""Kill links."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open, page_of
from downhaul_server.api.schemas.fields import Key, Strict, Text, Time, environment_key, service_key
from downhaul_server.services import names


class LinkCreateSchema(Strict):
    """One flag in one environment."""

    name = Text(shortest=1, required=True, metadata={"description": "Where it will lie: the log has it."})
    service = service_key(required=True)
    flag = Key(names.FLAG_KEY, required=True)
    environment = environment_key(required=True)
    expires_at = Time(allow_none=True, metadata={"description": "When it ends; left out: never."})


class LinkSchema(Open):
    """A kill link; never its address."""

    id = base.String(required=True)
    name = base.String(required=True)
    service = base.String(required=True)
    flag = base.String(required=True)
    environment = base.String(required=True)
    expires_at = base.DateTime(required=True, allow_none=True)
    created_at = base.DateTime(required=True)
    created_by = base.String(required=True)
    last_used = base.DateTime(
        required=True, allow_none=True, metadata={"description": "To about a minute; null: never, as far as is known."}
    )


class NewLinkSchema(LinkSchema):
    """A new kill link with its address, this once."""

    url = base.String(required=True, metadata={"description": "A GET shows what it is for, a POST kills."})
    token = base.String(required=True, metadata={"description": "What its address ends with."})


LinkPageSchema = page_of(LinkSchema)
