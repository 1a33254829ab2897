"""The room's front door: one blueprint with every page."""

from __future__ import annotations

from pathlib import Path

from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from flask import Blueprint, Response, send_from_directory

from downhaul_admin import (
    account,
    changes,
    crosssite,
    errorpages,
    flagpage,
    fleetpage,
    gate,
    headers,
    healthpage,
    home,
    killpages,
    lists,
    live,
    panic,
    peoplepages,
    servicepage,
    signin,
)
from downhaul_admin import pages as frame

STATIC = Path(__file__).parent / "static"
STATIC_AGE_S = 300


def create_blueprint(services: Services, settings: Settings) -> Blueprint:
    """Every page, and the static files of the pages under `/static/admin/`."""
    pages = Blueprint("downhaul_admin", __name__, template_folder="templates")
    gate.attach(pages, services, settings)
    headers.secure(pages)
    crosssite.guard(pages)
    frame.install(pages)
    signin.add(pages, services, settings)
    account.add(pages, services, settings)
    peoplepages.add(pages, services, settings)
    killpages.add(pages, services, settings)
    panic.add(pages, services, settings)
    changes.add(pages, services, settings)
    lists.add(pages, services, settings)
    for room in (home, servicepage, flagpage, fleetpage, healthpage, live):
        room.add(pages, services, settings)
    errorpages.add(pages)

    # A view of our own, because Flask's cannot be declared public.
    @pages.get("/static/admin/<path:filename>")
    @gate.public
    def static(filename: str) -> Response:
        return send_from_directory(STATIC, filename, max_age=STATIC_AGE_S)

    return pages
