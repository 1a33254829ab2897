"""Segments: named conditions that rules share."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.acknowledged import changed, deleted
from downhaul_server.api.answers import document_answer, if_match, operation, page_answer, reason
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.openapi import ETAG
from downhaul_server.api.schemas.common import SearchQuery, WaitQuery
from downhaul_server.api.schemas.flags import (
    SegmentCreateSchema,
    SegmentPageSchema,
    SegmentReplaceSchema,
    SegmentSchema,
    WrittenSegmentSchema,
)
from downhaul_server.api.schemas.fleet import DeletedSchema
from downhaul_server.services.actors import Actor

blueprint = Blueprint("segments", __name__, description="Named conditions that the rules of every service share.")

SEGMENTS = "/api/v1/segments"
SEGMENT = f"{SEGMENTS}/<segment>"


@blueprint.operation("GET", SEGMENTS)
@authenticated
@blueprint.query(SearchQuery)
@blueprint.answers(200, SegmentPageSchema)
def list_segments(actor: Actor, query: dict[str, Any]) -> Response:
    """List segments."""
    return page_answer(services().segments.list(actor, **query))


@blueprint.operation("POST", SEGMENTS, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.body(SegmentCreateSchema)
@blueprint.answers(201, WrittenSegmentSchema, headers=ETAG)
def create_segment(actor: Actor, query: dict[str, Any], body: dict[str, Any]) -> Response:
    """Create a segment."""
    segments = services().segments
    document = segments.create(actor, body, reason=reason(query), operation=operation())
    return changed(document, query, segments.reach(document["key"]), created=True)


@blueprint.operation("GET", SEGMENT, versioned=True)
@authenticated
@blueprint.answers(200, SegmentSchema, headers=ETAG)
def get_segment(actor: Actor, segment: str) -> Response:
    """Read a segment."""
    return document_answer(services().segments.get(actor, segment))


@blueprint.operation("PUT", SEGMENT, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.body(SegmentReplaceSchema)
@blueprint.answers(200, WrittenSegmentSchema, headers=ETAG)
@blueprint.answers(201, WrittenSegmentSchema, headers=ETAG)
def replace_segment(actor: Actor, query: dict[str, Any], body: dict[str, Any], segment: str) -> Response:
    """Replace a segment, or create it. Every rule that uses it follows at once."""
    segments = services().segments
    version = if_match(lambda: segments.get(actor, segment))
    document, created = segments.replace(
        actor, segment, body, if_match=version, reason=reason(query), operation=operation()
    )
    return changed(document, query, segments.reach(segment), created=created)


@blueprint.operation("DELETE", SEGMENT, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.answers(204)
@blueprint.answers(200, DeletedSchema)
def delete_segment(actor: Actor, query: dict[str, Any], segment: str) -> Response:
    """Delete a segment that nothing uses."""
    segments = services().segments
    version = if_match(lambda: segments.get(actor, segment))
    gone = segments.delete(actor, segment, if_match=version, reason=reason(query), operation=operation())
    return deleted(gone, query, segments.reach(segment))
