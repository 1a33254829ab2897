"""Webhooks."""

from __future__ import annotations

from marshmallow import fields as base

from downhaul_server.api.schemas.common import LARGEST_PAGE, Open, SentBack, Stored, page_of
from downhaul_server.api.schemas.fields import Bool, Choice, Int, Items, Json, Key, QueryInt, Strict, Text, Time
from downhaul_server.services import names
from downhaul_server.services.hook_documents import FORMATS, LONGEST_URL, MOST_PATTERNS, MOST_PLACES, PATTERN
from downhaul_server.services.hooks import LONGEST_OVERLAP_S, OVERLAP_S

SCOPE = r"\*|" + names.SERVICE_KEY
URL = {"description": "https; plain http only to what DOWNHAUL_WEBHOOK_ALLOW names. Chat tools' addresses are secret."}
EVENTS = {"description": "Actions of the log, such as `flag.kill`, `flag.*` or `*`. Default: `flag.*`."}
ENABLED = {"description": "Switched on again, it is told what happens from then on. Default: true."}


def _events(**options: object) -> Items:
    return Items(Key(PATTERN), least=1, most=MOST_PATTERNS, metadata=EVENTS, **options)


def _places(**options: object) -> Items:
    return Items(Key(SCOPE), least=1, most=MOST_PLACES, **options)


class WebhookCreateSchema(Strict):
    """Whom to tell what. `*` means all, which is the default."""

    name = Text(shortest=1, required=True)
    url = Text(shortest=1, longest=LONGEST_URL, required=True, metadata=URL)
    format = Choice(*FORMATS)
    events = _events()
    services = _places()
    environments = _places()
    enabled = Bool(metadata=ENABLED)


class WebhookPatchSchema(SentBack):
    """What is left out stays; null gives a member its default again."""

    name = Text(shortest=1)
    url = Text(shortest=1, longest=LONGEST_URL, metadata=URL)
    format = Choice(*FORMATS, allow_none=True)
    events = _events(allow_none=True)
    services = _places(allow_none=True)
    environments = _places(allow_none=True)
    enabled = Bool(allow_none=True, metadata=ENABLED)
    id = Text(metadata={"readOnly": True})
    created_by = Text(metadata={"readOnly": True})
    rotated_at = Time(metadata={"readOnly": True})
    disabled = Json(metadata={"readOnly": True})
    since = Int(0, 2**53, metadata={"readOnly": True})
    status = Json(metadata={"readOnly": True})


class DisabledSchema(Open):
    """Why it is switched off."""

    at = base.DateTime(required=True)
    reason = base.String(required=True)


class WebhookSchema(Stored):
    """A webhook; never its secret."""

    id = base.String(required=True)
    name = base.String(required=True)
    url = base.String(required=True)
    format = Choice(*FORMATS, required=True)
    events = base.List(base.String(), required=True)
    services = base.List(base.String(), required=True)
    environments = base.List(base.String(), required=True)
    enabled = base.Boolean(required=True)
    disabled = base.Nested(DisabledSchema, required=True, allow_none=True)
    since = base.Integer(required=True, metadata={"description": "It is told what happened after this revision."})
    created_by = base.String(required=True)
    rotated_at = base.DateTime(metadata={"description": "When its secret was rotated last."})


class LastDeliverySchema(Open):
    """The last event that has arrived."""

    at = base.DateTime(required=True)
    revision = base.Integer(required=True)
    status = base.Integer(required=True)


class LastErrorSchema(Open):
    """The last attempt that failed."""

    at = base.DateTime(required=True)
    status = base.Integer(required=True, allow_none=True)
    error = base.String(required=True)


class WebhookStatusSchema(Open):
    """How it fares."""

    position = base.Integer(required=True, metadata={"description": "It is done with everything up to this revision."})
    pending = base.Integer(required=True, metadata={"description": "Events that wait."})
    pending_at_least = base.Boolean(required=True, metadata={"description": "There may be more of them."})
    last_delivery = base.Nested(LastDeliverySchema, required=True, allow_none=True)
    last_error = base.Nested(LastErrorSchema, required=True, allow_none=True)
    failing_since = base.DateTime(required=True, allow_none=True)
    attempts = base.Integer(required=True, metadata={"description": "For the event that is to be sent next."})
    next_attempt_at = base.DateTime(required=True, allow_none=True)
    skipped = base.Integer(
        required=True, metadata={"description": "Events given up because the receiver refused them for an hour."}
    )
    missed = base.Integer(
        required=True, metadata={"description": "Revisions that were lost with a Redis that came back without them."}
    )


class WebhookWithStatusSchema(WebhookSchema):
    """A webhook, and how it fares."""

    status = base.Nested(WebhookStatusSchema, required=True)


class NewWebhookSchema(WebhookSchema):
    """A webhook with a new secret, this once."""

    secret = base.String(required=True, metadata={"description": "`whsec_...`, as Standard Webhooks has it."})


class RotateSchema(Strict):
    """How long the old secret signs beside the new one."""

    overlap = Int(
        0,
        LONGEST_OVERLAP_S,
        load_default=OVERLAP_S,
        metadata={"description": f"Seconds; {OVERLAP_S} when left out, 0 to end the old one at once."},
    )


class WebhookTestSchema(Open):
    """What came back."""

    delivered = base.Boolean(required=True)
    status = base.Integer(required=True, allow_none=True)
    error = base.String(
        required=True, allow_none=True, metadata={"description": "Why there was no answer; null when there was one."}
    )
    answer = base.String(
        required=True, metadata={"description": "The first 200 characters, when the receiver did not take it."}
    )
    duration_ms = base.Integer(required=True)


class DeliverySchema(Open):
    """One attempt."""

    at = base.DateTime(required=True)
    id = base.String(required=True, metadata={"description": "The `webhook-id`, the same for every attempt."})
    type = base.String(required=True)
    revision = base.Integer(required=True, allow_none=True)
    attempt = base.Integer(required=True)
    outcome = Choice("delivered", "failed", "skipped", "given-up", required=True)
    status = base.Integer(required=True, allow_none=True)
    error = base.String(required=True, allow_none=True)
    duration_ms = base.Integer(required=True)


class DeliveriesQuery(Strict):
    """How many."""

    limit = QueryInt(1, LARGEST_PAGE, load_default=LARGEST_PAGE, metadata={"description": "The most to answer."})


WebhookPageSchema = page_of(WebhookWithStatusSchema)
DeliveryPageSchema = page_of(DeliverySchema)
