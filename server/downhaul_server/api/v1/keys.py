"""SDK keys and API tokens."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import json_answer, no_content, operation, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.keys import (
    KeyCreateSchema,
    KeyListQuery,
    KeyPageSchema,
    KeyRotateSchema,
    KeySchema,
    NewKeySchema,
)
from downhaul_server.services.actors import Actor

blueprint = Blueprint("keys", __name__, description="SDK keys for instances, API tokens for people and pipelines.")

KEYS = "/api/v1/keys"
KEY = f"{KEYS}/<key_id>"


@blueprint.operation("GET", KEYS)
@authenticated
@blueprint.query(KeyListQuery)
@blueprint.answers(200, KeyPageSchema)
def list_keys(actor: Actor, query: dict[str, Any]) -> Response:
    """List keys, without their tokens."""
    return page_answer(services().keys.list(actor, **query))


@blueprint.operation("POST", KEYS)
@authenticated
@blueprint.body(KeyCreateSchema)
@blueprint.answers(201, NewKeySchema)
def create_key(actor: Actor, body: dict[str, Any]) -> Response:
    """Create a key. The answer holds its token, this once."""
    return json_answer(services().keys.create(actor, body, operation=operation()), 201)


@blueprint.operation("GET", KEY)
@authenticated
@blueprint.answers(200, KeySchema)
def get_key(actor: Actor, key_id: str) -> Response:
    """Read a key, without its token."""
    return json_answer(services().keys.get(actor, key_id))


@blueprint.operation("DELETE", KEY)
@authenticated
@blueprint.answers(204)
def revoke_key(actor: Actor, key_id: str) -> Response:
    """Revoke a key. It is refused from now on."""
    services().keys.revoke(actor, key_id, operation=operation())
    return no_content()


@blueprint.operation("POST", f"{KEY}/rotate", problems=(409,))
@authenticated
@blueprint.body(KeyRotateSchema, required=False)
@blueprint.answers(200, NewKeySchema)
def rotate_key(actor: Actor, body: dict[str, Any], key_id: str) -> Response:
    """Make a new token for a key. The answer holds it, this once; the one before is good for a while longer.

    While two are good, a third is refused (409): wait, or end the older one.
    """
    return json_answer(services().keys.rotate(actor, key_id, operation=operation(), **body))


@blueprint.operation("DELETE", f"{KEY}/previous")
@authenticated
@blueprint.answers(204)
def end_previous_token(actor: Actor, key_id: str) -> Response:
    """End the token that was rotated, now. The new one is not touched."""
    services().keys.end_previous(actor, key_id, operation=operation())
    return no_content()
