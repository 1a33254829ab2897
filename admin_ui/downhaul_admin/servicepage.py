"""One service: its flags in every environment, its fleet, its changes."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.flag_forms import state_of
from downhaul_server.services.overview import word_of
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import gate
from downhaul_admin.changes import latest
from downhaul_admin.home import SHOWN, more_of
from downhaul_admin.pages import page, places_of

LAST_CHANGES = 10


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/services/<service>`."""

    @pages.get("/services/<service>")
    @gate.person
    def service_page(actor: Actor, service: str) -> Response:
        here, environments = places_of(actor)
        document = services.catalog.get_service(actor, service)
        query = request.args.get("q", "").strip()
        seen = [place for place in environments if actor.reaches(service, place)]
        place = here if here in seen else (seen or [here])[0]
        rows = services.overview.flags(actor, place, service=service, query=query)
        first = max(request.args.get("from", 0, type=int), 0)
        return page(
            "downhaul_admin/service.html",
            actor,
            service=document,
            query=query,
            columns=[place, *(other for other in seen if other != place)],
            rows=[_row(row.document.body, seen) for row in rows[first : first + SHOWN]],
            found=len(rows),
            more=more_of(first, len(rows)),
            fleets=[(name, services.overview.fleets(actor, name).get(service)) for name in seen],
            changes=latest(services, actor, LAST_CHANGES, service=service),
        )


def _row(flag: Any, environments: list[str]) -> dict[str, Any]:
    return {
        "flag": flag["key"],
        "id": flag["key"],
        "path": f"/services/{flag['service']}/flags/{flag['key']}",
        "description": flag["description"],
        "words": {name: word_of(flag, state_of(flag, name)) for name in environments},
        "changed_at": flag.get("updated_at") or "",
    }
