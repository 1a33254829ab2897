"""People who log in with a name of their own."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from downhaul_server.api.answers import document_answer, if_match, json_answer, no_content, operation, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.openapi import ETAG
from downhaul_server.api.schemas.people import (
    NewPersonSchema,
    PersonCreateSchema,
    PersonListQuery,
    PersonPageSchema,
    PersonPatchSchema,
    PersonSchema,
    SessionPageSchema,
)
from downhaul_server.services.actors import Actor

blueprint = Blueprint("people", __name__, description="Who may log in with a name of their own, and what they may do.")

PEOPLE = "/api/v1/people"
PERSON = f"{PEOPLE}/<person_id>"
SESSIONS = f"{PERSON}/sessions"


@blueprint.operation("GET", PEOPLE)
@authenticated
@blueprint.query(PersonListQuery)
@blueprint.answers(200, PersonPageSchema)
def list_people(actor: Actor, query: dict[str, Any]) -> Response:
    """List people, by login; those who may do more than you are left out."""
    return page_answer(services().people.list(actor, **query))


@blueprint.operation("POST", PEOPLE, problems=(409,))
@authenticated
@blueprint.body(PersonCreateSchema)
@blueprint.answers(201, NewPersonSchema)
def create_person(actor: Actor, body: dict[str, Any]) -> Response:
    """Add a local person. The answer holds their first password, this once; they choose another at their log-in."""
    made = services().people.create(actor, body, operation=operation())
    return json_answer(made, 201, {"Location": f"{request.path}/{made['id']}"})


@blueprint.operation("GET", PERSON, versioned=True)
@authenticated
@blueprint.answers(200, PersonSchema, headers=ETAG)
def get_person(actor: Actor, person_id: str) -> Response:
    """Read a person."""
    return document_answer(services().people.get(actor, person_id))


@blueprint.operation("PATCH", PERSON, versioned=True)
@authenticated
@blueprint.body(PersonPatchSchema)
@blueprint.answers(200, PersonSchema, headers=ETAG)
def patch_person(actor: Actor, body: dict[str, Any], person_id: str) -> Response:
    """Change name, email, grants, or disable them: whoever is disabled is out within seconds."""
    people = services().people
    version = if_match(lambda: people.get(actor, person_id))
    return document_answer(people.patch(actor, person_id, body, if_match=version, operation=operation()))


@blueprint.operation("DELETE", PERSON, versioned=True)
@authenticated
@blueprint.answers(204)
def delete_person(actor: Actor, person_id: str) -> Response:
    """Delete a person. Their name stays in the log."""
    people = services().people
    version = if_match(lambda: people.get(actor, person_id))
    people.delete(actor, person_id, if_match=version, operation=operation())
    return no_content()


@blueprint.operation("POST", f"{PERSON}/password")
@authenticated
@blueprint.answers(200, NewPersonSchema)
def reset_password(actor: Actor, person_id: str) -> Response:
    """Give a local person a new first password, shown this once. All their sessions end."""
    return json_answer(services().people.reset_password(actor, person_id, operation=operation()))


@blueprint.operation("GET", SESSIONS)
@authenticated
@blueprint.answers(200, SessionPageSchema)
def list_sessions(actor: Actor, person_id: str) -> Response:
    """Where somebody is logged in, the newest first. Their own everybody may see."""
    return json_answer({"items": services().people.sessions(actor, person_id), "next": None})


@blueprint.operation("DELETE", SESSIONS)
@authenticated
@blueprint.answers(204)
def end_sessions(actor: Actor, person_id: str) -> Response:
    """Log somebody out everywhere."""
    services().people.end_sessions(actor, person_id, operation=operation())
    return no_content()


@blueprint.operation("DELETE", f"{SESSIONS}/<session_id>", operation_id=False)
@authenticated
@blueprint.answers(204)
def end_session(actor: Actor, person_id: str, session_id: str) -> Response:
    """End one of somebody's sessions."""
    services().people.end_session(actor, person_id, session_id)
    return no_content()
