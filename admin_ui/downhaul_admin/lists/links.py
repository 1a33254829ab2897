"""`/links`: kill links for chat and runbooks. An address is shown in the answer that makes it, and never again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import Invalid, ServiceError
from downhaul_server.services.links import path_of
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.lists.keys import expiry
from downhaul_admin.pages import environment_of, page, see_other

AT_MOST = 500
FIELDS = ("name", "flag", "environment", "expires")


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, and its forms."""

    @pages.get("/links")
    @gate.person
    def link_list(actor: Actor) -> Response:
        return _list(services, settings, actor)

    @pages.post("/links")
    @gate.person
    def create_link(actor: Actor) -> Response:
        try:
            made = services.links.create(actor, _wanted(), operation=forms.operation())
        except ServiceError as error:
            return _list(services, settings, actor, error)
        # Shown in this answer alone.
        return _list(services, settings, actor, made=made)

    @pages.post("/links/<link_id>/revoke")
    @gate.person
    def revoke_link(actor: Actor, link_id: str) -> Response:
        services.links.revoke(actor, link_id)
        return see_other("/links", note="Revoked: its address leads nowhere from now on.")


def _wanted() -> dict[str, Any]:
    """Raises Invalid."""
    service, slash, flag = request.form.get("flag", "").strip().partition("/")
    if not slash:
        raise Invalid.at("flag", message="expected service/flag, such as checkout/new-checkout")
    return {
        "name": request.form.get("name", "").strip(),
        "service": service,
        "flag": flag,
        "environment": request.form.get("environment", ""),
        "expires_at": expiry("expires"),
    }


def _list(
    services: Services,
    settings: Settings,
    actor: Actor,
    error: ServiceError | None = None,
    *,
    made: dict[str, Any] | None = None,
) -> Response:
    found = services.links.list(actor, limit=AT_MOST, cursor=request.args.get("cursor"))
    now = timestamp(datetime.now(UTC))
    base = (settings.public_url or request.host_url).rstrip("/")
    faults = forms.errors(error)
    if "service" in faults:
        faults.setdefault("flag", faults["service"])
    if "expires_at" in faults:
        faults.setdefault("expires", faults["expires_at"])
    flag = request.args.get("flag", "")
    return page(
        "downhaul_admin/lists/links.html",
        actor,
        status=forms.status_of(error),
        live=False,
        items=[
            item | {"expired": item["expires_at"] is not None and item["expires_at"] <= now} for item in found.items
        ],
        next=found.next,
        made=made and made | {"url": f"{base}{path_of(made['token'])}"},
        errors=faults,
        typed=forms.typed(*FIELDS)
        if error
        else {"name": "", "flag": flag, "environment": environment_of(actor), "expires": ""},
        operation=forms.operation() if error else forms.new_operation(),
    )
