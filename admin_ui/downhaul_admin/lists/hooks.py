"""`/webhooks`: whom to tell what happens, how that goes, and to try it. A secret is shown once."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ServiceError
from downhaul_server.services.hook_documents import FORMATS
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.pages import page, see_other
from downhaul_admin.signin import sentence

AT_MOST = 200
FIELDS = ("name", "url", "format", "events", "services", "environments")


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, a page for each, and their forms."""

    @pages.get("/webhooks")
    @gate.person
    def hook_list(actor: Actor) -> Response:
        return _list(services, actor)

    @pages.post("/webhooks")
    @gate.person
    def create_hook(actor: Actor) -> Response:
        try:
            made = services.hooks.create(actor, _wanted(), operation=forms.operation())
        except ServiceError as error:
            return _list(services, actor, error)
        # The secret is shown in this answer alone.
        return _hook(services, actor, made["id"], secret=made["secret"])

    @pages.get("/webhooks/<hook>")
    @gate.person
    def hook_page(actor: Actor, hook: str) -> Response:
        return _hook(services, actor, hook)

    @pages.post("/webhooks/<hook>")
    @gate.person
    def change_hook(actor: Actor, hook: str) -> Response:
        try:
            services.hooks.patch(actor, hook, _wanted(), if_match=forms.version(), operation=forms.operation())
        except ServiceError as error:
            return _hook(services, actor, hook, error)
        return see_other(f"/webhooks/{hook}", note="Saved.")

    @pages.post("/webhooks/<hook>/enabled")
    @gate.person
    def enable_hook(actor: Actor, hook: str) -> Response:
        enabled = request.form.get("enabled") == "1"
        try:
            services.hooks.patch(actor, hook, {"enabled": enabled}, if_match=forms.version())
        except ServiceError as error:
            return _hook(services, actor, hook, error)
        return see_other(
            f"/webhooks/{hook}", note="It is told what happens from now on." if enabled else "Switched off."
        )

    @pages.post("/webhooks/<hook>/test")
    @gate.person
    def test_hook(actor: Actor, hook: str) -> Response:
        try:
            result = services.hooks.test(actor, hook)
        except ServiceError as error:
            return _hook(services, actor, hook, error)
        return _hook(services, actor, hook, tried=_said(result), well=result["delivered"])

    @pages.post("/webhooks/<hook>/rotate")
    @gate.person
    def rotate_hook(actor: Actor, hook: str) -> Response:
        try:
            made = services.hooks.rotate(actor, hook, operation=forms.operation())
        except ServiceError as error:
            return _hook(services, actor, hook, error)
        return _hook(services, actor, hook, secret=made["secret"])

    @pages.post("/webhooks/<hook>/delete")
    @gate.person
    def delete_hook(actor: Actor, hook: str) -> Response:
        services.hooks.delete(actor, hook)
        return see_other("/webhooks", note="Gone. What waited for it is dropped.")


def _wanted() -> dict[str, Any]:
    return {
        "name": request.form.get("name", "").strip(),
        "url": request.form.get("url", "").strip(),
        "format": request.form.get("format", ""),
        "events": forms.words("events") or None,
        "services": forms.words("services") or None,
        "environments": forms.words("environments") or None,
    }


def _said(result: dict[str, Any]) -> str:
    if result["delivered"]:
        return f"Delivered: it answered {result['status']} after {result['duration_ms']} ms."
    if result["error"]:
        return f"Not delivered. {sentence(result['error'])}"
    return f"Not accepted: it answered {result['status']}. {result['answer']}"


def _list(services: Services, actor: Actor, error: ServiceError | None = None) -> Response:
    found = services.hooks.list(actor, limit=AT_MOST, cursor=request.args.get("cursor"))
    return page(
        "downhaul_admin/lists/webhooks.html",
        actor,
        status=forms.status_of(error),
        items=found.items,
        next=found.next,
        formats=FORMATS,
        errors=forms.errors(error),
        typed=forms.typed(*FIELDS, otherwise={"format": "standard", "events": "flag.*"}),
        operation=forms.operation(),
    )


def _hook(
    services: Services,
    actor: Actor,
    hook: str,
    error: ServiceError | None = None,
    *,
    secret: str | None = None,
    tried: str | None = None,
    well: bool = False,
) -> Response:
    found = services.hooks.get(actor, hook)
    there = found | {name: " ".join(found[name]) for name in ("events", "services", "environments")}
    return page(
        "downhaul_admin/lists/webhook.html",
        actor,
        status=forms.status_of(error),
        live=secret is None,
        hook=found,
        deliveries=services.hooks.deliveries(actor, hook),
        formats=FORMATS,
        secret=secret,
        tried=tried,
        well=well,
        errors=forms.errors(error),
        typed=forms.typed(*FIELDS, otherwise=there) if error and "url" in request.form else there,
        operation=forms.operation() if error else forms.new_operation(),
    )
