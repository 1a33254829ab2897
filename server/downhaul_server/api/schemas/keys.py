"""SDK keys, client keys and API tokens."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open, PageQuery, page_of
from downhaul_server.api.schemas.fields import (
    Choice,
    Int,
    Items,
    Key,
    Strict,
    Text,
    Time,
    environment_key,
)
from downhaul_server.services import names
from downhaul_server.services.actors import ROLES
from downhaul_server.services.keys import LONGEST_OVERLAP_S, OVERLAP_S

KINDS = ("sdk", "client", "api")
SCOPE = r"\*|" + names.SERVICE_KEY


class KeyCreateSchema(Strict):
    """`sdk` and `client` need `environment`; `api` needs `role`, may have `environments`, `expires`. `*` means all."""

    kind = Choice(*KINDS, required=True)
    name = Text(shortest=1, required=True)
    services = Items(Key(SCOPE), least=1, most=1000)
    environment = environment_key(
        metadata={"description": "For `sdk` and `client`: the one whose flags they evaluate."}
    )
    role = Choice(*ROLES, metadata={"description": "For `api`."})
    environments = Items(Key(SCOPE), least=1, most=1000, metadata={"description": "For `api`."})
    expires = Time(allow_none=True, metadata={"description": "For `api`."})


class KeySchema(Open):
    """A key; never its token."""

    id = base.String(required=True)
    kind = Choice(*KINDS, required=True)
    name = base.String(required=True)
    services = base.List(base.String(), required=True)
    environment = base.String()
    role = base.String()
    environments = base.List(base.String())
    expires = base.DateTime(allow_none=True)
    created_at = base.DateTime(required=True)
    created_by = base.String(required=True)
    last_used = base.DateTime(
        required=True, allow_none=True, metadata={"description": "To about a minute; null: never, as far as is known."}
    )
    rotated_at = base.DateTime(metadata={"description": "When its token was rotated last."})
    previous_expires = base.DateTime(metadata={"description": "When the token before the current one ends, or ended."})


class KeyRotateSchema(Strict):
    """All of it may be left out."""

    overlap = Int(
        0,
        LONGEST_OVERLAP_S,
        metadata={
            "description": "Seconds for which the token before is good beside the new one.",
            "default": OVERLAP_S,
        },
    )


class NewKeySchema(KeySchema):
    """A new key with its token, this once."""

    token = base.String(required=True)


KeyPageSchema = page_of(KeySchema)


class KeyListQuery(PageQuery):
    """Which keys."""

    kind = Choice(*KINDS)
