"""Webhooks: whom to tell what happens."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from downhaul_server.api.answers import document_answer, if_match, json_answer, no_content, operation, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.openapi import ETAG
from downhaul_server.api.schemas.common import PageQuery
from downhaul_server.api.schemas.webhooks import (
    DeliveriesQuery,
    DeliveryPageSchema,
    NewWebhookSchema,
    RotateSchema,
    WebhookCreateSchema,
    WebhookPageSchema,
    WebhookPatchSchema,
    WebhookSchema,
    WebhookTestSchema,
    WebhookWithStatusSchema,
)
from downhaul_server.services.actors import Actor
from downhaul_server.services.pages import Page

blueprint = Blueprint("webhooks", __name__, description="Whom to tell what happens: your own services, Slack, Teams.")

WEBHOOKS = "/api/v1/webhooks"
WEBHOOK = f"{WEBHOOKS}/<hook_id>"


@blueprint.operation("GET", WEBHOOKS)
@authenticated
@blueprint.query(PageQuery)
@blueprint.answers(200, WebhookPageSchema)
def list_webhooks(actor: Actor, query: dict[str, Any]) -> Response:
    """List webhooks, and how they fare."""
    return page_answer(services().hooks.list(actor, **query))


@blueprint.operation("POST", WEBHOOKS)
@authenticated
@blueprint.body(WebhookCreateSchema)
@blueprint.answers(201, NewWebhookSchema)
def create_webhook(actor: Actor, body: dict[str, Any]) -> Response:
    """Create a webhook. The answer holds its secret, this once; it is told what happens from now on."""
    made = services().hooks.create(actor, body, operation=operation())
    return json_answer(made, 201, {"Location": f"{request.path}/{made['id']}"})


@blueprint.operation("GET", WEBHOOK)
@authenticated
@blueprint.answers(200, WebhookWithStatusSchema)
def get_webhook(actor: Actor, hook_id: str) -> Response:
    """Read a webhook, and how it fares. `version` is what `If-Match` takes, in quotes."""
    return json_answer(services().hooks.get(actor, hook_id))


@blueprint.operation("PATCH", WEBHOOK, versioned=True)
@authenticated
@blueprint.body(WebhookPatchSchema)
@blueprint.answers(200, WebhookSchema, headers=ETAG)
def patch_webhook(actor: Actor, body: dict[str, Any], hook_id: str) -> Response:
    """Change a webhook, or switch it off and on. An event that waits for its next attempt is tried at once."""
    hooks = services().hooks
    version = if_match(lambda: hooks.get(actor, hook_id))
    return document_answer(hooks.patch(actor, hook_id, body, if_match=version, operation=operation()))


@blueprint.operation("DELETE", WEBHOOK, versioned=True)
@authenticated
@blueprint.answers(204)
def delete_webhook(actor: Actor, hook_id: str) -> Response:
    """Delete a webhook. What it has not been told yet, it is not told any more."""
    hooks = services().hooks
    version = if_match(lambda: hooks.get(actor, hook_id))
    hooks.delete(actor, hook_id, if_match=version, operation=operation())
    return no_content()


@blueprint.operation("POST", f"{WEBHOOK}/rotate")
@authenticated
@blueprint.body(RotateSchema, required=False)
@blueprint.answers(200, NewWebhookSchema)
def rotate_webhook(actor: Actor, body: dict[str, Any], hook_id: str) -> Response:
    """Make a new secret. The answer holds it, this once; the old one signs beside it for a while."""
    return json_answer(services().hooks.rotate(actor, hook_id, operation=operation(), **body))


@blueprint.operation("POST", f"{WEBHOOK}/test", operation_id=False)
@authenticated
@blueprint.answers(200, WebhookTestSchema)
def test_webhook(actor: Actor, hook_id: str) -> Response:
    """Send an event of the type `webhook.test` now, and tell what came back. It waits for 15 seconds at most."""
    return json_answer(services().hooks.test(actor, hook_id))


@blueprint.operation("GET", f"{WEBHOOK}/deliveries")
@authenticated
@blueprint.query(DeliveriesQuery)
@blueprint.answers(200, DeliveryPageSchema)
def list_deliveries(actor: Actor, query: dict[str, Any], hook_id: str) -> Response:
    """The last attempts, newest first; 50 are kept, for 30 days."""
    return page_answer(Page([*services().hooks.deliveries(actor, hook_id)[: query["limit"]]]))
