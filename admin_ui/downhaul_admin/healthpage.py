"""The health of Downhaul itself, for people; and the first steps, for everybody."""

from __future__ import annotations

from downhaul import __version__
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from flask import Blueprint, Response, make_response, render_template, request

from downhaul_admin import gate
from downhaul_admin.health import describe
from downhaul_admin.pages import environment_of, page


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/health` and `/welcome`."""

    @pages.get("/health")
    @gate.person
    def health(actor: Actor) -> Response:
        place = environment_of(actor)
        return page(
            "downhaul_admin/health.html",
            actor,
            health=describe(services.health()),
            version=__version__,
            drills=sorted(services.drill_results.with_ages(), key=lambda found: found[1]),
            fleets=sorted(services.overview.fleets(actor, place).items()),
        )

    @pages.get("/welcome")
    @gate.public
    def welcome() -> Response:
        text = render_template(
            "downhaul_admin/landing.html",
            health=describe(services.health()),
            version=__version__,
            environment=settings.default_environment,
            url=request.host_url.rstrip("/"),
        )
        return make_response(text)
