"""Services and environments: what flags belong to."""

from __future__ import annotations

from typing import Any

from flask import Response

from downhaul_server.api.answers import document_answer, if_match, no_content, operation, page_answer, reason
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.openapi import ETAG
from downhaul_server.api.schemas.catalog import (
    EnvironmentCreateSchema,
    EnvironmentPageSchema,
    EnvironmentPatchSchema,
    EnvironmentSchema,
    RenameSchema,
    ServiceCreateSchema,
    ServicePageSchema,
    ServiceSchema,
)
from downhaul_server.api.schemas.common import ReasonQuery, SearchQuery
from downhaul_server.services.actors import Actor

blueprint = Blueprint("catalog", __name__, description="Services and environments: what flags belong to.")

SERVICES = "/api/v1/services"
SERVICE = f"{SERVICES}/<service>"
ENVIRONMENTS = "/api/v1/environments"
ENVIRONMENT = f"{ENVIRONMENTS}/<environment>"


@blueprint.operation("GET", SERVICES)
@authenticated
@blueprint.query(SearchQuery)
@blueprint.answers(200, ServicePageSchema)
def list_services(actor: Actor, query: dict[str, Any]) -> Response:
    """List services."""
    return page_answer(services().catalog.list_services(actor, **query))


@blueprint.operation("POST", SERVICES, versioned=True, problems=(409,))
@authenticated
@blueprint.body(ServiceCreateSchema)
@blueprint.answers(201, ServiceSchema, headers=ETAG)
def create_service(actor: Actor, body: dict[str, Any]) -> Response:
    """Create a service."""
    return document_answer(services().catalog.create_service(actor, body, operation=operation()), created=True)


@blueprint.operation("GET", SERVICE, versioned=True)
@authenticated
@blueprint.answers(200, ServiceSchema, headers=ETAG)
def get_service(actor: Actor, service: str) -> Response:
    """Read a service."""
    return document_answer(services().catalog.get_service(actor, service))


@blueprint.operation("PATCH", SERVICE, versioned=True)
@authenticated
@blueprint.body(RenameSchema)
@blueprint.answers(200, ServiceSchema, headers=ETAG)
def patch_service(actor: Actor, body: dict[str, Any], service: str) -> Response:
    """Rename a service. Its key stays."""
    catalog = services().catalog
    version = if_match(lambda: catalog.get_service(actor, service))
    return document_answer(catalog.patch_service(actor, service, body, if_match=version, operation=operation()))


@blueprint.operation("DELETE", SERVICE, versioned=True, problems=(409,))
@authenticated
@blueprint.answers(204)
def delete_service(actor: Actor, service: str) -> Response:
    """Delete a service that has no flags."""
    catalog = services().catalog
    version = if_match(lambda: catalog.get_service(actor, service))
    catalog.delete_service(actor, service, if_match=version, operation=operation())
    return no_content()


@blueprint.operation("GET", ENVIRONMENTS)
@authenticated
@blueprint.query(SearchQuery)
@blueprint.answers(200, EnvironmentPageSchema)
def list_environments(actor: Actor, query: dict[str, Any]) -> Response:
    """List environments."""
    return page_answer(services().catalog.list_environments(actor, **query))


@blueprint.operation("POST", ENVIRONMENTS, versioned=True, problems=(409,))
@authenticated
@blueprint.body(EnvironmentCreateSchema)
@blueprint.answers(201, EnvironmentSchema, headers=ETAG)
def create_environment(actor: Actor, body: dict[str, Any]) -> Response:
    """Create an environment. Every flag is off there."""
    return document_answer(services().catalog.create_environment(actor, body, operation=operation()), created=True)


@blueprint.operation("GET", ENVIRONMENT, versioned=True)
@authenticated
@blueprint.answers(200, EnvironmentSchema, headers=ETAG)
def get_environment(actor: Actor, environment: str) -> Response:
    """Read an environment."""
    return document_answer(services().catalog.get_environment(actor, environment))


@blueprint.operation("PATCH", ENVIRONMENT, versioned=True, problems=(409,))
@authenticated
@blueprint.query(ReasonQuery)
@blueprint.body(EnvironmentPatchSchema)
@blueprint.answers(200, EnvironmentSchema, headers=ETAG)
def patch_environment(actor: Actor, query: dict[str, Any], body: dict[str, Any], environment: str) -> Response:
    """Rename an environment, or protect it. Its key stays."""
    catalog = services().catalog
    version = if_match(lambda: catalog.get_environment(actor, environment))
    document = catalog.patch_environment(
        actor, environment, body, if_match=version, reason=reason(query), operation=operation()
    )
    return document_answer(document)


@blueprint.operation("DELETE", ENVIRONMENT, versioned=True, problems=(409,))
@authenticated
@blueprint.query(ReasonQuery)
@blueprint.answers(204)
def delete_environment(actor: Actor, query: dict[str, Any], environment: str) -> Response:
    """Delete an environment, with every flag's state in it."""
    catalog = services().catalog
    version = if_match(lambda: catalog.get_environment(actor, environment))
    catalog.delete_environment(actor, environment, if_match=version, reason=reason(query), operation=operation())
    return no_content()
