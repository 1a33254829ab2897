"""Services and environments."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import SentBack, Stored, page_of
from downhaul_server.api.schemas.fields import Text, environment_key, service_key


class ServiceCreateSchema(SentBack):
    """A new service; its name is its key when none is given."""

    key = service_key(required=True)
    name = Text(shortest=1)


class EnvironmentCreateSchema(SentBack):
    """A new environment; its name is its key when none is given."""

    key = environment_key(required=True)
    name = Text(shortest=1)


class RenameSchema(SentBack):
    """A merge patch: the name is what can be changed."""

    key = service_key(metadata={"readOnly": True})
    name = Text(shortest=1)


class ServiceSchema(Stored):
    """What flags belong to."""

    key = service_key(required=True)
    name = base.String(required=True)


class EnvironmentSchema(Stored):
    """Where flags have a state."""

    key = environment_key(required=True)
    name = base.String(required=True)


ServicePageSchema = page_of(ServiceSchema)
EnvironmentPageSchema = page_of(EnvironmentSchema)
