"""The room's front door: one blueprint with every page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from downhaul import __version__
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from flask import Blueprint, Response, make_response, render_template, request, send_from_directory

from downhaul_admin.health import describe

V = TypeVar("V", bound=Callable[..., Response])

STATIC = Path(__file__).parent / "static"
STATIC_AGE_S = 300
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_blueprint(services: Services, settings: Settings) -> Blueprint:
    """`/`, and the static files of the pages under `/static/admin/`."""
    pages = Blueprint("downhaul_admin", __name__, template_folder="templates")

    @pages.get("/")
    @_public
    def landing() -> Response:
        page = render_template(
            "downhaul_admin/landing.html",
            health=describe(services.health()),
            version=__version__,
            environment=settings.default_environment,
            url=request.host_url.rstrip("/"),
        )
        return make_response(page, {"Cache-Control": "no-store"})

    # A view of our own, because Flask's cannot be declared public.
    @pages.get("/static/admin/<path:filename>")
    @_public
    def static(filename: str) -> Response:
        return send_from_directory(STATIC, filename, max_age=STATIC_AGE_S)

    @pages.after_request
    def secure(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    return pages


def _public(view: V) -> V:
    """Declared the same way as the API's views (a test reads it from every route): nothing secret is shown."""
    view.downhaul_authentication = "public"  # type: ignore[attr-defined]
    return view
