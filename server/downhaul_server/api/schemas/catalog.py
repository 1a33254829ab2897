"""Services and environments."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import SentBack, Stored, page_of
from downhaul_server.api.schemas.fields import Bool, Int, Text, environment_key, service_key
from downhaul_server.services.protection import MOST_APPROVALS


class ServiceCreateSchema(SentBack):
    """A new service; its name is its key when none is given."""

    key = service_key(required=True)
    name = Text(shortest=1)


class EnvironmentPartsSchema(SentBack):
    """How an environment is protected."""

    name = Text(shortest=1)
    protected = Bool(metadata={"description": "Whether a change of what is evaluated there needs a reason."})
    approvals = Int(
        0, MOST_APPROVALS, metadata={"description": "How many others must approve it; only where it is protected."}
    )
    review_days = Int(1, 90, metadata={"description": "For how many days a review of such a change stays open."})


class EnvironmentCreateSchema(EnvironmentPartsSchema):
    """A new environment; its name is its key when none is given."""

    key = environment_key(required=True)


class EnvironmentPatchSchema(EnvironmentPartsSchema):
    """A merge patch. Protecting less needs a reason, and a review where the environment demands approvals."""

    key = environment_key(metadata={"readOnly": True})


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
    protected = base.Boolean(required=True)
    approvals = base.Integer(required=True)
    review_days = base.Integer(required=True)


ServicePageSchema = page_of(ServiceSchema)
EnvironmentPageSchema = page_of(EnvironmentSchema)
