"""The fleet: who is there, what each process has, who has gone deaf."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import gate
from downhaul_admin.pages import environment_of, page

SHOWN = 200


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/fleet`: every service; with `?service=`, its processes one by one."""

    @pages.get("/fleet")
    @gate.person
    def fleet(actor: Actor) -> Response:
        environment = environment_of(actor)
        service = request.args.get("service")
        data = _processes(services, actor, service, environment) if service else {}
        known = services.catalog.list_services(actor, limit=500).items
        counts = services.overview.fleets(actor, environment)
        return page(
            "downhaul_admin/fleet.html",
            actor,
            service=service,
            fleets=[(item["key"], counts.get(item["key"])) for item in known],
            **data,
        )


def _processes(services: Services, actor: Actor, service: str, environment: str) -> dict[str, Any]:
    found = services.survey.list(
        actor, service, environment=environment, limit=SHOWN, cursor=request.args.get("cursor") or None
    )
    return {"instances": found.page.items, "next": found.page.next, "counts": found.counts, "newest": found.revision}
