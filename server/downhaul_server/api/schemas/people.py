"""People, what they may do, and where they are logged in."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import Open, SearchQuery, SentBack, Stored, page_of
from downhaul_server.api.schemas.fields import Bool, Choice, Items, Key, Strict, Text
from downhaul_server.services import names
from downhaul_server.services.grants import GRANTS_MAX, ROLES_OF_PEOPLE
from downhaul_server.services.people_forms import LOGIN

SCOPE = r"\*|" + names.SERVICE_KEY
READ_ONLY = {"readOnly": True}


class GrantSchema(Strict):
    """A role, and where it holds: everywhere, when nothing is named."""

    role = Choice(*ROLES_OF_PEOPLE, required=True)
    services = Items(Key(SCOPE), least=1, most=1000)
    environments = Items(Key(SCOPE), least=1, most=1000)


class PersonCreateSchema(Strict):
    """A local person."""

    login = Key(LOGIN, longest=100, required=True)
    name = Text(shortest=1)
    email = Text()
    grants = Items(base.Nested(GrantSchema), most=GRANTS_MAX)


class PersonPatchSchema(SentBack):
    """What is to change. Of whom the provider of identities knows, only `disabled`."""

    name = Text(shortest=1)
    email = Text()
    grants = Items(base.Nested(GrantSchema), most=GRANTS_MAX)
    disabled = Bool()
    id = Text(metadata=READ_ONLY)
    login = Text(metadata=READ_ONLY)
    source = Text(metadata=READ_ONLY)
    issuer = Text(longest=1000, metadata=READ_ONLY)
    subject = Text(longest=255, metadata=READ_ONLY)
    password_set_at = Text(metadata=READ_ONLY)
    must_change = Bool(metadata=READ_ONLY)
    created_by = Text(metadata=READ_ONLY)


class PersonSchema(Stored):
    """A person; never a password."""

    id = base.String(required=True)
    login = base.String(required=True)
    name = base.String(required=True)
    email = base.String(required=True)
    source = base.String(required=True, metadata={"enum": ["local", "oidc"]})
    grants = base.List(base.Nested(GrantSchema), required=True)
    disabled = base.Boolean(required=True)
    must_change = base.Boolean(metadata={"description": "They have to choose a password when they log in next."})
    password_set_at = base.DateTime()
    issuer = base.String()
    subject = base.String()
    created_by = base.String(required=True)


class NewPersonSchema(PersonSchema):
    """A person with their first password, this once."""

    password = base.String(required=True)


PersonPageSchema = page_of(PersonSchema)


class PersonListQuery(SearchQuery):
    """Which people: `query` looks into login, name and email."""


class SessionSchema(Open):
    """Where somebody is logged in."""

    id = base.String(required=True)
    at = base.DateTime(required=True, metadata={"description": "When they logged in."})
    seen = base.DateTime(required=True, metadata={"description": "When it was used last, to a minute."})
    expires = base.DateTime(required=True)
    address = base.String(required=True, allow_none=True)
    agent = base.String(required=True, metadata={"description": "What the browser said that it is."})
    current = base.Boolean(required=True, metadata={"description": "Whether the request came with this one."})


SessionPageSchema = page_of(SessionSchema)
