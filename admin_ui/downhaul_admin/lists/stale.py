"""`/stale`: flags that may be tidied away, whose they are, and leaving them alone for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import NotFound, ServiceError
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.pages import environment_of, page, see_other

SHOWN = 100
SOON = timedelta(days=30)


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, and its forms."""

    @pages.get("/stale")
    @gate.person
    def stale_list(actor: Actor) -> Response:
        return _list(services, actor)

    @pages.post("/services/<service>/flags/<flag>/snooze")
    @gate.person
    def snooze_flag(actor: Actor, service: str, flag: str) -> Response:
        wanted = {"until": request.form.get("until", "").strip(), "reason": forms.text("reason")}
        try:
            services.staleness.snooze(actor, service, flag, wanted, operation=forms.operation())
        except NotFound:
            raise
        except ServiceError as error:
            return _list(services, actor, error, about=f"{service}/{flag}")
        return see_other("/stale", note=f"{flag} is left alone until {wanted['until']}.")

    @pages.post("/services/<service>/flags/<flag>/wake")
    @gate.person
    def wake_flag(actor: Actor, service: str, flag: str) -> Response:
        services.staleness.wake(actor, service, flag, operation=forms.operation())
        return see_other("/stale", note=f"{flag} is not left alone any more.")


def _list(services: Services, actor: Actor, error: ServiceError | None = None, about: str | None = None) -> Response:
    place, service = environment_of(actor), request.args.get("service", "").strip()
    snoozed = request.args.get("snoozed") == "1"
    found = services.staleness.list(
        actor,
        environment=place,
        service=service or None,
        snoozed=snoozed,
        limit=SHOWN,
        cursor=request.args.get("cursor"),
    )
    return page(
        "downhaul_admin/lists/stale.html",
        actor,
        status=forms.status_of(error),
        items=[item | {"name": f"{item['service']}/{item['flag']}"} for item in found.items],
        next=found.next,
        snoozed=snoozed,
        service=service,
        services=[item["key"] for item in services.catalog.list_services(actor, limit=500).items],
        about=about,
        errors=forms.errors(error),
        typed=forms.typed("until", "reason") if error else {"until": _soon(), "reason": ""},
        soon=_soon(),
        operation=forms.operation(),
    )


def _soon() -> str:
    return (datetime.now(UTC) + SOON).date().isoformat()
