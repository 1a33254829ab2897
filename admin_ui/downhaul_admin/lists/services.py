"""`/services`: each with its flags and its fleet; one more of them, and another name."""

from __future__ import annotations

from collections import Counter

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ServiceError, Unavailable
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.pages import environment_of, page, see_other

AT_MOST = 500


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, and its forms."""

    @pages.get("/services")
    @gate.person
    def service_list(actor: Actor) -> Response:
        return _list(services, actor)

    @pages.post("/services")
    @gate.person
    def create_service(actor: Actor) -> Response:
        wanted = {"key": request.form.get("key", "").strip(), "name": forms.text("name", 200)}
        try:
            services.catalog.create_service(actor, wanted, operation=forms.operation())
        except ServiceError as error:
            return _list(services, actor, error)
        return see_other(f"/services/{wanted['key']}", note=f"{wanted['key']} is there. Its flags come next.")

    @pages.post("/services/<service>/name")
    @gate.person
    def rename_service(actor: Actor, service: str) -> Response:
        try:
            services.catalog.patch_service(actor, service, {"name": forms.text("name", 200)}, if_match=forms.version())
        except ServiceError as error:
            return _list(services, actor, error, about=service)
        return see_other("/services", note=f"{service} has a new name.")

    @pages.post("/services/<service>/delete")
    @gate.person
    def delete_service(actor: Actor, service: str) -> Response:
        try:
            services.catalog.delete_service(actor, service, if_match=forms.version())
        except ServiceError as error:
            return _list(services, actor, error, about=service)
        return see_other("/services", note=f"{service} is gone.")


def _list(services: Services, actor: Actor, error: ServiceError | None = None, about: str | None = None) -> Response:
    if isinstance(error, Unavailable) and about is None and request.method == "GET":
        raise error
    query, place = request.args.get("q", "").strip(), environment_of(actor)
    found = services.catalog.list_services(actor, query=query or None, limit=AT_MOST, cursor=request.args.get("cursor"))
    return page(
        "downhaul_admin/lists/services.html",
        actor,
        status=forms.status_of(error),
        items=found.items,
        next=found.next,
        query=query,
        counts=Counter(row.service for row in services.overview.flags(actor, place)),
        fleets=services.overview.fleets(actor, place),
        errors=forms.errors(error) if about is None else {},
        trouble_with=about,
        trouble_is=forms.errors(error).get("") or next(iter(forms.errors(error).values()), None) if about else None,
        typed=forms.typed("key", "name") if about is None else {"key": "", "name": ""},
        operation=forms.operation(),
    )
