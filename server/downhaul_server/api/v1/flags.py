"""Flags and their states."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.acknowledged import changed, deleted, everywhere, in_all
from downhaul_server.api.answers import document_answer, if_match, json_answer, operation, page_answer, reason
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.openapi import ETAG
from downhaul_server.api.schemas.actions import ExplainSchema, ExplanationSchema
from downhaul_server.api.schemas.common import PageQuery, WaitQuery
from downhaul_server.api.schemas.flags import (
    FlagCreateSchema,
    FlagListQuery,
    FlagMergeSchema,
    FlagPageSchema,
    FlagReplaceSchema,
    FlagSchema,
    StatePatchSchema,
    StateSchema,
    WrittenFlagSchema,
)
from downhaul_server.api.schemas.fleet import DeletedSchema
from downhaul_server.api.schemas.history import FlagChangePageSchema
from downhaul_server.services.actors import Actor

blueprint = Blueprint("flags", __name__, description="Flags, their states, and why they decide as they do.")

FLAGS = "/api/v1/services/<service>/flags"
FLAG = f"{FLAGS}/<flag>"
STATE = f"{FLAG}/environments/<environment>"


@blueprint.operation("GET", FLAGS)
@authenticated
@blueprint.query(FlagListQuery)
@blueprint.answers(200, FlagPageSchema)
def list_flags(actor: Actor, query: dict[str, Any], service: str) -> Response:
    """List the flags of a service."""
    return page_answer(services().flags.list(actor, service, **query))


@blueprint.operation("POST", FLAGS, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.body(FlagCreateSchema)
@blueprint.answers(201, WrittenFlagSchema, headers=ETAG)
def create_flag(actor: Actor, query: dict[str, Any], body: dict[str, Any], service: str) -> Response:
    """Create a flag. It is off everywhere unless `environments` says otherwise."""
    document = services().flags.create(actor, service, body, reason=reason(query), operation=operation())
    return changed(document, query, everywhere(document), created=True)


@blueprint.operation("GET", FLAG, versioned=True)
@authenticated
@blueprint.answers(200, FlagSchema, headers=ETAG)
def get_flag(actor: Actor, service: str, flag: str) -> Response:
    """Read a flag."""
    return document_answer(services().flags.get(actor, service, flag))


@blueprint.operation("PUT", FLAG, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.body(FlagReplaceSchema)
@blueprint.answers(200, WrittenFlagSchema, headers=ETAG)
@blueprint.answers(201, WrittenFlagSchema, headers=ETAG)
def replace_flag(actor: Actor, query: dict[str, Any], body: dict[str, Any], service: str, flag: str) -> Response:
    """Replace a flag, or create it.

    What is left out gets its default. The salt and kills that stand are kept.
    """
    flags = services().flags
    version = if_match(lambda: flags.get(actor, service, flag))
    document, created = flags.replace(
        actor, service, flag, body, if_match=version, reason=reason(query), operation=operation()
    )
    return changed(document, query, everywhere(document), created=created)


@blueprint.operation("PATCH", FLAG, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.body(FlagMergeSchema)
@blueprint.answers(200, WrittenFlagSchema, headers=ETAG)
def patch_flag(actor: Actor, query: dict[str, Any], body: dict[str, Any], service: str, flag: str) -> Response:
    """Change parts of a flag: a JSON merge patch (RFC 7396)."""
    flags = services().flags
    version = if_match(lambda: flags.get(actor, service, flag))
    document = flags.patch(actor, service, flag, body, if_match=version, reason=reason(query), operation=operation())
    return changed(document, query, everywhere(document))


@blueprint.operation("DELETE", FLAG, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.answers(204)
@blueprint.answers(200, DeletedSchema)
def delete_flag(actor: Actor, query: dict[str, Any], service: str, flag: str) -> Response:
    """Delete a flag that no other flag requires."""
    flags = services().flags
    version = if_match(lambda: flags.get(actor, service, flag))
    gone = flags.delete(actor, service, flag, if_match=version, reason=reason(query), operation=operation())
    return deleted(gone, query, in_all(service))


@blueprint.operation("GET", STATE, versioned=True)
@authenticated
@blueprint.answers(200, StateSchema, headers=ETAG)
def get_state(actor: Actor, service: str, flag: str, environment: str) -> Response:
    """Read a flag's state in one environment. The ETag is the flag's."""
    return document_answer(services().flags.get(actor, service, flag), part=("environments", environment))


@blueprint.operation("PATCH", STATE, versioned=True, problems=(409,))
@authenticated
@blueprint.query(WaitQuery)
@blueprint.body(StatePatchSchema)
@blueprint.answers(200, WrittenFlagSchema, headers=ETAG)
def patch_state(
    actor: Actor, query: dict[str, Any], body: dict[str, Any], service: str, flag: str, environment: str
) -> Response:
    """Change a flag's state in one environment.

    Any of `on`, `rules`, `otherwise`, or the short form `{"rollout": 25, "by": "user"}`. Answers the whole flag.
    """
    flags = services().flags
    version = if_match(lambda: flags.get(actor, service, flag))
    why = body.pop("reason", None) or reason(query)
    document = flags.set_state(
        actor, service, flag, environment, body, if_match=version, reason=why, operation=operation()
    )
    return changed(document, query, ((service, environment),))


@blueprint.operation("POST", f"{FLAG}/explain", problems=(422,))
@authenticated
@blueprint.body(ExplainSchema, required=False)
@blueprint.answers(200, ExplanationSchema)
def explain_flag(actor: Actor, body: dict[str, Any], service: str, flag: str) -> Response:
    """Why does this context get what it gets? Changes nothing."""
    explanation = services().evaluate.explain(
        actor, service, flag, environment=body.get("environment"), context=body.get("context", {})
    )
    return json_answer(explanation)


@blueprint.operation("GET", f"{FLAG}/history")
@authenticated
@blueprint.query(PageQuery)
@blueprint.answers(200, FlagChangePageSchema)
def list_history(actor: Actor, query: dict[str, Any], service: str, flag: str) -> Response:
    """What happened to a flag, newest first, with the differences."""
    return page_answer(services().history.flag(actor, service, flag, **query))
