"""Kill links: made, listed, revoked. What they do is in `kill_links.py`."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from downhaul_server.api.answers import json_answer, no_content, operation, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services, wiring
from downhaul_server.api.schemas.common import PageQuery
from downhaul_server.api.schemas.links import LinkCreateSchema, LinkPageSchema, NewLinkSchema
from downhaul_server.services.actors import Actor
from downhaul_server.services.links import path_of

blueprint = Blueprint("links", __name__, description="Addresses that kill one flag: for runbooks and alerts.")

LINKS = "/api/v1/links"


@blueprint.operation("GET", LINKS)
@authenticated
@blueprint.query(PageQuery)
@blueprint.answers(200, LinkPageSchema)
def list_links(actor: Actor, query: dict[str, Any]) -> Response:
    """List kill links, without their addresses."""
    return page_answer(services().links.list(actor, **query))


@blueprint.operation("POST", LINKS)
@authenticated
@blueprint.body(LinkCreateSchema)
@blueprint.answers(201, NewLinkSchema)
def create_link(actor: Actor, body: dict[str, Any]) -> Response:
    """Create a kill link. The answer holds its address, this once.

    Whoever has the address can kill the flag in this environment, and do nothing else. It needs the right to handle
    keys there, and to kill.
    """
    made = services().links.create(actor, body, operation=operation())
    base = wiring().settings.public_url or request.host_url.rstrip("/")
    return json_answer(made | {"url": base + path_of(made["token"])}, 201)


@blueprint.operation("DELETE", f"{LINKS}/<link_id>")
@authenticated
@blueprint.answers(204)
def revoke_link(actor: Actor, link_id: str) -> Response:
    """Revoke a kill link. Its address leads nowhere from now on."""
    services().links.revoke(actor, link_id, operation=operation())
    return no_content()
