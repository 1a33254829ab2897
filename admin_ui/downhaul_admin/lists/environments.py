"""`/environments`: which are protected, and how many must approve a change there."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ApprovalRequired, Invalid, ServiceError
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.pages import page, see_other

AT_MOST = 500


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, and its forms."""

    @pages.get("/environments")
    @gate.person
    def environment_list(actor: Actor) -> Response:
        return _list(services, settings, actor)

    @pages.post("/environments")
    @gate.person
    def create_environment(actor: Actor) -> Response:
        key = request.form.get("key", "").strip()
        try:
            wanted = {"key": key, "name": forms.text("name", 200)}
            services.catalog.create_environment(actor, wanted, operation=forms.operation())
        except ServiceError as error:
            return _list(services, settings, actor, error)
        return see_other("/environments", note=f"{key} is there. Every flag is off in it.")

    @pages.post("/environments/<environment>")
    @gate.person
    def change_environment(actor: Actor, environment: str) -> Response:
        reason = forms.text("reason")
        try:
            changes = _changes()
            services.catalog.patch_environment(
                actor, environment, changes, if_match=forms.version(), reason=reason, operation=forms.operation()
            )
        except ApprovalRequired:
            return _ask(services, settings, actor, environment, {"patch": _changes()}, reason)
        except ServiceError as error:
            return _list(services, settings, actor, error, about=environment)
        return see_other("/environments", note=f"Saved: {environment}.")

    @pages.post("/environments/<environment>/delete")
    @gate.person
    def delete_environment(actor: Actor, environment: str) -> Response:
        reason = forms.text("reason")
        try:
            services.catalog.delete_environment(actor, environment, if_match=forms.version(), reason=reason)
        except ApprovalRequired:
            return _ask(services, settings, actor, environment, {"delete": True}, reason)
        except ServiceError as error:
            return _list(services, settings, actor, error, about=environment)
        return see_other("/environments", note=f"{environment} is gone, with every flag’s state in it.")


def _changes() -> dict[str, Any]:
    """What the form says. Raises Invalid."""
    numbers: dict[str, int] = {}
    for name in ("approvals", "review_days"):
        sent = request.form.get(name, "").strip()
        if not sent.isascii() or not sent.isdigit() or len(sent) > 4:
            raise Invalid.at(name, message="expected a number")
        numbers[name] = int(sent)
    protected = request.form.get("protected") == "1"
    return {"name": forms.text("name", 200), "protected": protected, **numbers}


def _ask(
    services: Services, settings: Settings, actor: Actor, environment: str, change: dict[str, Any], reason: str | None
) -> Response:
    try:
        wanted = {"environment": environment, "change": change, "reason": reason}
        review = services.reviews.open(actor, wanted, operation=forms.operation_of_review())
    except ServiceError as error:
        return _list(services, settings, actor, error, about=environment)
    return see_other(f"/reviews/{review['id']}", note="Asked for approval. Nothing has changed yet.")


def _list(
    services: Services,
    settings: Settings,
    actor: Actor,
    error: ServiceError | None = None,
    about: str | None = None,
) -> Response:
    found = services.catalog.list_environments(actor, limit=AT_MOST)
    return page(
        "downhaul_admin/lists/environments.html",
        actor,
        status=forms.status_of(error),
        items=found.items,
        default=settings.default_environment,
        errors=forms.errors(error) if about is None else {},
        trouble_with=about,
        trouble_is=list(forms.errors(error).values()) if about else [],
        sent=request.form if about else {},
        typed=forms.typed("key", "name") if about is None else {"key": "", "name": ""},
        operation=forms.operation(),
    )
